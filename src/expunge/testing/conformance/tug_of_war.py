"""Tug-of-war: how near three accuracies are to retraining's."""

from __future__ import annotations

from expunge.testing.conformance._suite import Suite, hand

PAPER = "arXiv:2406.01257"
SUITE = Suite(
    title="ToW",
    source=PAPER,
    form="tug_of_war(unlearned: [3], retrained: [3]) -> float; accuracies on forget, retain and test set, 0 to 1",
    invariants=(
        hand(
            "equal_is_1",
            "1 where all accuracies are retraining's.",
            [0.1, 0.9, 0.8],
            [0.1, 0.9, 0.8],
            gives=1.0,
            source=PAPER,
        ),
        hand(
            "gaps_multiply", "(1 − .1)(1 − .2)(1 − .05).", [0.1, 0.7, 0.75], [0.0, 0.9, 0.8], gives=0.684, source=PAPER
        ),
        hand(
            "better_is_as_far",
            "An accuracy above retraining's costs what one below does.",
            [0.0, 1.0, 0.8],
            [0.2, 0.9, 0.8],
            gives=0.72,
            source=PAPER,
        ),
    ),
)
