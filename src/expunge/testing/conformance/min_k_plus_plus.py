"""Min-K++: log-probabilities in standard deviations of what could have stood there."""

from __future__ import annotations

import math

from expunge.testing.conformance._suite import Suite, hand

PAPER = "arXiv:2404.02936"
PEAKED = [math.log(p) for p in (0.7, 0.1, 0.1, 0.1)]
SHARP = [math.log(p) for p in (0.97, 0.01, 0.01, 0.01)]
UNIFORM = [math.log(0.25)] * 4
SUITE = Suite(
    title="Min-K++ % Prob",
    source=PAPER,
    form="min_k_plus_plus(log_p: [T, V], token: [T], share: float) -> float, higher = more like a member",
    invariants=(
        hand(
            "one_position",
            "Mean and deviation are taken under p: z of the likely token.",
            [PEAKED],
            [0],
            1.0,
            gives=0.654654,
            source=PAPER,
        ),
        hand("an_unlikely_token", "z of a token of probability .01.", [SHARP], [2], 1.0, gives=-5.686241, source=PAPER),
        hand(
            "even_odds_are_zero",
            "Where all words are as likely z is 0, not 0/0.",
            [UNIFORM],
            [1],
            1.0,
            gives=0.0,
            source="a variance of 0, or below it from rounding",
            within=1e-3,
        ),
        hand(
            "the_lowest_half",
            "The mean of the lowest z of two.",
            [PEAKED, SHARP],
            [0, 2],
            0.5,
            gives=-5.686241,
            source=PAPER,
        ),
    ),
)
