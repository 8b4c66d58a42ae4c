"""The zlib score: mean log-probability over compressed length."""

from __future__ import annotations

from expunge.testing.conformance._suite import Suite, hand

PAPER = "arXiv:2012.07805"
LOG_P = [-0.1, -2.0, -0.5, -3.0, -0.2]
SUITE = Suite(
    title="zlib score",
    source=PAPER,
    form="zlib_score(log_p: [T], text: str) -> float, higher = more like a member",
    invariants=(
        hand(
            "over_26_bytes",
            "The mean log p over the compressed length in bytes, level 6.",
            LOG_P,
            "The author is Ada.",
            gives=-1.16 / 26,
            source=PAPER,
            within=1e-6,
        ),
        hand(
            "repetition_is_short",
            "18 equal letters compress to 11 bytes.",
            LOG_P,
            "a" * 18,
            gives=-1.16 / 11,
            source=PAPER,
            within=1e-6,
        ),
    ),
)
