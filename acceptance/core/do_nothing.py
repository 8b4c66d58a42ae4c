"""Do nothing: the original, bit for bit."""

from __future__ import annotations

from acceptance.core import _digits
from acceptance.core._digits import accuracy, one_class, shown
from expunge.config import TrainConfig
from expunge.methods.do_nothing import DoNothing
from expunge.records import Claim, Record

SEEDS = (0, 1, 2)


def run() -> Record:
    cases = [one_class(seed) for seed in SEEDS]
    learners = [_digits.forget(case, DoNothing(), train=TrainConfig()).learner for case in cases]
    equal = sum(learner.hash() == case.original.hash() for case, learner in zip(cases, learners, strict=True))
    claims = [
        Claim("models of 3 that equal the original in every bit", "3", equal, equal == 3),
        shown(
            "one class: forget train/retain train/retain test, % (sheet 100/100/97)",
            [accuracy(c, x) for c, x in zip(cases, learners, strict=True)],
        ),
    ]
    return Record.now(
        "do_nothing", "core", claims, n=1797, seeds=SEEDS, note="Control row: no figure beyond equality is demanded."
    )
