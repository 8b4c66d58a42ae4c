"""FNN on digits: what each of the four layers forgets, in how many epochs, and how soon it is learnt again."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch

from acceptance.baselines._classes import ADAM, SEEDS, cases, class_rows, demanded, measured, random_images, random_rows
from acceptance.core import _digits
from acceptance.core._digits import Case, accuracy, every, hits, retrained, shown
from expunge.config import TrainConfig
from expunge.learners import Classifier, Learner
from expunge.methods.finetune import Finetune
from expunge.methods.fnn import FNN
from expunge.records import Claim, Record
from expunge.request import Resolved
from expunge.train import Run, Watch, copied

SHEET = FNN(tau=5.0, tau_min=2.0, tau_max=20.0)
LAYERS = {
    1: replace(SHEET, rate="fixed", ranked=False),
    2: replace(SHEET, rate="varying", ranked=False),
    3: replace(SHEET, rate="fixed"),
    4: SHEET,
}
LONGEST = 40
AGAIN = TrainConfig(steps=300, lr=1e-4, batch_size=64, optimiser="adam", clip=None)
KNOWN = 90.0


def run() -> Record:
    chosen = cases()
    claims = [
        *class_rows(),
        *prediction_claims(chosen),
        folded_claim(chosen),
        *sheet_claims(chosen),
        epochs_claim(chosen),
        *demanded("defaults (type 4, τ .5 to 4)", FNN(), ADAM),
        *(measured(f"type {n}, the sheet's τ, 10 epochs at most", LAYERS[n], ADAM) for n in LAYERS),
        measured("type 1 and its bias, the sheet's τ, 10 epochs at most", replace(LAYERS[1], decay_bias=True), ADAM),
        measured("type 4, the sheet's τ, ranked by activation", replace(SHEET, ranking="activation"), ADAM),
        measured("type 4, the sheet's τ, on the first hidden layer", replace(SHEET, layer="3"), ADAM),
        measured("fine-tuning alone, 10 epochs", Finetune(), ADAM),
        *relearning_claims(chosen),
        shown("defaults: neurons that fade, and of these dead at the end", [dead(case) for case in chosen]),
        *random_rows(),
        *random_images("defaults, stopped at the holdout's accuracy", FNN(target="holdout"), ADAM),
    ]
    return Record.now("fnn", "classifiers", claims, n=1797, seeds=SEEDS, note=NOTE)


NOTE = (
    "Adam 1e-3, batch 64, one epoch over the retain set at each t. With the sheet's τ (5; 2 to 20) types 3 and 4 "
    "leave some of the class; the defaults fade faster (2; .5 to 4) and were chosen on seeds 0 and 1. That types 1 "
    "and 2 need more retain epochs is wrong here: type 1 needs the fewest. Its factor alone changes no prediction, "
    "but every epoch builds the scores of the kept classes up again and not those of the forgotten one, as a strong "
    "weight decay on the head would. Relearning: steps of Adam 1e-4 on the forgotten images alone until 90 % of the "
    "class's unseen images are recognised, as a share of the retrained model's. A random tenth is not told apart by "
    "what neurons do."
)


def prediction_claims(chosen: list[Case]) -> list[Claim]:
    """What type 1 alone, ten steps of it without any learning, does to predictions."""
    changed = {bias: [altered(case, replace(LAYERS[1], decay_bias=bias)) for case in chosen] for bias in (False, True)}
    return [
        every(
            "type 1 with its bias, t 10, no learning: predictions of 1,797 that change",
            "0, each seed",
            changed[True],
            lambda v: v == 0,
        ),
        shown(
            "type 1, the bias left, t 10, no learning: predictions of 1,797 that change (the sheet: none)",
            [f"{v:.0f}" for v in changed[False]],
        ),
    ]


def altered(case: Case, method: FNN) -> float:
    """Return how many predictions ten unlearning steps change."""
    begun = faded(case, method)
    before, after = (logits(learner, case).argmax(1) for learner in (case.original, begun.learner))
    return float((before != after).sum())


def faded(case: Case, method: FNN) -> Run:
    """Take ten unlearning steps and learn nothing between."""
    begun = Run(copied(case.original), case.request, method, train=ADAM, seed=case.seed)
    method.begin(begun)
    for _ in range(10):
        method.unlearn(begun)
    return begun


def folded_claim(chosen: list[Case]) -> Claim:
    """The folded net against the one whose head reads faded features."""
    furthest = []
    for method in LAYERS.values():
        for case in chosen:
            begun = faded(case, method)
            factor_J = (-10 / begun.artefacts["tau"]).exp()
            apart = case.original.frozen_copy()
            apart.head_module()[1].register_forward_pre_hook(lambda _m, inputs, factor_J=factor_J: inputs[0] * factor_J)
            ours, theirs = logits(begun.learner, case), logits(apart, case)
            furthest.append(float((ours - theirs).abs().max() / theirs.abs().max()))
    return every(
        "folded against the factor apart, types 1 to 4, t 10: furthest logit, share of the largest",
        "≤ 1e-6, each type and seed",
        furthest,
        lambda v: v <= 1e-6,
    )


def sheet_claims(chosen: list[Case]) -> list[Claim]:
    """What the sheet demands of the ranked types."""
    claims = []
    for number in (3, 4):
        found = [(accuracy(c, c.original), accuracy(c, forgotten(number, c.seed)), retrained(c), c) for c in chosen]
        claims += [
            every(
                f"type {number}, contrast, r 20 %, the sheet's τ, T 10: forget test below the original's, points",
                "≥ 50, each seed",
                [before.unseen - after.unseen for before, after, _, _ in found],
                lambda v: v >= 50,
            ),
            every(
                f"type {number}, contrast, r 20 %, the sheet's τ, T 10: retain test above retrained's, points",
                "≥ -6, each seed",
                [after.test - accuracy(case, again).test for _, after, again, case in found],
                lambda v: v >= -6,
            ),
        ]
    return claims


def epochs_claim(chosen: list[Case]) -> Claim:
    """Whether the unranked types need more epochs over the retain set."""
    taken = {n: [epochs(n, case.seed) for case in chosen] for n in LAYERS}
    more = all(min(taken[1][k], taken[2][k]) > max(taken[3][k], taken[4][k]) for k in range(len(chosen)))
    cells = "; ".join(f"type {n}: {', '.join(map(str, t))}" for n, t in taken.items())
    return Claim(
        f"the sheet's τ: retain epochs until forget train ≤ 10 % (at most {LONGEST})",
        "types 1 and 2 more than types 3 and 4, each seed",
        cells,
        more,
    )


def relearning_claims(chosen: list[Case]) -> list[Claim]:
    """Steps until the class is known again, beside the retrained model's; below a tenth it was hidden only."""
    rows: dict[str, list[str]] = {"retrained": [], "original": []}
    shares = []
    for case in chosen:
        base = steps_again(case, retrained(case))
        rows["retrained"].append(str(base))
        rows["original"].append(str(steps_again(case, case.original)))
        learners = {f"type {n}": forgotten(n, case.seed) for n in LAYERS}
        learners["defaults"] = _digits.forget(case, FNN(), train=ADAM).learner
        for name, learner in learners.items():
            steps = steps_again(case, learner)
            rows.setdefault(name, []).append(f"{steps} ({steps / base:.2f})")
            if name == "defaults":
                shares.append(steps / base)
    return [
        *(shown(f"relearning, {name}: steps (share of retrained's)", cells) for name, cells in rows.items()),
        every(
            "relearning, defaults: share of retrained's steps; below .1 is hidden, not removed",
            "≥ .1, each seed",
            shares,
            lambda v: v >= 0.1,
        ),
    ]


