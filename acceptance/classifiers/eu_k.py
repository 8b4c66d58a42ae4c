"""EU-k on digits: a new head no longer says a class, and what the layers below it still know."""

from __future__ import annotations

from dataclasses import replace

from acceptance.baselines._classes import (
    ADAM,
    SEEDS,
    SGD,
    cases,
    class_rows,
    demanded,
    measured,
    random_images,
    random_rows,
)
from acceptance.classifiers._heads import agreement, is_one, under_the_old_head
from acceptance.core import _digits
from acceptance.core._digits import every, retrained, shown
from expunge.methods.eu_k import EUK
from expunge.methods.retrain import Retrain
from expunge.records import Claim, Record


def run() -> Record:
    claims = [
        *class_rows(),
        *demanded("Adam 1e-3, 10 epochs, k 1", EUK(), ADAM),
        *demanded("Adam 1e-3, 10 epochs, k 2", EUK(k=2), ADAM),
        measured("SGD .01, 10 epochs, k 1 (published rate and epochs)", EUK(), SGD),
        measured("SGD .01, 10 epochs, k 2", EUK(k=2), SGD),
        whole(),
        *beneath(),
        *random_rows(),
        *random_images("Adam 1e-3, 10 epochs, k 1", EUK(), ADAM),
        *random_images("Adam 1e-3, 10 epochs, k 2", EUK(k=2), ADAM),
    ]
    note = (
        "A perceptron 64-128-128-10: k 1 is its head, k 2 the layer before it too, k 3 all. The sheet gives settings "
        "and no figures. A new head is never shown the forgotten class, so it cannot say it, whatever the body knows: "
        "with the original's head on it the body still reads every image of the class. Judge what it says and its "
        "features apart. A random tenth is told by the retained records of the same classes, as it is by retraining; "
        "the body that was trained on it stays."
    )
    return Record.now("eu_k", "classifiers", claims, n=1797, seeds=SEEDS, note=note)


def whole() -> Claim:
    """Claim the limit: with every layer it is retraining."""
    same = 0
    for case in cases():
        ends = [_digits.forget(case, m, train=replace(ADAM, epochs=2)).learner.hash() for m in (EUK(k=3), Retrain())]
        same += ends[0] == ends[1]
    return Claim("every layer: seeds of 3 that end as retraining does, bit for bit", "3 of 3", same, same == 3)


def beneath() -> list[Claim]:
    """Claim that a new head leaves the forgotten images laid out as before, and read them with the old head."""
    kept, swapped, apart = [], [], []
    for case in cases():
        learner = _digits.forget(case, EUK(), train=ADAM).learner
        kept.append(agreement(case, learner, case.original))
        apart.append(agreement(case, retrained(case), case.original))
        swapped.append(under_the_old_head(case, learner))
    return [
        every("k 1: alignment of features with the original's on the forget set", "1, each seed", kept, is_one),
        shown("retrained: alignment of features with the original's on the forget set", [f"{a:.3f}" for a in apart]),
        every("k 1 under the original's head: forget train, %", "as the original, 100", swapped, lambda v: v == 100),
    ]
