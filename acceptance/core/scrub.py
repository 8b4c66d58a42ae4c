"""SCRUB and SCRUB+R: two measurements of one class, random images, swapped labels, and what breaks the method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from acceptance.core import _digits
from acceptance.core._digits import CLASS, Case, accuracy, every, one_class, random_tenth, retain_floor, shown
from expunge.config import TrainConfig
from expunge.data import Dataset, digits
from expunge.errors import DivergedError
from expunge.learners import Learner
from expunge.methods.scrub import SCRUB
from expunge.records import Claim, Record
from expunge.request import ForgetRequest
from expunge.train import Run, Step

TRAIN = TrainConfig(epochs=10, lr=1e-3, optimiser="adam", clip=None)
SETTINGS = {"α .001": SCRUB(alpha=0.001, gamma=0.99), "α .5": SCRUB(alpha=0.5, gamma=1.0)}
CONFUSED = SCRUB(alpha=0.01, gamma=99.0, temperature=2.0, max_epochs=2, milestones=(5, 6, 9))
SHEET = {  # of two seeds, random 10 %: lowest and highest accuracy, %, and the images it is taken over
    ("SCRUB", "forget train"): (98.5, 99.0, 130),
    ("SCRUB", "whole test set"): (97.0, 97.0, 497),  # no rewind, so the holdout images are test images too
    ("SCRUB+R", "forget train"): (97.0, 98.0, 130),
    ("SCRUB+R", "test"): (95.0, 97.0, 367),
}
SPLIT = 3  # of the second measurement, whose own split is not known


@dataclass(frozen=True, kw_only=True)
class WrongSchedule(SCRUB):
    """A max pass in every epoch, after the min pass."""

    def batches(self, run: Run) -> Iterator[Step]:
        yield Step(call="nudge")
        for epoch in range(1, round(run.train.epochs) + 1):
            scale = self.decay ** sum(m < epoch for m in self.milestones)
            yield from run.one_pass("retain", batch_size=self.retain_batch, phase="min", lr_scale=scale)
            yield from run.one_pass("forget", batch_size=self.forget_batch, phase="max", lr_scale=scale)


def run() -> Record:
    claims = [*one_class_claims(), *second_claims(), *schedule_claims(), *random_claims(), *confusion_claims()]
    note = (
        "Adam 1e-3 without clipping, T 4, 10 epochs, milestones 5, 8, 9, three max epochs, batches 32 and 64. The "
        "sheet names no split for the second measurement: split seed 3 was taken, on which retrained models reach "
        "98-99; on splits whose retrained models reach 96-97 it gives 93-96. Swapped labels: 60 images of each of "
        "two classes, published setting (α .01, γ 99, T 2, two max epochs); with 60 in all the original confuses "
        "too few test images for a share of them to mean anything, and α .001 is the wrong setting for this use. "
        "With gradients clipped at 1, α .5 forgets nothing: the max passes become too weak. That the teacher is "
        "unchanged, weights stay without any force, and rewinding is bit-exact is tested in "
        "tests/methods/test_scrub.py. One class, SCRUB+R: every snapshot that forgot errs on all images, as on "
        "unseen ones of the class; ties go to the later epoch, so the last is taken where the sheet saw 1 to 3. "
        "The test accuracy of random 10 % is over the sheet's 497 images where nothing is rewound, and over the "
        "367 that are no holdout images where something is."
    )
    return Record.now("scrub", "core", claims, n=1797, seeds=tuple(range(8)), note=note)


def one_class_claims() -> list[Claim]:
    """First measurement: 4 seeds, two settings."""
    cases = [one_class(seed) for seed in range(4)]
    floor = retain_floor(cases, 4)
    claims = []
    for name, method in SETTINGS.items():
        found = [accuracy(case, _digits.forget(case, method, train=TRAIN).learner) for case in cases]
        claims += [
            every(
                f"one class, {name}: forget test, %",
                "≤ 5, each of 4 seeds",
                [a.unseen for a in found],
                lambda v: v <= 5,
            ),
            every(
                f"one class, {name}: retain test, %",
                f"≥ {floor:.1f}, 4 below retrained, each of 4 seeds",
                [a.test for a in found],
                lambda v: v >= floor,
            ),
        ]
    rewinds = [_digits.forget(case, SCRUB(rewind=True), train=TRAIN).log[-1]["rewind"] for case in cases]
    excess = [_gap(r, r["epoch"]) - min(_gap(r, int(e)) for e in r["errors"]) for r in rewinds]
    return [
        *claims,
        every("one class, SCRUB+R: gap to the reference beyond the nearest snapshot's", "0", excess, lambda v: v == 0),
        shown("one class, SCRUB+R: epoch taken (sheet 1-3)", [r["epoch"] for r in rewinds]),
    ]


def second_claims() -> list[Claim]:
    """Second measurement: 8 seeds, two settings, with and without the nudge."""
    cases = [one_class(seed, split=SPLIT) for seed in range(8)]
    claims = []
    stopped, silent = 0, 0
    for name, method in SETTINGS.items():
        found = [accuracy(case, _digits.forget(case, method, train=TRAIN).learner) for case in cases]
        claims += [
            every(
                f"second measurement, {name}: forget test, %",
                "0, 8 of 8 seeds",
                [a.unseen for a in found],
                lambda v: v == 0,
            ),
            every(
                f"second measurement, {name}: retain test, %",
                "≥ 96 (96-98)",
                [a.test for a in found],
                lambda v: v >= 96,
            ),
        ]
        for case in cases:
            bare = SCRUB(alpha=method.alpha, gamma=method.gamma, init_nudge=0)
            try:
                silent += accuracy(case, _digits.forget(case, bare, train=TRAIN).learner).unseen > 5
            except DivergedError:
                stopped += 1
    return [
        *claims,
        Claim("without the nudge: runs of 16 that keep the class and say nothing", "0", silent, silent == 0),
        Claim(
            "without the nudge: runs of 16 stopped as wrong-way escapes",
            "≥ 1: the nudge is needed",
            stopped,
            stopped >= 1,
        ),
    ]


def schedule_claims() -> list[Claim]:
    """What the order of the passes is worth."""
    cases = [one_class(seed) for seed in range(3)]
    pairs = [[_digits.forget(c, m(), train=TRAIN).learner for m in (SCRUB, WrongSchedule)] for c in cases]
    right, wrong = ([accuracy(c, pair[k]) for c, pair in zip(cases, pairs, strict=True)] for k in (0, 1))
    apart = min(a.retain for a in right) - max(a.retain for a in wrong)
    return [
        Claim("retain train, worst right schedule less best wrong one, points", "≥ 15: told apart", apart, apart >= 15),
        shown("right schedule: retain train, % (sheet 98-99.8)", [f"{a.retain:.1f}" for a in right]),
        shown("wrong schedule: retain train, % (sheet 71-80)", [f"{a.retain:.1f}" for a in wrong]),
    ]


def random_claims() -> list[Claim]:
    """Random 10 %: as much forgotten as by retraining, no more."""
    cases = [random_tenth(seed) for seed in range(2)]
    learners: dict[str, list[Learner]] = {
        "original": [case.original for case in cases],
        "retrained": [_digits.retrained(case) for case in cases],
        "SCRUB": [_digits.forget(case, SCRUB(), train=TRAIN).learner for case in cases],
        "SCRUB+R": [_digits.forget(case, SCRUB(rewind=True), train=TRAIN).learner for case in cases],
        "SCRUB, α .5": [_digits.forget(case, SETTINGS["α .5"], train=TRAIN).learner for case in cases],
        "wrong schedule": [_digits.forget(case, WrongSchedule(), train=TRAIN).learner for case in cases],
    }
    found = {n: [_random_accuracy(c, x) for c, x in zip(cases, each, strict=True)] for n, each in learners.items()}
    gaps = {n: [abs(row["forget train"] - row["test"]) for row in rows] for n, rows in found.items()}
    excess = [r - s for r, s in zip(gaps["SCRUB+R"], gaps["SCRUB"], strict=True)]
    shares = {n: ["/".join(f"{v:.1f}" for v in row.values()) for row in rows] for n, rows in found.items()}
    columns = "forget train/retain train/test/whole test set, %"
    return [
        every(
            "random 10 %: |forget - test| of SCRUB+R less that of SCRUB, points",
            "≤ 0, both seeds",
            excess,
            lambda v: v <= 0,
        ),
        *(_near(name, column, *limits, rows) for (name, column), limits in SHEET.items() for rows in [found[name]]),
        *(shown(f"random 10 %, {name}: {columns}", rows) for name, rows in shares.items()),
    ]


def confusion_claims() -> list[Claim]:
    """Labels of two classes are swapped on 60 images of each; forgetting these resolves the confusion."""
    pairs = [(CLASS, 5), (CLASS, 8), (1, 7)]
    cases = {(pair, seed): _confused(*pair, seed) for pair in pairs for seed in (0, 1)}
    errors = {key: _confusions(case.original, case.data, *key[0]) for key, case in cases.items()}
    after = {k: _confusions(_digits.forget(c, CONFUSED, train=TRAIN).learner, c.data, *k[0]) for k, c in cases.items()}
    reference = {k: _confusions(_digits.retrained(c), c.data, *k[0]) for k, c in cases.items()}
    shares = [100 * after[k] / errors[k] for k in cases]
    beyond = [float(after[k] - reference[k]) for k in cases]
    return [
        every("swapped labels: confusions after SCRUB, % of the original's", "< 25", shares, lambda v: v < 25),
        every(
            "swapped labels: confusions of about 100 test images beyond retrained",
            "≤ 5, close to it",
            beyond,
            lambda v: v <= 5,
        ),
        shown("swapped labels: confusions of the original", list(errors.values())),
    ]


def _near(name: str, column: str, low: float, high: float, images: int, rows: list[dict[str, float]]) -> Claim:
    """Claim that accuracies lie in the sheet's range, give or take the sampling error of so many images."""
    noise = _digits.sampling_error(low, images)
    values = [row[column] for row in rows]
    demanded = f"{low:g} to {high:g}, ± {noise:.1f} for {images} images"
    return every(f"random 10 %, {name}: {column}, %", demanded, values, lambda v: low - noise <= v <= high + noise)


