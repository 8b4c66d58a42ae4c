"""Gradient ascent: no effect, then collapse, with hardly a learning rate in between."""

from __future__ import annotations

from acceptance.core import _digits
from acceptance.core._digits import Accuracy, Case, accuracy, every, one_class, shown
from expunge.config import TrainConfig
from expunge.errors import DivergedError
from expunge.methods.gradient_ascent import GradientAscent
from expunge.records import Claim, Record

SEEDS = (0, 1, 2)


def run() -> Record:
    cases = [one_class(seed) for seed in SEEDS]
    low = [_ascended(case, 1e-3) for case in cases]
    high = [_ascended(case, 1e-2) for case in cases]
    destroyed = sum(a is None or (a.forget == 0 and a.retain <= 20) for a in high)
    clipped = [_ascended(case, 0.1, clip=1.0) for case in cases]
    claims = [
        every("SGD 1e-3: forget train, %", "100: no effect", [a.forget for a in low if a], lambda v: v >= 99),
        every("SGD 1e-3: retain train, %", "100", [a.retain for a in low if a], lambda v: v >= 99),
        Claim(
            "SGD 1e-2: seeds of 3 destroyed (forget 0, retain ≤ 20 %) or stopped as diverging",
            "3 (0/11/11)",
            destroyed,
            destroyed == 3,
        ),
        shown("SGD 1e-2: forget train/retain train/retain test, %", [a or "stopped" for a in high]),
        shown("SGD 0.1, gradients clipped at 1: the same", clipped),
    ]
    note = (
        "5 epochs over the forget set, batch 32, no clipping but in the last row. It destroys, as it should: the "
        "baseline that others must beat."
    )
    return Record.now("gradient_ascent", "core", claims, n=1797, seeds=SEEDS, note=note)


def _ascended(case: Case, rate: float, clip: float | None = None) -> Accuracy | None:
    """None where the divergence guard stopped the run."""
    train = TrainConfig(epochs=5, lr=rate, batch_size=32, optimiser="sgd", clip=clip)
    try:
        return accuracy(case, _digits.forget(case, GradientAscent(), train=train).learner)
    except DivergedError:
        return None