def steps_again(case: Case, learner: Learner) -> int:
    """Return the steps on the forgotten images after which 90 % of the class's unseen ones are recognised."""
    forget, unseen = case.request.ids["forget"], case.request.ids["holdout"]
    pupil = copied(learner)
    watch = Watch(1, lambda _run: {"known": hits(pupil, case.data, unseen)}, lambda found: found["known"] >= KNOWN)
    if hits(pupil, case.data, unseen) >= KNOWN:
        return 0
    taught = Resolved(case.data, {"forget": [], "retain": forget})
    again = Run(pupil, taught, Finetune(), train=AGAIN, seed=case.seed, watch=watch, path="relearning")
    again.execute()
    return again.cost.steps


def dead(case: Case) -> str:
    """Return how many neurons fade and how many of them are dead, at the last unlearning step."""
    last = [row for row in _digits.forget(case, FNN(), train=ADAM).log if "t" in row][-1]
    return f"{last['fading']}, {last['dead']} at t {last['t']}"


@cache
def forgotten(number: int, seed: int) -> Learner:
    """Run a type with the sheet's values, ten epochs at most."""
    case = next(c for c in cases() if c.seed == seed)
    return _digits.forget(case, LAYERS[number], train=ADAM).learner


def epochs(number: int, seed: int) -> int:
    """Return the epochs over the retain set that a type takes to its target, `LONGEST` if it never gets there."""
    case = next(c for c in cases() if c.seed == seed)
    log = _digits.forget(case, LAYERS[number], train=replace(ADAM, epochs=LONGEST)).log
    return int(max(row["t"] for row in log if "t" in row))


def logits(learner: Learner, case: Case) -> torch.Tensor:
    """Return the scores of every image."""
    assert isinstance(learner, Classifier)
    with learner.evaluating():
        return learner.logits(learner.collate(case.data, case.data.ids))