def _gap(rewind: dict[str, Any], epoch: int) -> float:
    return abs(rewind["errors"][str(epoch)] - rewind["reference"])


def _random_accuracy(case: Case, learner: Learner) -> dict[str, float]:
    found = accuracy(case, learner)
    whole = _digits.hits(learner, case.data, case.data.split("test"))
    return {"forget train": found.forget, "retain train": found.retain, "test": found.test, "whole test set": whole}


def _confused(first: int, second: int, seed: int) -> Case:
    clean = digits.load()
    label = clean.columns["label"].copy()
    draw = np.random.default_rng(seed)
    swapped: list[str] = []
    for kind in (first, second):
        members = [i for i in clean.split("train") if clean.columns["label"][clean.row_of[i]] == kind]
        swapped += draw.choice(members, 60, replace=False).tolist()
    label[clean.rows(swapped)] = first + second - label[clean.rows(swapped)]
    data = Dataset("digits, labels swapped", clean.ids, {**clean.columns, "label": label})
    return Case(ForgetRequest(data, forget=swapped).resolve(), _digits.original(data, seed), seed)


def _confusions(learner: Learner, data: Dataset, first: int, second: int) -> int:
    """FGT-ERR: test images of either class that are taken for the other."""
    read = learner.score(data, data.split("test"), batch_size=2000)[""]["extras"]
    truth, said = read["target"], read["log_probs"].argmax(1)
    return int((((truth == first) & (said == second)) | ((truth == second) & (said == first))).sum())
