"""SCRUB's three uses on digits, each of which wants another forgetting: bias, confusion, user privacy."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from acceptance.baselines._classes import SEEDS
from acceptance.core import _digits
from acceptance.core._digits import Case, accuracy, every, hits, one_class, retain_floor, retrained, shown
from acceptance.core.scrub import CONFUSED, TRAIN, _confused, _confusions
from expunge.data import digits
from expunge.learners import Learner
from expunge.methods.scrub import SCRUB
from expunge.records import Claim, Record
from expunge.request import ForgetRequest
from expunge.train import Method

PAIRS = ((3, 5), (3, 8), (1, 7))
SELECTED = 60
TRAINED, FORGOTTEN, HELD_OUT = 400, 100, 300
PRIVATE = SCRUB(alpha=0.5, gamma=1.0, forget_batch=16, retain_batch=32, rewind=True)
NOISE = 4.7
"""Two standard errors of an error of 6 % over 100 images, in points."""
AUC_NOISE = 0.06
"""Two standard errors of an AUC of 100 images against 1,097."""


def run() -> Record:
    claims = [*bias_claims(), *confusion_claims(), *privacy_claims()]
    note = (
        "Adam 1e-3, 10 epochs, no clip. Bias: default settings. Confusion: 60 images of each of two classes have their "
        "labels swapped, published setting (α .01, γ 99, T 2, two max epochs), 3 pairs of classes and 3 seeds. "
        "Privacy: 1,300 images leave hardly a gap between seen and unseen ones, so 400 are trained on and 100 of them "
        "forgotten; the setting is that published for the membership attack (α .5, γ 1, three max epochs, batches 16 "
        "and 32), rewinding reads 300 unseen images, the figures 1,097 others. It was chosen on seeds 0 to 2 among "
        "six; the default α .001 wrecked the model there, with errors of 51 to 63 % on retained images. The AUC of an "
        "attack by the loss also says which images happen to be hard, so the retrained model's is the measure. What "
        "fails: in a few of nine runs SCRUB leaves more confusions than 5 beyond a retrained model, which has 0 to 4; "
        "and SCRUB+R can stop where errors on forgotten images are fewer than on unseen ones, in a worse model."
    )
    return Record.now("scrub_uses", "classifiers", claims, n=1797, seeds=SEEDS, note=note)


def bias_claims() -> list[Claim]:
    """Remove a class: the more errors on it the better, and no retrained model is asked."""
    cases = [one_class(seed) for seed in SEEDS]
    floor = retain_floor(cases, 4)
    found = [accuracy(case, _digits.forget(case, SCRUB(), train=TRAIN).learner) for case in cases]
    some = [_selective(seed) for seed in SEEDS]
    rows = {
        "original": [case.original for case in some],
        "retrained": [retrained(case) for case in some],
        "SCRUB": [_digits.forget(case, SCRUB(), train=TRAIN).learner for case in some],
    }
    return [
        every(
            "bias, one class: errors on it, train and unseen, %",
            "≥ 95, each seed",
            [100 - v for a in found for v in (a.forget, a.unseen)],
            lambda v: v >= 95,
        ),
        every(
            "bias, one class: retain test, %",
            f"≥ {floor:.1f}, 4 below retrained, each seed",
            [a.test for a in found],
            lambda v: v >= floor,
        ),
        *(
            shown(
                f"bias, {SELECTED} images of one class, {name}: errors on them/other training images/test, %",
                ["/".join(f"{v:.1f}" for v in _errors(c, m)) for c, m in zip(some, each, strict=True)],
            )
            for name, each in rows.items()
        ),
    ]


def confusion_claims() -> list[Claim]:
    """Labels of two classes were swapped: FGT-ERR counts the confusions, IC-ERR all errors on the two classes."""
    claims, shares, beyond, wrong = [], [], [], []
    for pair in PAIRS:
        rows: dict[str, list[str]] = {"original": [], "retrained": [], "SCRUB": []}
        for seed in SEEDS:
            case = _confused(*pair, seed)
            models = (case.original, retrained(case), _digits.forget(case, CONFUSED, train=TRAIN).learner)
            figures = [(_confusions(m, case.data, *pair), _wrong(m, case, *pair)) for m in models]
            for name, (confused, errors) in zip(rows, figures, strict=True):
                rows[name].append(f"{confused}/{errors:.1f}")
            before, reference, after = figures
            shares.append(100 * after[0] / before[0])
            beyond.append(float(after[0] - reference[0]))
            wrong.append(after[1] - reference[1])
        name = f"{pair[0]} and {pair[1]}"
        claims += [shown(f"confusion of {name}, {n}: FGT-ERR/IC-ERR, images/%", each) for n, each in rows.items()]
    return [
        every("confusion: FGT-ERR after SCRUB, % of the original's", "< 25, each of 9", shares, lambda v: v < 25),
        every("confusion: FGT-ERR beyond retrained, images", "≤ 5, each of 9", beyond, lambda v: v <= 5),
        every("confusion: IC-ERR beyond retrained, points", "≤ 5, each of 9", wrong, lambda v: v <= 5),
        *claims,
    ]


def privacy_claims() -> list[Claim]:
    """Records of users: errors on them as on unseen ones, no more and no fewer, and an attack that sees no more."""
    cases = [_private(seed) for seed in SEEDS]
    again = [Case(case.request, case.original, case.seed + 10) for case in cases]
    rows: dict[str, list[Learner]] = {
        "original": [case.original for case in cases],
        "retrained": [retrained(case) for case in cases],
        "another seed of retraining": [retrained(case) for case in again],
        "SCRUB": _all(cases, SCRUB(alpha=0.5, gamma=1.0, forget_batch=16, retain_batch=32)),
        "SCRUB+R": _all(cases, PRIVATE),
        "SCRUB+R, α .001, batches 32 and 64": _all(cases, SCRUB(rewind=True)),
    }
    errors = {n: [_errors(c, m) for c, m in zip(cases, each, strict=True)] for n, each in rows.items()}
    attack = {n: [_auc(c, m) for c, m in zip(cases, each, strict=True)] for n, each in rows.items()}
    gaps = [abs(forget - test) for forget, _, test in errors["SCRUB+R"]]
    apart = [abs(a - b) for a, b in zip(attack["SCRUB+R"], attack["retrained"], strict=True)]
    return [
        every(
            "privacy, SCRUB+R: |errors on forgotten less on unseen|, points",
            _at_most(NOISE),
            gaps,
            lambda v: v <= NOISE,
        ),
        every("privacy, SCRUB+R: |attack AUC less retrained's|", _at_most(AUC_NOISE), apart, lambda v: v <= AUC_NOISE),
        *(
            shown(
                f"privacy, {name}: errors forgotten/retained/unseen, %, attack AUC",
                [
                    "/".join(f"{v:.1f}" for v in e) + f" {a:.3f}"
                    for e, a in zip(errors[name], attack[name], strict=True)
                ],
            )
            for name in rows
        ),
    ]


def _all(cases: Sequence[Case], method: Method) -> list[Learner]:
    return [_digits.forget(case, method, train=TRAIN).learner for case in cases]


def _at_most(noise: float) -> str:
    return f"≤ {noise:g}, two standard errors, each seed"


def _selective(seed: int) -> Case:
    """Forget 60 training images of a class and keep the others."""
    whole = one_class(seed)
    forget = random.Random(seed).sample(whole.request.ids["forget"], SELECTED)
    test = whole.data.split("test")
    return Case(ForgetRequest(whole.data, forget=forget, test=test).resolve(), whole.original, seed)


def _private(seed: int) -> Case:
    data = digits.load(test_fraction=(1797 - TRAINED) / 1797, seed=seed)
    draw = random.Random(seed)
    forget, holdout = draw.sample(data.split("train"), FORGOTTEN), draw.sample(data.split("test"), HELD_OUT)
    test = [i for i in data.split("test") if i not in set(holdout)]
    request = ForgetRequest(data, forget=forget, holdout=holdout, test=test).resolve()
    return Case(request, _digits.original(data, seed), seed)


def _errors(case: Case, learner: Learner) -> list[float]:
    """Errors on the forget, retain and test set, %."""
    return [100 - hits(learner, case.data, case.request.ids[role]) for role in ("forget", "retain", "test")]


def _wrong(learner: Learner, case: Case, first: int, second: int) -> float:
    """IC-ERR: share of the test images of two classes that are taken for any other class than their own, %."""
    label = dict(zip(case.data.ids, case.data.columns["label"].tolist(), strict=True))
    return 100 - hits(learner, case.data, [i for i in case.data.split("test") if label[i] in (first, second)])


def _auc(case: Case, learner: Learner) -> float:
    """How often a forgotten image is likelier than an unseen one."""
    sets = [case.request.ids[role] for role in ("forget", "test")]
    logp = [learner.score(case.data, ids, batch_size=2000)[""]["logp"] for ids in sets]
    ranks, n = rankdata(np.concatenate(logp)), len(logp[0])
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * len(logp[1])))
