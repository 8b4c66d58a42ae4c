"""Concept poisoning on digits: four concepts made by hand, what carries a class, and what is lost without anchors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch

from acceptance.baselines._classes import ADAM, COLUMNS, SEEDS
from acceptance.core import _digits
from acceptance.core._digits import Case, accuracy, every, original, retrained, shown
from expunge.data import Dataset, digits
from expunge.learners import Learner
from expunge.methods._concepts import Bottleneck, activations, attributions, features, predictions
from expunge.methods.concept_poisoning import ConceptPoisoning
from expunge.methods.random_labels import RandomLabels
from expunge.records import Claim, Record
from expunge.request import ForgetRequest
from expunge.train import Run, copied

CLASSES = (0, 8, 3)
LOOPED = (0, 8)
FOUR = ("loop", "upper", "left", "many")
WIDE = (*FOUR, "middle", "top", "bottom", "upper left", "upper right", "lower left", "lower right")
TRAIN = replace(ADAM, epochs=40)
RANDOM = ConceptPoisoning(concepts=FOUR, retain_weight=4.0)
VARIANTS = {
    "random": RANDOM,
    "targeted": replace(RANDOM, poison="targeted"),
    "anchors without concepts": replace(RANDOM, spread=1.0),
    "no anchors": replace(RANDOM, retain_weight=0.0),
}
SHEET = ConceptPoisoning(concepts=FOUR, anchors=1.0)
LABELS = RandomLabels(exclude_true=True)
LEVELS = (0.25, 0.35, 0.45)
"""Ink at which a loop may close, of 0 to 1."""


@dataclass(frozen=True)
class Reading:
    """What a begun run found out.

    Args:
        accuracy: Of each concept's direction.
        fidelity: Of the bottleneck.
        incomplete: |Σ_c IG_c − difference of mean scores|, and of IG in 50 steps, the larger.
        place: Of the loop in the signature, from 1.
        shared: Concepts that carry another class more.
    """

    accuracy: dict[str, float]
    fidelity: float
    incomplete: float
    place: int
    shared: list[str]


def run() -> Record:
    pairs = [(number, seed) for number in CLASSES for seed in SEEDS]
    readings = {pair: reading(*pair) for pair in pairs}
    looped = [readings[number, seed] for number in LOOPED for seed in SEEDS]
    wide = [reading(0, seed, WIDE).fidelity for seed in SEEDS]
    runs = {name: {pair: forgotten(method, *pair) for pair in pairs} for name, method in VARIANTS.items()}
    runs["as the sheet has it"] = {pair: forgotten(SHEET, *pair, epochs=10) for pair in pairs}
    runs["random labels without concepts"] = {pair: baseline(*pair) for pair in pairs}
    random, targeted = runs["random"], runs["targeted"]
    gap = {pair: tested(random[pair].learner, *pair) - tested(retrained(case(*pair)), *pair) for pair in pairs}
    mean = {
        name: float(np.mean([tested(found[pair].learner, *pair) for pair in pairs])) for name, found in runs.items()
    }
    claims = [
        every(
            f"classes {spoken(CLASSES)}: completeness of IG, |Σ IG - difference of scores|",
            "< 1e-3, each class and seed",
            [r.incomplete for r in readings.values()],
            lambda v: v < 1e-3,
        ),
        every(
            f"classes {spoken(LOOPED)}: place of the loop by |IG| among four concepts",
            "≤ 2, each class and seed",
            [r.place for r in looped],
            lambda v: v <= 2,
        ),
        every(
            "fidelity of the bottleneck of four concepts (class 0)",
            "> .9, each seed",
            [readings[0, s].fidelity for s in SEEDS],
            lambda v: v > 0.9,
        ),
        every(
            f"fidelity of the bottleneck of {len(WIDE)} concepts (class 0)", "> .9, each seed", wide, lambda v: v > 0.9
        ),
        every(
            f"random labels, classes {spoken(CLASSES)}: forget test, %",
            "≤ 5, each class and seed",
            [accuracy(case(*pair), random[pair].learner).unseen for pair in pairs],
            lambda v: v <= 5,
        ),
        every(
            f"random labels, classes {spoken(CLASSES)}: retain test above retrained's, points",
            "≥ -4, each class and seed",
            list(gap.values()),
            lambda v: v >= -4,
        ),
        every(
            f"targeted labels, classes {spoken(CLASSES)}: forget test answered with the target, %",
            "> 80, each class and seed",
            [answered(targeted[pair], *pair) for pair in pairs],
            lambda v: v > 80,
        ),
        *anchor_claims(random, runs["no anchors"]),
        Claim(
            "anchors half chosen by concepts, against all drawn at random: mean retain test, %",
            "not worse",
            f"{mean['random']:.2f} ({mean['anchors without concepts']:.2f})",
            mean["random"] >= mean["anchors without concepts"],
        ),
        Claim(
            "the same, against random labels without concepts or anchors in as many steps: mean retain test, %",
            "not worse",
            f"{mean['random']:.2f} ({mean['random labels without concepts']:.2f})",
            mean["random"] >= mean["random labels without concepts"],
        ),
        shown("class 0: accuracy of the concepts' directions on unseen records", [told(readings[0, s]) for s in SEEDS]),
        *(
            shown(f"class {k}: concepts that carry another class more", [spoken(readings[k, s].shared) for s in SEEDS])
            for k in LOOPED
        ),
        *(claim for number in CLASSES for claim in rows(number, runs)),
        *(confusion(number, random) for number in CLASSES),
    ]
    return Record.now("concept_poisoning", "classifiers", claims, n=1797, seeds=SEEDS, note=NOTE)


NOTE = (
    "Concepts: a loop that closes at some level of ink, more ink above than below, more left than right, more than "
    "the median; the wide bank adds more ink than the median in seven parts of the image. λ 4, four anchors for each "
    "forgotten image, 40 epochs of Adam 1e-3, batch 64: 80 to 120 steps of twice 64 images, chosen on seeds 0 and 1. "
    "The sheet's equal number of anchors and few steps (λ 1, 10 epochs) forget as well and cost far more of what "
    "stays. Four numbers cannot tell ten digits apart, and the fidelity says so; eleven can. Without anchors the loss "
    "is read over the classes most of whose images have the loop, beside all others. A retrained model spreads a "
    "forgotten class over those that look alike; a poisoned one answers as it was poisoned, which shows it. Random "
    "labels read all of the retain set in passes of their own; the concepts' anchors are drawn from four for each "
    "forgotten image."
)


def anchor_claims(random: dict[tuple[int, int], Run], bare: dict[tuple[int, int], Run]) -> list[Claim]:
    """What the classes that share the loop lose without anchors, beside the others."""
    claims = []
    for number in LOOPED:
        lost: dict[bool, list[float]] = {True: [], False: []}
        for seed in SEEDS:
            with_anchors, without = (by_class(runs[number, seed].learner, number, seed) for runs in (random, bare))
            for shares in (True, False):
                drops = [with_anchors[k] - without[k] for k in with_anchors if (k in sharing()) == shares]
                lost[shares].append(float(np.mean(drops)))
        cells = [f"{a:.1f} ({b:.1f})" for a, b in zip(lost[True], lost[False], strict=True)]
        claims.append(
            Claim(
                f"class {number} without anchors: points lost by classes with a loop (by the others)",
                "more than the others, each seed",
                ", ".join(cells),
                all(a > b for a, b in zip(lost[True], lost[False], strict=True)),
            )
        )
    return claims


def rows(number: int, runs: dict[str, dict[tuple[int, int], Run]]) -> list[Claim]:
    """Show the accuracies of every variant on a class, and of models that never saw it."""
    learners = {"original": [case(number, s).original for s in SEEDS]}
    learners["retrained"] = [retrained(case(number, s)) for s in SEEDS]
    learners |= {name: [found[number, s].learner for s in SEEDS] for name, found in runs.items()}
    return [
        shown(
            f"class {number}, {name}: {COLUMNS}",
            [accuracy(case(number, s), m) for s, m in zip(SEEDS, found, strict=True)],
        )
        for name, found in learners.items()
    ]


def confusion(number: int, random: dict[tuple[int, int], Run]) -> Claim:
    """Show how forgotten images are answered."""
    cells = []
    for seed in SEEDS:
        ours = next(row["confusion"] for row in random[number, seed].log if "confusion" in row)
        theirs = said(retrained(case(number, seed)), case(number, seed).request.ids["forget"])
        both = zip(ours, theirs, strict=True)
        cells.append(" ".join(f"{k}: {100 * a:.0f} ({b:.0f})" for k, (a, b) in enumerate(both) if k != number))
    return shown(f"class {number}, random: forgotten images answered as each class (retrained), %", cells)


@cache
def data() -> Dataset:
    """The digits with a column for each concept."""
    from scipy import ndimage

    plain = digits.load(seed=0)
    images = plain.columns["image"].reshape(-1, 8, 8)

    def closes(image: np.ndarray) -> bool:
        fine = np.pad(ndimage.zoom(image, 4, order=1), 2)
        return any(ndimage.label(fine < level)[1] > 1 for level in LEVELS)

    def much(part: np.ndarray) -> np.ndarray:
        ink = part.sum((1, 2))
        return ink > np.median(ink)

    upper, lower, left, right = images[:, :4], images[:, 4:], images[:, :, :4], images[:, :, 4:]
    columns = {
        "loop": np.array([closes(image) for image in images]),
        "upper": upper.sum((1, 2)) > lower.sum((1, 2)),
        "left": left.sum((1, 2)) > right.sum((1, 2)),
        "many": much(images),
        "middle": much(images[:, 3:5, 2:6]),
        "top": much(images[:, :2]),
        "bottom": much(images[:, 6:]),
        "upper left": much(images[:, :4, :4]),
        "upper right": much(images[:, :4, 4:]),
        "lower left": much(images[:, 4:, :4]),
        "lower right": much(images[:, 4:, 4:]),
    }
    return Dataset("digits", plain.ids, {**plain.columns, **columns}, plain.subsets)


@cache
def case(number: int, seed: int) -> Case:
    """Forget every training image of a class."""
    label = dict(zip(data().ids, data().columns["label"].tolist(), strict=True))
    unseen = [i for i in data().split("test") if label[i] == number]
    test = [i for i in data().split("test") if label[i] != number]
    request = ForgetRequest(data(), forget={"label": number, "split": "train"}, holdout=unseen, test=test).resolve()
    return Case(request, original(data(), seed), seed)


@cache
def sharing() -> set[int]:
    """Classes most of whose images have the loop."""
    label, loop = data().columns["label"], data().columns["loop"]
    return {k for k in range(10) if loop[label == k].mean() > 0.5}


def reading(number: int, seed: int, concepts: tuple[str, ...] = FOUR) -> Reading:
    """Begin a run and read its log, and do its bottleneck again for the completeness."""
    chosen, method = case(number, seed), replace(RANDOM, concepts=concepts, top=len(concepts))
    begun, again = (
        Run(copied(chosen.original), chosen.request, method, train=TRAIN, seed=seed) for _ in range(2)
    )  # the second's generators are untouched
    method.begin(begun)
    first = next(row for row in begun.log if "fidelity" in row)
    found = next(row for row in begun.log if "signature" in row)
    states = torch.cat([features(again, role) for role in ("forget", "retain")])
    ids = [*again.ids("forget"), *again.ids("retain")]
    _, vectors, _ = method.named(again, ids, states)
    active = activations(states, vectors)
    said = torch.cat([predictions(again, role) for role in ("forget", "retain")])
    bottleneck = Bottleneck.fitted(active, said, 10)
    gone, kept = active[: len(again.ids("forget"))], active[len(again.ids("forget")) :]
    gain = (bottleneck.scores(gone).mean(0) - bottleneck.scores(kept.mean(0, keepdim=True))[0])[number]
    exact = attributions(bottleneck.head, gone, kept)[number]
    away = max(abs(float(exact.sum() - gain)), abs(float(integrated(bottleneck, number, gone, kept).sum() - gain)))
    return Reading(
        first["concepts"], first["fidelity"], away, 1 + list(found["signature"]).index("loop"), found["shared"]
    )


def integrated(bottleneck: Bottleneck, number: int, gone: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Return integrated gradients in 50 steps along the straight path, of each concept, averaged over records."""
    start = kept.mean(0)
    total = torch.zeros_like(gone)
    for step in range(50):
        at = (start + (step + 1) / 50 * (gone - start)).requires_grad_()
        total += torch.autograd.grad(bottleneck.scores(at)[:, number].sum(), at)[0] / 50
    return (total * (gone - start)).mean(0)


