"""Zero-retrain forgetting: 1 less the mean Jensen-Shannon divergence from an untrained model."""

from __future__ import annotations

from expunge.testing.conformance._suite import Suite, hand

PAPER = "arXiv:2205.08096"
SUMMED = "divided by the classes too, the score is squeezed towards 1, in released code"
SUITE = Suite(
    title="ZRF",
    source=PAPER,
    form="zrf(p: [n, C] of the model, q: [n, C] of the untrained one) -> float, nats, 1 − ln 2 to 1",
    invariants=(
        hand("equal_answers_give_1", "1 where both say the same.", [[0.6, 0.4]], [[0.6, 0.4]], gives=1.0, source=PAPER),
        hand(
            "classes_are_summed",
            "JS of (.9, .1) and (.1, .9) is .3681 nats.",
            [[0.9, 0.1]],
            [[0.1, 0.9]],
            gives=0.631936,
            source=SUMMED,
        ),
        hand(
            "records_are_averaged",
            "The mean of 1 and .6319.",
            [[0.9, 0.1], [0.5, 0.5]],
            [[0.1, 0.9], [0.5, 0.5]],
            gives=0.815968,
            source=PAPER,
        ),
    ),
)
