"""U-LiRA: a likelihood ratio between models that unlearned a record and models that never saw it."""

from __future__ import annotations

from expunge.testing.conformance._suite import Suite, hand

PAPER = "arXiv:2403.01218"
AROUND_2, AROUND_0, WIDE = [1.0, 3.0] * 2000, [-1.0, 1.0] * 2000, [0.0, 4.0] * 2000
SUITE = Suite(
    title="U-LiRA's score",
    source=PAPER,
    form="u_lira(phi: float, unlearned: [S], never_seen: [S]) -> float, nats, higher = more like unlearned",
    invariants=(
        hand(
            "at_the_unlearned_mean",
            "N(2, 1) against N(0, 1) at 2: 2 nats.",
            2.0,
            AROUND_2,
            AROUND_0,
            gives=2.0,
            source=PAPER,
            within=1e-2,
        ),
        hand("between_the_two", "At 1: 0 nats.", 1.0, AROUND_2, AROUND_0, gives=0.0, source=PAPER, within=1e-2),
        hand(
            "each_world_has_its_spread",
            "N(2, 4) against N(0, 1) at 0: −log 2 − ½.",
            0.0,
            WIDE,
            AROUND_0,
            gives=-1.193147,
            source=PAPER,
            within=1e-2,
        ),
    ),
)