def forgotten(method: ConceptPoisoning, number: int, seed: int, epochs: float = TRAIN.epochs) -> Run:
    """Run to the end."""
    return _digits.forget(case(number, seed), method, train=replace(TRAIN, epochs=epochs))


def baseline(number: int, seed: int) -> Run:
    """Run random labels in as many steps."""
    steps = 40 * -(-len(case(number, seed).request.ids["forget"]) // 64)
    return _digits.forget(case(number, seed), LABELS, train=replace(TRAIN, steps=steps))


def tested(learner: Learner, number: int, seed: int) -> float:
    """Return the accuracy on the test images of other classes, %."""
    return accuracy(case(number, seed), learner).test


def by_class(learner: Learner, number: int, seed: int) -> dict[int, float]:
    """Return the accuracy on the test images of each other class, %."""
    ids = case(number, seed).request.ids["test"]
    hit, label = learner.score(data(), ids, batch_size=2000)[""]["hit"], data().values("label", ids)
    return {int(k): 100 * float(hit[label == k].mean()) for k in np.unique(label)}


def answered(ended: Run, number: int, seed: int) -> float:
    """Return the share of the class's unseen images that are answered with the target, %."""
    target = next(row["towards"] for row in ended.log if "towards" in row)
    return said(ended.learner, case(number, seed).request.ids["holdout"])[target]


def said(learner: Learner, ids: list[str]) -> list[float]:
    """Return how often each class is predicted, %."""
    scores = learner.score(data(), ids, batch_size=2000)[""]["extras"]["log_probs"]
    return (100 * np.bincount(scores.argmax(1), minlength=10) / len(ids)).tolist()


def told(found: Reading) -> str:
    """Spell how well each concept is told."""
    return " ".join(f"{name} {share:.2f}" for name, share in found.accuracy.items())


def spoken(things: Sequence[object]) -> str:
    """Spell several."""
    return ", ".join(map(str, things)) or "none"
