"""Every method for classifiers on digits, one class and a random tenth, beside retraining and its own noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from acceptance.baselines._classes import ADAM, COLUMNS, DISTANCE, SEEDS, SGD, cases, tenths
from acceptance.core import _digits
from acceptance.core._digits import Case, accuracy, retrained, shown
from expunge.config import TrainConfig
from expunge.errors import ExpungeError
from expunge.learners import Learner
from expunge.records import Claim, Record
from expunge.registry import find, names

BESIDE = ("finetune", "gradient_ascent", "cf_k")
"""Without a forgetting test on classifiers, shown because every table shows them."""
OURS = TrainConfig(epochs=10, lr=1e-3, optimiser="adam", clip=None)
SETTINGS: dict[str, tuple[dict[str, Any], TrainConfig]] = {
    "bad_teacher": ({"retain_share": 1.0}, replace(ADAM, epochs=1, lr=2e-3)),
    "boundary_shrink": ({}, replace(SGD, lr=1e-4, weight_decay=0.0)),
    "delete": ({}, replace(SGD, epochs=20, lr=1e-4, weight_decay=0.0)),
    "grad_diff": ({}, TrainConfig(epochs=20, lr=3e-4, optimiser="adam")),
    "gradient_ascent": ({}, TrainConfig(epochs=5, lr=1e-2, optimiser="sgd")),
    "l1_sparse": ({}, replace(ADAM, epochs=20)),
    "laf": ({}, replace(ADAM, epochs=20, lr=5e-4)),
    "msg": ({}, replace(SGD, lr=0.03, schedule="linear", warmup=0.5)),
    "neg_grad_plus": ({}, SGD),
    "npo": ({}, TrainConfig(epochs=5, lr=1e-3, optimiser="adam")),
    "random_labels": ({}, SGD),
    "retrain": ({}, _digits.TRAINING),
    "salun": ({}, SGD),
    "scrub": ({}, OURS),
    "simnpo": ({}, TrainConfig(epochs=5, lr=1e-3, optimiser="adam")),
    "unsir": ({}, replace(ADAM, epochs=5, lr=5e-3)),
}
"""As in each method's own record; any other method runs at its defaults, Adam 1e-3, ten epochs."""


def run() -> Record:
    claims = [*matrix("one class", cases()), *matrix("random 10 %", tenths())]
    note = (
        "Each row: accuracies by seed, then distances from retraining by seed. The distance between two retrained "
        "models is taken over every pair of six, for the class, and over two a seed for the random tenth, which is "
        "another tenth for each seed. Settings are those of each method's own record or its defaults, never chosen "
        "here. The sheet's class rows, on seeds 0 to 2: fine-tuning 76-85/100/97, l1-sparse .7/99.6/96.5, random "
        "labels and SalUn 0/99/96.5, Bad-T 1/97/93, DELETE 0/83-91/81-88, SCRUB 0/99.4/95.7, SSD 0/100/97; distances "
        "SSD .32, DELETE .30 to .43, l1 .44 to .51, SCRUB .60 to .84, Bad-T .94, random labels 1.3, original 1.99. A "
        "method that does not run on a request says why in its row."
    )
    return Record.now("matrix", "classifiers", claims, n=1797, seeds=SEEDS, note=note)


def matrix(name: str, chosen: Sequence[Case]) -> list[Claim]:
    """Return the rows of one kind of request and what is demanded of the whole."""
    others = [retrained(Case(c.request, c.original, c.seed + 10)) for c in chosen]
    floor = float(np.mean(noise(chosen, others)))
    claims = [
        _row(name, "original", chosen, [c.original for c in chosen]),
        _row(name, "retrained", chosen, [retrained(c) for c in chosen]),
        _row(name, "other seeds of retraining", chosen, others),
        _noise_claim(name, floor),
    ]
    nearer, ran = [], 0
    for method in methods():
        try:
            learners = [unlearned(method, case) for case in chosen]
        except (ExpungeError, ImportError) as error:
            claims.append(shown(f"{name}, {method}: {COLUMNS}; {DISTANCE}", [f"not run: {error}"]))
            continue
        claims.append(_row(name, method, chosen, learners))
        if find("methods", method).card.guarantee is None:
            mean = np.mean([distance(c, learner, retrained(c)) for c, learner in zip(chosen, learners, strict=True)])
            ran += 1
            nearer += [f"{method} {mean:.3f}"] if mean < floor else []
    text = f"approximate methods nearer to retraining than another seed of it ({floor:.3f}), of {ran}"
    return [*claims, Claim(f"{name}: {text}", "none", ", ".join(nearer) or "none", not nearer)]


def methods() -> list[str]:
    """Return the methods on which a forgetting test of classifiers passed, and those shown beside."""
    listed = [n for n in names("methods") if n in BESIDE or "classifier" in find("methods", n).card.learners]
    return [n for n in listed if find("methods", n).card.lives_in != "nowhere"]


def unlearned(name: str, case: Case) -> Learner:
    """Run a method at its settings."""
    fields, train = SETTINGS.get(name, ({}, ADAM))
    return _digits.forget(case, find("methods", name)(**fields), train=train).learner


def noise(chosen: Sequence[Case], others: Sequence[Learner]) -> list[float]:
    """Return the distances of pairs of retrained models that never saw the same records."""
    found = []
    for ids in {tuple(case.request.ids["forget"]) for case in chosen}:
        same = [k for k, case in enumerate(chosen) if tuple(case.request.ids["forget"]) == ids]
        models = [m for k in same for m in (retrained(chosen[k]), others[k])]
        found += [distance(chosen[same[0]], *pair) for pair in combinations(models, 2)]
    return found


def distance(case: Case, first: Learner, second: Learner) -> float:
    """Mean over the forget set of Σ_c |p(c|x) − q(c|x)|, 0 to 2."""
    ids = case.request.ids["forget"]
    p, q = (np.exp(m.score(case.data, ids, batch_size=2000)[""]["extras"]["log_probs"]) for m in (first, second))
    return float(np.abs(p - q).sum(1).mean())


def _noise_claim(name: str, floor: float) -> Claim:
    text = f"{name}: mean distance between two retrained models"
    if name == "one class":
        return Claim(text, ".25 to .30", floor, 0.25 <= round(floor, 2) <= 0.30)
    return shown(text, [f"{floor:.3f}"])


def _row(name: str, what: str, chosen: Sequence[Case], learners: Sequence[Learner]) -> Claim:
    pairs = list(zip(chosen, learners, strict=True))
    far = ", ".join(f"{distance(case, learner, retrained(case)):.2f}" for case, learner in pairs)
    hits = ", ".join(str(accuracy(*pair)) for pair in pairs)
    return shown(f"{name}, {what}: {COLUMNS}; {DISTANCE}", [f"{hits}; {far}"])
