"""Min-K % Prob: the mean of the lowest log-probabilities of a text."""

from __future__ import annotations

from expunge.testing.conformance._suite import Suite, hand

PAPER = "arXiv:2310.16789"
LOG_P = [-0.1, -2.0, -0.5, -3.0, -0.2]
SUITE = Suite(
    title="Min-K % Prob",
    source=PAPER,
    form="min_k(log_p: [T], share: float) -> float, higher = more like a member",
    invariants=(
        hand("the_lowest_fifth", "The lowest of five at a share of .2.", LOG_P, 0.2, gives=-3.0, source=PAPER),
        hand("the_lowest_two", "The mean of the two lowest of five at .4.", LOG_P, 0.4, gives=-2.5, source=PAPER),
        hand("all_is_the_loss", "The mean of all at a share of 1.", LOG_P, 1.0, gives=-1.16, source=PAPER),
        hand(
            "short_texts_count",
            "At least one token counts: the lowest of three at .2.",
            [-1.0, -4.0, -2.0],
            0.2,
            gives=-4.0,
            source="int(K · T) = 0 gives the mean of nothing in several public codes",
        ),
    ),
)
