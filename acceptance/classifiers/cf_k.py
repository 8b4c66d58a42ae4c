"""CF-k on digits: what fine-tuning the last layers leaves, for one class and for a random tenth."""

from __future__ import annotations

from dataclasses import replace

import torch

from acceptance.baselines._classes import (
    ADAM,
    SEEDS,
    SGD,
    cases,
    class_rows,
    measured,
    random_images,
    random_rows,
)
from acceptance.core import _digits
from expunge.methods.cf_k import CFK
from expunge.methods.finetune import Finetune
from expunge.records import Claim, Record


def run() -> Record:
    claims = [
        *below("k 1", CFK()),
        *below("k 2", CFK(k=2)),
        whole(),
        *class_rows(),
        measured("SGD .01, 10 epochs, k 1 (published rate and epochs)", CFK(), SGD),
        measured("SGD .01, 10 epochs, k 2", CFK(k=2), SGD),
        measured("Adam 1e-3, 10 epochs, k 1", CFK(), ADAM),
        measured("Adam 1e-3, 10 epochs, k 2", CFK(k=2), ADAM),
        measured("Adam 1e-2, 20 epochs, k 1", CFK(), replace(ADAM, lr=1e-2, epochs=20)),
        measured("Adam 1e-3, 10 epochs, every layer: fine-tuning", CFK(k=3), ADAM),
        *random_rows(),
        *random_images("Adam 1e-3, 10 epochs, k 1", CFK(), ADAM),
        *random_images("Adam 1e-3, 10 epochs, k 2", CFK(k=2), ADAM),
    ]
    note = (
        "A perceptron 64-128-128-10: k 1 is its head, k 2 the layer before it too, k 3 all. The sheet gives settings "
        "and no figures. Nothing is demanded of what is forgotten: a head that already gives the retained classes has "
        "next to no gradient, so the forgotten class is hardly touched."
    )
    return Record.now("cf_k", "classifiers", claims, n=1797, seeds=SEEDS, note=note)


def below(name: str, method: CFK) -> list[Claim]:
    """Claim that what does not learn keeps every bit."""
    moved = 0
    for case in cases():
        before = case.original.state()
        after = _digits.forget(case, method, train=ADAM).learner.state()
        chosen = method.chosen(case.original)
        moved += sum(not torch.equal(before[n], after[n]) for n in before if n.rpartition(".")[0] not in chosen)
    return [Claim(f"{name}: tensors below the last layers that changed by a bit", "0", moved, moved == 0)]


def whole() -> Claim:
    """Claim the limit: with every layer it is fine-tuning."""
    same = 0
    for case in cases():
        ends = [_digits.forget(case, m, train=replace(ADAM, epochs=2)).learner.hash() for m in (CFK(k=3), Finetune())]
        same += ends[0] == ends[1]
    return Claim("every layer: seeds of 3 that end as fine-tuning does, bit for bit", "3 of 3", same, same == 3)
