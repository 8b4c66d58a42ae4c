"""Forget quality: can the truth ratios of this model be told from those of a retrained one?"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.stats import ks_2samp

from expunge.card import Card
from expunge.errors import DataError
from expunge.metrics._base import Family, Measure, Metric
from expunge.metrics._rows import Blocks, Want
from expunge.metrics._statistics import weighted_ks
from expunge.metrics.truth_ratio import Convention, TruthRatio

SMALLEST = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, kw_only=True)
class ForgetQuality(Metric):
    """Kolmogorov-Smirnov test of the truth ratios on the forget set, unlearned against retrained.

        D = max_x |F_unlearned(x) − F_retrained(x)|,   p by the exact two-sided test

    The figure is D, averaged over the retrained models; the published p-value stands beside it (`p`, the median),
    with its logarithm and the side. p is no effect size: it falls with n, cannot reject at n = 40, and reaches its
    floor 2/C(2n, n) for *any* two disjoint distributions, a destroyed model's included. A collapsing model passes
    through p near 1 by accident. A high p is "not rejected", not "forgotten".

    `side` > 0: the unlearned truth ratios lie lower, it remembers more than a retrained model; < 0: it was driven past.

    Args:
        convention: Of the truth ratio. D does not change under R → 1/R, but does under the convention.

    Source: TOFU (2024), arXiv:2401.06121. Deviation: D is the figure, for it can carry an interval.
    """

    card: ClassVar[Card] = Card(
        name="forget_quality", title="Forget quality", year=2024, source="arXiv:2401.06121",
        needs={"forget"}, learners={"causal_lm"},
    )  # fmt: skip
    family: ClassVar[Family] = "distribution"
    unit: ClassVar[str] = "KS distance"
    higher_is: ClassVar[str] = "further from retrained"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    needs_references: ClassVar[bool] = True

    convention: Convention = "geometric"

    @property
    def label(self) -> str:
        """The name with its convention."""
        return f"{self.card.name} ({self.convention})"

    def wants(self) -> list[Want]:
        """Return what the truth ratio wants."""
        return TruthRatio(convention=self.convention).wants()

    def measure(self, blocks: Blocks, references: Sequence[Blocks] = ()) -> Measure:
        """Return log R of this model (group 0) and of each retrained one (groups 1, 2, ...)."""
        if not references:
            raise DataError(f"{self.label}: needs the answers of at least one retrained model")
        ratio = TruthRatio(convention=self.convention)
        read = [ratio.log_ratio(b) for b in (blocks, *references)]
        tests = [kolmogorov_smirnov(read[0][1], other) for _, other in read[1:]]
        p = float(np.median([t.p for t in tests]))
        return Measure(
            name=self.label,
            ids=[i for ids, _ in read for i in ids],
            values=np.concatenate([values for _, values in read]),
            statistic=weighted_ks,
            group=np.repeat(np.arange(len(read)), [len(ids) for ids, _ in read]),
            parts={"p": p, "log10_p": log10(p), "side": float(np.mean([t.sign * t.distance for t in tests]))},
        )


@dataclass(frozen=True, kw_only=True)
class KolmogorovSmirnov:
    """An exact two-sided two-sample test.

    Args:
        distance: D, 0 to 1.
        sign: 1 where the first sample lies lower at the largest gap, −1 where it lies higher.
        p: Exact p-value.
        log10_p: Its logarithm, not below that of the smallest normal double, −307.65.
    """

    distance: float
    sign: int
    p: float
    log10_p: float


def kolmogorov_smirnov(first: np.ndarray, second: np.ndarray) -> KolmogorovSmirnov:
    """Compare two samples exactly. Raises DataError where they are too large for the exact method."""
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        test = ks_2samp(first, second, method="exact")
    if any("asymp" in str(c.message) for c in complaints):
        raise DataError(f"forget_quality: no exact test for samples of {len(first)} and {len(second)}")
    p = float(test.pvalue)
    return KolmogorovSmirnov(distance=float(test.statistic), sign=int(test.statistic_sign), p=p, log10_p=log10(p))


def log10(p: float) -> float:
    """Return log10 p, floored at the smallest normal double."""
    return float(np.log10(max(p, SMALLEST)))
