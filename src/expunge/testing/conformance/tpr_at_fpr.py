"""True-positive rate at a false-positive rate that is not exceeded."""

from __future__ import annotations

from expunge.testing.conformance._suite import Suite, hand

PAPER = "arXiv:2112.03570"
OTHERS = [float(k) for k in range(100)]
SUITE = Suite(
    title="TPR at low FPR",
    source=PAPER,
    form="tpr_at_fpr(members: [n], others: [m], fpr: float) -> float",
    invariants=(
        hand(
            "one_false_accusation",
            "At 1 % of 100 others one may be accused, not two.",
            [99.5, 98.5, 97.5, 50.0],
            OTHERS,
            0.01,
            gives=0.5,
            source=PAPER,
        ),
        hand(
            "ties_accuse_all",
            "0 where all scores are equal: who is accused with the members counts.",
            [1.0, 1.0],
            [1.0] * 100,
            0.01,
            gives=0.0,
            source="a strict threshold on one side only",
        ),
        hand(
            "none_may_be_accused",
            "At 0 only members above every other are found.",
            [99.5, 98.5],
            OTHERS,
            0.0,
            gives=0.5,
            source=PAPER,
        ),
    ),
)
