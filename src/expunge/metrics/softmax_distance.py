"""Softmax distance: how far the forget set's predictions lie from retrained models' own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from expunge.card import Card
from expunge.errors import DataError
from expunge.metrics._base import Family, Measure, Metric
from expunge.metrics._rows import Block, Blocks, Want


@dataclass(frozen=True, kw_only=True)
class SoftmaxDistance(Metric):
    """Mean L1 distance of predicted probabilities on the forget set, averaged over retrained models.

        mean_i (1/k) · Σ_j Σ_c |p(c | x_i) − q_j(c | x_i)|,   q_j = retrained model j

    Retrained models differ from each other too, by .25 to .30 on a forgotten class of digits: read it as e, whose
    zero is that distance. It has no side: a destroyed model is far away as well.

    Source: after the activation distance of Golatkar et al. (2020), arXiv:2003.02960. Deviation: several retrained
        models.
    """

    card: ClassVar[Card] = Card(
        name="softmax_distance", title="Softmax distance", year=2020, source="arXiv:2003.02960", needs={"forget"},
        learners={"classifier"},
    )  # fmt: skip
    family: ClassVar[Family] = "distribution"
    unit: ClassVar[str] = "L1 distance"
    higher_is: ClassVar[str] = "further from retrained"
    bounds: ClassVar[tuple[float, float]] = (0.0, 2.0)
    needs_references: ClassVar[bool] = True

    def wants(self) -> list[Want]:
        """Return the one score it reads."""
        return [Want("forget")]

    def measure(self, blocks: Blocks, references: Sequence[Blocks] = ()) -> Measure:
        """Return one distance a record."""
        if not references:
            raise DataError(f"{self.label}: needs the answers of at least one retrained model")
        own, *others = (self.block(b, *self.wants()) for b in (blocks, *references))
        p_NC = self._probabilities(own)
        total_N = np.zeros(len(own.ids))
        for other in others:
            if other.ids != own.ids or other.extras["log_probs"].shape != p_NC.shape:
                raise DataError(f"{self.label}: a retrained model answered other records or classes")
            total_N += np.abs(p_NC - self._probabilities(other)).sum(axis=1)
        return Measure.mean(self.label, own.ids, total_N / len(others))

    def _probabilities(self, block: Block) -> np.ndarray:
        if "log_probs" not in block.extras:
            raise DataError(f"{self.label}: needs a classifier's log_probs")
        return np.exp(block.extras["log_probs"].astype(np.float64))
