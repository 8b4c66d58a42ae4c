"""LAF on one digit class: the sheet's settings beside the default, without repair, with it, and as released."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from acceptance.baselines._classes import ADAM, COLUMNS, SEEDS, class_rows
from acceptance.core import _digits
from acceptance.core._digits import Accuracy, accuracy, every, one_class, retain_floor, shown
from expunge.config import TrainConfig
from expunge.methods.laf import LAF
from expunge.records import Record

LONGER = replace(ADAM, epochs=20)
SETTINGS = {
    "default, 5e-4": (LAF(), replace(LONGER, lr=5e-4)),
    "default and repair, 5e-4": (LAF(repair=0.1), replace(LONGER, lr=5e-4)),
    "without align steps, 5e-4": (LAF(align_scale=0), replace(LONGER, lr=5e-4)),
    "align twice, temperature 20, 5e-4": (LAF(temperature=20), replace(LONGER, lr=5e-4)),
    "the sheet's: align .2, temperature 20, 1e-3": (LAF(temperature=20, align_scale=0.2), LONGER),
    "published: align twice, temperature 20, 5e-5": (LAF(temperature=20), replace(LONGER, lr=5e-5)),
    "as released: that, sigmoid, sampled": (
        LAF(temperature=20, decoder="sigmoid", sampled=True),
        replace(LONGER, lr=5e-5),
    ),
    "as released, 5e-4": (LAF(temperature=20, decoder="sigmoid", sampled=True), replace(LONGER, lr=5e-4)),
}


@dataclass(frozen=True)
class Outcome:
    """Accuracies, and the log's figures at the start and at the end."""

    accuracy: Accuracy
    start: dict[str, float]
    end: dict[str, float]


def run() -> Record:
    cases = [one_class(seed) for seed in SEEDS]
    floor = retain_floor(cases, 4)
    found = outcomes("default, 5e-4")
    repaired, bare = outcomes("default and repair, 5e-4"), outcomes("without align steps, 5e-4")
    costs = [a.accuracy.test - b.accuracy.test for a, b in zip(found, bare, strict=True)]
    repair = [abs(a.accuracy.test - b.accuracy.test) for a, b in zip(found, repaired, strict=True)]
    claims = [
        *class_rows(),
        every("default: forget train, %", "≤ 10, each seed", [o.accuracy.forget for o in found], lambda v: v <= 10),
        every("default: forget test, %", "≤ 10, each seed", [o.accuracy.unseen for o in found], lambda v: v <= 10),
        every(
            "default: retain test, %",
            f"≥ {floor:.1f}, 4 below retrained, each seed",
            [o.accuracy.test for o in found],
            lambda v: v >= floor,
        ),
        every("default: retain test lost without align steps, points", "≥ 1.5, each seed", costs, lambda v: v >= 1.5),
        every("default: |retain test less that with repair|, points", "≤ 2, each seed", repair, lambda v: v <= 2),
        every("default: mean r_f, times that at the start", "> 1", growth(found, "r_forget"), lambda v: v > 1),
        every(
            "default: mean r_h, times that at the start",
            "0.8 to 1.2",
            growth(found, "r_retain"),
            lambda v: 0.8 <= v <= 1.2,
        ),
        shown("default: mean cosine distance that the forget set moved, 0 to 2", moved(found)),
        *(shown(f"{name}: {COLUMNS}", [o.accuracy for o in outcomes(name)]) for name in SETTINGS),
        shown("align twice, temperature 20, 5e-4: moved", moved(outcomes("align twice, temperature 20, 5e-4"))),
    ]
    note = (
        "Batch 64, 20 epochs of the retain set, no clip, seeds of which none had a part in choosing. The demands are "
        "those of the sheet; its r_h is claimed of another setting. A number after the name is the learning rate of "
        "the unlearn steps. Chosen on seeds 0 to 3: two things decide whether a class goes in every seed. Align steps "
        "below unlearn steps (the sheet's .2) lose the rest of the test set; and at temperature 20 the forgotten "
        "records become as unlikely as one likes, and shorter, without crossing the head's margin: the loss knows no "
        "head. At 5, published for other tasks, they also turn, until they have nothing of their old direction. "
        "Sampling the VAEs' noise, fitting the retain VAE to the retain set alone, and r in units of its mean at the "
        "start each left that as it was. r_h is not held: its term is flat at r of some tens as well."
    )
    return Record.now("laf", "classifiers", claims, n=1797, seeds=SEEDS, note=note)


@cache
def outcomes(name: str) -> list[Outcome]:
    """Run a setting on every seed."""
    method, train = SETTINGS[name]
    return [outcome(seed, method, train) for seed in SEEDS]


def outcome(seed: int, method: LAF, train: TrainConfig) -> Outcome:
    """Run one setting on one seed."""
    case = one_class(seed)
    ran = _digits.forget(case, method, train=train)
    start, end = (row for row in ran.log if "moved" in row)
    return Outcome(accuracy(case, ran.learner), start, end)


def growth(found: Sequence[Outcome], figure: str) -> list[float]:
    """How many times a mean error is what it was."""
    return [o.end[figure] / o.start[figure] for o in found]


def moved(found: Sequence[Outcome]) -> list[str]:
    """Mean cosine distance between what the head reads of the forget set now and before."""
    return [f"{o.end['moved']:.2f}" for o in found]
