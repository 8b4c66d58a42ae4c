"""LoRA on digits: NPO in adapters of rank 16 forgets a class and keeps the others; unplugged, everything is back."""

from __future__ import annotations

from acceptance.core import _digits
from acceptance.core._digits import accuracy, every, one_class, retain_floor, shown
from expunge.config import TrainConfig
from expunge.methods.npo import NPO
from expunge.modifiers.lora import LoRA
from expunge.records import Record
from expunge.train import copied

SEEDS = (0, 1, 2)
TRAIN = TrainConfig(epochs=20, lr=3e-3, batch_size=32, optimiser="adam")
METHOD = NPO(beta=0.5, retain_weight=5.0, retain_loss="kl")


def run() -> Record:
    cases = [one_class(seed) for seed in SEEDS]
    floor = retain_floor(cases, 4)
    learners = [_digits.forget(case, METHOD, LoRA(rank=16, alpha=32), train=TRAIN).learner for case in cases]
    found = [accuracy(case, learner) for case, learner in zip(cases, learners, strict=True)]
    unplugged = []
    for case, learner in zip(cases, learners, strict=True):
        bare = copied(learner)
        bare.model = bare.model.unload()  # type: ignore[operator]
        unplugged.append(accuracy(case, bare))
    kept = f"≥ {floor:.1f}, 4 below retrained"
    back = [a.forget for a in unplugged]
    claims = [
        every("one class: forget test, %", "≤ 5, each seed", [a.unseen for a in found], lambda v: v <= 5),
        every("one class: retain test, %", kept, [a.test for a in found], lambda v: v >= floor),
        every("unplugged: forget train, %", "100: it was in the adapter", back, lambda v: v >= 99),
        shown("one class: forget train/retain train/retain test, %", found),
    ]
    note = (
        "No sheet gives figures; the demands are SCRUB's for one class, so that a classifier may stand on the card. "
        "NPO with β .5 and 5 · KL, rank 16, Adam 3e-3, 20 epochs of the forget set, batch 32, clip 1."
    )
    return Record.now("lora", "core", claims, n=1797, seeds=SEEDS, note=note)
