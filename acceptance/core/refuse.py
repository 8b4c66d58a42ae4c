"""Refuse on digits: the listed images get equal scores, everything else passes, the weights are untouched."""

from __future__ import annotations

import math

import numpy as np

from acceptance.core import _digits
from acceptance.core._digits import accuracy, every, one_class
from expunge.config import TrainConfig
from expunge.methods.refuse import Refuse
from expunge.records import Claim, Record
from expunge.train import copied

SEEDS = (0, 1, 2)


def run() -> Record:
    cases = [one_class(seed) for seed in SEEDS]
    learners = [_digits.forget(case, Refuse(), train=TrainConfig()).learner for case in cases]
    gaps, unchanged, served = [], 0, []
    for case, learner in zip(cases, learners, strict=True):
        logp = learner.score(case.data, case.request.ids["forget"])[""]["logp"]
        gaps.append(float(np.abs(logp - math.log(0.1)).max()))
        bare = copied(learner)
        bare.guards = []
        unchanged += bare.hash() == case.original.hash() and learner.hash() != case.original.hash()
        before, after = accuracy(case, case.original), accuracy(case, learner)
        served.append(
            max(abs(before.unseen - after.unseen), abs(before.retain - after.retain), abs(before.test - after.test))
        )
    claims = [
        every("forgotten images: |log p(true) - log 1/10|, nats", "≤ 1e-6: equal scores", gaps, lambda v: v <= 1e-6),
        every(
            "retained and unseen images: change of accuracy, points",
            "0: a filter on exact inputs",
            served,
            lambda v: v == 0,
        ),
        Claim(
            "models of 3 whose weights equal the original's, and whose guard shows in the hash",
            "3",
            unchanged,
            unchanged == 3,
        ),
    ]
    note = (
        "Surface suppression: unseen images of the class are recognised as before, and so are the forgotten ones "
        "without the guard."
    )
    return Record.now("refuse", "core", claims, n=1797, seeds=SEEDS, note=note)
