"""SSD: what each threshold does, what the sweep is for, and the traps of the importance."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

from acceptance.core import _digits
from acceptance.core._digits import Case, accuracy, every, one_class, random_tenth, retain_floor, shown
from expunge.config import TrainConfig
from expunge.errors import ConfigError
from expunge.learners import Learner
from expunge.methods.ssd import SSD
from expunge.records import Claim, Record
from expunge.train import Run, copied

ALPHAS = (2.0, 5.0, 10.0, 20.0, 50.0)
TRAIN = TrainConfig()


def run() -> Record:
    first = [one_class(seed) for seed in range(4)]
    other_splits = [one_class(seed, split=seed) for seed in range(1, 5)]
    claims = [*alpha_claims(first), *sweep_claims(first, other_splits), *edit_claims(first), *importance_claims(first)]
    note = (
        "Batches of near-equal size up to 128 in the data's order. Which fixed α works depends on the original: α "
        "50 forgets on one seed in four here, on another split α 20 keeps 90 %. So the sweep is part of the "
        "method; its steps are √2 wide, because on that split nothing between 10 (9.5 % left) and 5 (retain test "
        "87) was wide enough. Random 10 %: of well-generalised images hardly anything is forgotten at any α that "
        "spares the rest; the sweep's target of 3 % accuracy would be over-forgetting there and is not used. Per "
        "sample, α = |D|/|F| itself is refused; by rounding it would select the weights of which only the forget "
        "set has a gradient, 3 of 26,122."
    )
    return Record.now("ssd", "core", [*claims, *random_claims()], n=1797, seeds=tuple(range(5)), note=note)


def alpha_claims(cases: list[Case]) -> list[Claim]:
    """The table over α, and the first demand on it."""
    floor = retain_floor(cases, 4)
    shares, works = [], 0
    rows: dict[float, list[str]] = {alpha: [] for alpha in ALPHAS}
    for case in cases:
        runs = {alpha: _digits.forget(case, SSD(alpha=alpha), train=TRAIN) for alpha in ALPHAS}
        shares.append([run.log[-1]["selected"] for run in runs.values()])
        found = {alpha: accuracy(case, run.learner) for alpha, run in runs.items()}
        works += any(found[a].forget <= 3 and found[a].test >= floor for a in (10.0, 20.0, 50.0))
        for alpha in ALPHAS:
            rows[alpha].append(f"{found[alpha]} ({runs[alpha].log[-1]['selected']:.4f})")
    falls = all(a > b for share in shares for a, b in pairwise(share))
    columns = "forget train/retain train/retain test, % (share selected)"
    return [
        Claim("share selected over α 2, 5, 10, 20, 50", "falls, every seed", "falls" if falls else "does not", falls),
        Claim(
            f"one class: seeds of 4 where an α of 10, 20, 50 gives forget train ≤ 3 % and retain test ≥ {floor:.1f} %",
            "4 of 4; 4 points below retrained",
            works,
            works == 4,
        ),
        *(shown(f"one class, α {alpha:g}: {columns}", cells) for alpha, cells in rows.items()),
    ]


def sweep_claims(first: list[Case], others: list[Case]) -> list[Claim]:
    """The sweep, which reads its accuracy on unseen images of the same class."""
    claims = []
    for name, cases in (("one split", first), ("second measurement, four splits", others)):
        floors = [retain_floor([case], 4) for case in cases]
        runs = [_digits.forget(case, SSD(alpha="sweep"), train=TRAIN) for case in cases]
        found = [accuracy(case, run.learner) for case, run in zip(cases, runs, strict=True)]
        above = [a.test - floor for a, floor in zip(found, floors, strict=True)]
        claims += [
            every(
                f"sweep, {name}: forget train, %", "≤ 3, each of 4 seeds", [a.forget for a in found], lambda v: v <= 3
            ),
            every(
                f"sweep, {name}: retain test above retrained less 4, points",
                "≥ 0, each of 4 seeds",
                above,
                lambda v: v >= 0,
            ),
            shown(
                f"sweep, {name}: α taken and retain test, %",
                [f"{r.log[-1]['alpha']:g}: {a.test:.1f}" for r, a in zip(runs, found, strict=True)],
            ),
        ]
    return claims


def edit_claims(cases: list[Case]) -> list[Claim]:
    """What the edit does to the weights."""
    grown, moved, twice = 0, 0, []
    for case in cases:
        before = case.original.state()
        once = _digits.forget(case, SSD(alpha=10.0), train=TRAIN)
        after = once.learner.state()
        grown += sum(int((after[n].abs() > before[n].abs()).sum()) for n in before)
        changed = sum(int((after[n] != before[n]).sum()) for n in before)
        moved += changed > round(once.log[-1]["selected"] * sum(t.numel() for t in before.values()))
        again = Run(copied(once.learner), case.request, SSD(alpha=10.0), train=TRAIN).execute()
        twice.append(_norm(again) / _norm(once.learner))
    return [
        Claim("parameters that grew in magnitude", "0", grown, grown == 0),
        Claim("seeds where an unselected parameter changed by a bit", "0", moved, moved == 0),
        every("norm after a second application, share of the first's", "< 1: not idempotent", twice, lambda v: v < 1),
    ]


def importance_claims(cases: list[Case]) -> list[Claim]:
    """With true per-sample gradients a threshold from |D|/|F| on selects nothing."""
    case = cases[0]
    method = SSD(importance="per_sample", alpha=9.0)
    ids = case.request.ids
    ratio = 1 + len(ids["retain"]) / len(ids["forget"])
    run = Run(copied(case.original), case.request, method, train=TRAIN)
    original = {n: p.detach().clone() for n, p in run.learner.trainable().items()}
    everything = [i for i in case.data.ids if i in {*ids["forget"], *ids["retain"]}]
    importances = method.importances(run, everything), method.importances(run, ids["forget"])
    selected = [method.dampen(run, original, *importances, alpha) for alpha in (1.001 * ratio, 10.0, 50.0)]
    refused = False
    try:
        _digits.forget(case, SSD(importance="per_sample", alpha=10.0), train=TRAIN)
    except ConfigError:
        refused = True
    return [
        every(
            f"per sample, α just above |D|/|F| = {ratio:.2f}, 10 and 50: share selected",
            "exactly 0",
            selected,
            lambda v: v == 0,
        ),
        Claim("per sample, α 10", "refused with its reason", "refused" if refused else "ran", refused),
    ]


def random_claims() -> list[Claim]:
    """Random 10 %: no figure is demanded."""
    cases = [random_tenth(seed) for seed in range(2)]
    claims = [
        shown(
            "random 10 %, retrained: forget train/retain train/test, %",
            [accuracy(c, _digits.retrained(c)) for c in cases],
        )
    ]
    for alpha in ALPHAS:
        found = [accuracy(case, _digits.forget(case, SSD(alpha=alpha), train=TRAIN).learner) for case in cases]
        claims.append(shown(f"random 10 %, α {alpha:g}: forget train/retain train/test, %", found))
    return claims


def _norm(learner: Learner) -> float:
    return float(np.sqrt(sum(float(torch.sum(t.double() ** 2)) for t in learner.state().values())))
