"""RMIA: the share of a population whose likelihood ratio a record exceeds."""

from __future__ import annotations

from expunge.testing.conformance._suite import Suite, hand

PAPER = "arXiv:2312.03262"
SUITE = Suite(
    title="RMIA's score, offline",
    source=PAPER,
    form="rmia(p: float, p_out: float, a: float, ratios: [m] of the population, gamma: float) -> float, 0 to 1",
    invariants=(
        hand(
            "two_of_three",
            "p .9 over .65 · .3 + .35 is 1.651, above two of .5, 1.2, 2.",
            0.9,
            0.3,
            0.3,
            [0.5, 1.2, 2.0],
            1.0,
            gives=2 / 3,
            source=PAPER,
        ),
        hand(
            "gamma_raises_the_bar",
            "At γ 2 only .5 is exceeded.",
            0.9,
            0.3,
            0.3,
            [0.5, 1.2, 2.0],
            2.0,
            gives=1 / 3,
            source=PAPER,
        ),
        hand(
            "a_of_1_is_the_shadow_models",
            "At a = 1 the ratio is p / p_out = 3, above all three.",
            0.9,
            0.3,
            1.0,
            [0.5, 1.2, 2.9],
            1.0,
            gives=1.0,
            source=PAPER,
        ),
    ),
)
