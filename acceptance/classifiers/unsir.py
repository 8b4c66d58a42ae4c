"""UNSIR on digits: a class is impaired and the others repaired; other requests are refused."""

from __future__ import annotations

from dataclasses import replace

from acceptance.baselines._classes import ADAM, COLUMNS, SEEDS, class_rows, demanded, measured, tenths
from acceptance.core import _digits
from acceptance.core._digits import Case, accuracy, every, retain_floor, shown
from expunge.errors import RequestError
from expunge.methods.unsir import UNSIR
from expunge.records import Claim, Record
from expunge.request import ForgetRequest

SLOWER = "Adam .005 then .0025, 5 epochs each"
PUBLISHED = "Adam .02 then .01, an epoch each (published)"
RATES = {SLOWER: replace(ADAM, lr=0.005, epochs=5), PUBLISHED: replace(ADAM, lr=0.02, epochs=1)}
TWO = (3, 8)


def run() -> Record:
    claims = [
        *class_rows(),
        *demanded(SLOWER, UNSIR(), RATES[SLOWER]),
        measured(PUBLISHED, UNSIR(), RATES[PUBLISHED]),
        measured("Adam .005, 5 epochs each, noise as drawn from N(0, 1)", UNSIR(noise_steps=0), RATES[SLOWER]),
        measured("Adam .02, an epoch each, noise as drawn from N(0, 1)", UNSIR(noise_steps=0), RATES[PUBLISHED]),
        measured("Adam .02, 5 epochs each", UNSIR(), replace(ADAM, lr=0.02, epochs=5)),
        measured("Adam 1e-3, an epoch each", UNSIR(), replace(ADAM, epochs=1)),
        measured("Adam 1e-3, 5 epochs each", UNSIR(), replace(ADAM, epochs=5)),
        measured("Adam 1e-4, an epoch each (another port)", UNSIR(), replace(ADAM, lr=1e-4, epochs=1)),
        *two_classes(),
        random_tenth_is_refused(),
    ]
    note = (
        "256 noise inputs a class, 40 steps of Adam .1, penalty .1, as published; batch 64 kept and 64 noise, where "
        "the released code mixes both in batches of 256; every kept record is shown, as no class has 1,000. The sheet "
        "has no figures for this method on digits: what is demanded is what is demanded of every other here. The "
        "published rate and epoch looked well on seeds 0 and 1, were demanded first and failed: on seeds 6 to 8 they "
        "keep 91.8, 88.3 and 94.3 % of the other classes' test images. Five epochs at a quarter of the rate, chosen "
        "on seeds 0 and 1 too, keep what is demanded. At the published rate, noise that was not learnt "
        "keeps more on two seeds of three."
    )
    return Record.now("unsir", "classifiers", claims, n=1797, seeds=SEEDS, note=note)


def two_classes() -> list[Claim]:
    """Two classes at once, each taught its own noise."""
    cases = []
    for seed in SEEDS:
        one = _digits.one_class(seed)
        label = dict(zip(one.data.ids, one.data.columns["label"].tolist(), strict=True))
        train, test = one.data.split("train"), one.data.split("test")
        sets = {
            "forget": [i for i in train if label[i] in TWO],
            "holdout": [i for i in test if label[i] in TWO],
            "test": [i for i in test if label[i] not in TWO],
        }
        cases.append(Case(ForgetRequest(one.data, **sets).resolve(), one.original, seed))
    floor = retain_floor(cases, 4)
    found = {n: [accuracy(c, _digits.forget(c, UNSIR(), train=t).learner) for c in cases] for n, t in RATES.items()}
    rows = found[SLOWER]
    return [
        every(
            f"classes 3 and 8, {SLOWER}: forget test, %", "≤ 5, each seed", [a.unseen for a in rows], lambda v: v <= 5
        ),
        every(
            f"classes 3 and 8, {SLOWER}: retain test, %",
            f"≥ {floor:.1f}, 4 below retrained, each seed",
            [a.test for a in rows],
            lambda v: v >= floor,
        ),
        *(shown(f"classes 3 and 8, {name}: {COLUMNS}", a) for name, a in found.items()),
    ]


def random_tenth_is_refused() -> Claim:
    """A random tenth is no class."""
    said = []
    for case in tenths():
        try:
            _digits.forget(case, UNSIR(), train=RATES[SLOWER])
            said.append("ran")
        except RequestError as error:
            said.append(str(error))
    return Claim("random 10 %", "refused with its reason", said[0], all("whole classes" in s for s in said))
