"""Adaptive unlearning score: utility that was kept, over how far forget and test accuracy lie from one another."""

from __future__ import annotations

from expunge.testing.conformance._suite import Suite, hand

PAPER = "arXiv:2312.02052"
SUITE = Suite(
    title="AUS",
    source=PAPER,
    form="aus(test_original: float, test_unlearned: float, forget_unlearned: float) -> float; accuracies, 0 to 1",
    invariants=(
        hand(
            "nothing_lost_nothing_told",
            "1 where nothing is lost and the forget set is as the test set.",
            0.9,
            0.9,
            0.9,
            gives=1.0,
            source=PAPER,
        ),
        hand("both_terms", "(1 − .1) / (1 + .6).", 0.9, 0.8, 0.2, gives=0.5625, source=PAPER),
        hand(
            "the_gap_has_no_sign",
            "(1 − .1) / (1 + .1), the forget set above the test set.",
            0.9,
            0.8,
            0.9,
            gives=0.818182,
            source=PAPER,
        ),
    ),
)
