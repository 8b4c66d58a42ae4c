"""Wasserstein distance: how far the forget set's predictions, pooled, are distributed from retrained models' own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from expunge.card import Card
from expunge.errors import DataError
from expunge.metrics._base import Family, Measure, Metric
from expunge.metrics._predictions import truth_and_prediction
from expunge.metrics._rows import Blocks, Want


@dataclass(frozen=True, kw_only=True)
class Wasserstein(Metric):
    """Wasserstein-1 distance of predicted means on the forget set, averaged over retrained models and targets.

        W₁ = ∫ |F(u) − F_j(u)| du = (1/n) · Σ_i |μ_(i) − q_j(i)|,   sorted; F of the model, F_j of retrained model j

    The least mean distance by which the one set of predictions can be moved into the other. Which record has which
    prediction is let go: `prediction_distance` reads that, and is never smaller. Retrained models differ from each
    other too: read it as e, whose zero is that distance. It has no side.

    Source: Tarun et al. (2023), arXiv:2210.08196, W₁ to the retrained model. Deviation: several retrained models.
    """

    card: ClassVar[Card] = Card(
        name="wasserstein", title="Wasserstein distance", year=2023, source="arXiv:2210.08196",
        needs={"forget"}, learners={"regressor"},
    )  # fmt: skip
    family: ClassVar[Family] = "distribution"
    unit: ClassVar[str] = "unit of the target"
    higher_is: ClassVar[str] = "further from retrained"
    bounds: ClassVar[tuple[float, float]] = (0.0, float("inf"))
    needs_references: ClassVar[bool] = True

    def wants(self) -> list[Want]:
        """Return the one score it reads."""
        return [Want("forget")]

    def measure(self, blocks: Blocks, references: Sequence[Blocks] = ()) -> Measure:
        """Return every prediction of this model and of each retrained one; a pair of groups for each and each target.

        Raises:
            DataError: No retrained model, or one that answered other records or targets.
        """
        if not references:
            raise DataError(f"{self.label}: needs the answers of at least one retrained model")
        own, *others = (self.block(b, *self.wants()) for b in (blocks, *references))
        _, own_NK = truth_and_prediction(self.label, own)
        pairs: list[np.ndarray] = []
        for other in others:
            _, other_NK = truth_and_prediction(self.label, other)
            if other.ids != own.ids or other_NK.shape != own_NK.shape:
                raise DataError(f"{self.label}: a retrained model answered other records or targets")
            pairs += [column for k in range(own_NK.shape[1]) for column in (own_NK[:, k], other_NK[:, k])]
        return Measure(
            name=self.label,
            ids=own.ids * len(pairs),
            values=np.concatenate(pairs),
            statistic=weighted_w1,
            group=np.repeat(np.arange(len(pairs)), len(own.ids)),
        )


def weighted_w1(values: np.ndarray, group: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the W₁ of group 2p to group 2p + 1, averaged over the pairs p [R], in the unit of the values, ≥ 0.

    The area between the two cumulative distributions, under any weights.
    """
    distances = [_between(values, weight, group == first, group == first + 1) for first in np.unique(group)[::2]]
    return np.asarray(np.mean(distances, axis=0))


def _between(values: np.ndarray, weight: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    rows = np.flatnonzero(first | second)
    rows = rows[np.argsort(values[rows], kind="stable")]
    below = [np.cumsum(weight[:, rows] * chosen[rows], axis=1) for chosen in (first, second)]
    apart_RN = np.abs(below[0] / below[0][:, -1:] - below[1] / below[1][:, -1:])
    return apart_RN[:, :-1] @ np.diff(values[rows])
