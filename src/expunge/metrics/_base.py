"""The shape of a metric: it says what it wants to be asked, and is arithmetic on the stored answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from expunge.card import Card
from expunge.metrics._rows import Blocks, Want

Family = Literal["behaviour", "privacy", "distribution", "utility"]
Statistic = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Measure:
    """Per-row values and how they become one figure, so that the bootstrap can re-weigh the rows.

    Args:
        ids: Record id of each value [n]; its cluster is looked up by it.
        values: [n].
        statistic: (values [n], group [n], weight [R, n]) -> [R].
        group: [n] small integers where the statistic compares groups (1 = member, 0 = not), else zeros.
    """

    ids: list[str]
    values: np.ndarray
    statistic: Statistic
    group: np.ndarray

    def estimate(self, weight: np.ndarray | None = None) -> np.ndarray:
        """Return the figure under each weighting [R]; without weights, the plain figure [1]."""
        weight = np.ones((1, len(self.values))) if weight is None else weight
        return self.statistic(self.values, self.group, weight)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A figure read from stored answers.

    Class fields say what readers must know: `family`, `unit`, `higher_is` (what a larger value means), `bounds`.
    A forgetting metric is compared with retrained models as e; a "utility" metric as e_utility.
    """

    card: ClassVar[Card]
    family: ClassVar[Family]
    unit: ClassVar[str]
    higher_is: ClassVar[str]
    bounds: ClassVar[tuple[float, float]] = (-np.inf, np.inf)
    needs_references: ClassVar[bool] = False

    def wants(self) -> list[Want]:
        """Return what must be asked of each model."""
        raise NotImplementedError

    def measure(self, blocks: Blocks, references: Sequence[Blocks] = ()) -> Measure:
        """Compute per-row values from stored answers; `references` are the retrained models' (never the model's own)."""
        raise NotImplementedError
