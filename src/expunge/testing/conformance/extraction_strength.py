"""Extraction strength: the share of an answer that is said unaided once the rest is given."""

from __future__ import annotations

from expunge.testing.conformance._suite import Suite, hand

PAPER = "arXiv:2506.12618"
FLOOR = "a search that ends at the last token gives 1/T where nothing is right"
SUITE = Suite(
    title="Extraction strength",
    source=PAPER,
    form="extraction_strength(right: [T] of 0 and 1, whether the likeliest token was the answer's) -> float, 0 to 1",
    invariants=(
        hand("nothing_right_is_zero", "0 where no token is right.", [0] * 10, gives=0.0, source=FLOOR),
        hand("one_wrong_token_is_zero", "0, not 1, for an answer of one wrong token.", [0], gives=0.0, source=FLOOR),
        hand("all_right_is_one", "1 where every token is right.", [1, 1, 1, 1], gives=1.0, source=PAPER),
        hand(
            "the_right_ending_counts",
            "The length of the right ending over T, whatever was right before.",
            [1, 0, 1, 1],
            gives=0.5,
            source=PAPER,
        ),
    ),
)
