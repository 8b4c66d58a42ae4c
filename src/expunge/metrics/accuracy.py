"""Accuracy: the share of records whose class is named, on the forget, retain or test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from expunge.card import Card
from expunge.errors import DataError
from expunge.metrics._base import Measure, RoleMetric
from expunge.metrics._rows import Blocks, Want

ABBREVIATIONS = {"forget": "1 − UA", "retain": "RA", "test": "TA"}


@dataclass(frozen=True, kw_only=True)
class Accuracy(RoleMetric):
    """Share of records whose most likely class is the right one.

    On the forget set the literature prints UA = 1 − accuracy (`ua` beside the figure), on the retain set RA, on the
    test set TA. UA's target is the retrained model's, not 1: a model that never saw a record often names it.

    Args:
        role: The set it is read on.
        kept_in: Count only records whose class occurs in this set: where a whole class must go, what a model still says
            of that class is no utility. "" counts all.

    Source: Jia et al. (2023), arXiv:2304.04934, for the names UA, RA and TA.
    """

    card: ClassVar[Card] = Card(
        name="accuracy", title="Accuracy (UA, RA, TA)", year=2023, source="arXiv:2304.04934",
        needs={"forget", "labels"}, learners={"classifier"},
    )  # fmt: skip
    unit: ClassVar[str] = "share of records"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    kept_in: str = ""

    @property
    def label(self) -> str:
        """The role's accuracy and its usual abbreviation."""
        known = ABBREVIATIONS.get(self.role)
        return f"accuracy ({self.role}{f', {known}' if known else ''})"

    def wants(self) -> list[Want]:
        """Return the set it is read on, and the one whose classes count."""
        return [Want(role) for role in (self.role, self.kept_in) if role]

    def measure(self, blocks: Blocks, references: Sequence[Blocks] = ()) -> Measure:
        """Return one hit or miss a record."""
        block = self.block(blocks, Want(self.role))
        if "log_probs" not in block.extras or len(block.hit) != len(block.ids):
            raise DataError(f"{self.label}: needs a classifier's answers, one class a record")
        log_probs_NC = block.extras["log_probs"]
        hit_N = np.where(np.isnan(log_probs_NC).any(axis=1), np.nan, block.hit)  # an arg max hides NaN
        ids = block.ids
        if self.kept_in:
            kept_N = np.isin(block.extras["target"], self.block(blocks, Want(self.kept_in)).extras["target"])
            hit_N, ids = hit_N[kept_N], [i for i, kept in zip(ids, kept_N, strict=True) if kept]
        ua = {"ua": float(1 - hit_N.mean())} if self.role == "forget" else {}
        return Measure.mean(self.label, ids, hit_N, chance=1 / log_probs_NC.shape[1], **ua)
