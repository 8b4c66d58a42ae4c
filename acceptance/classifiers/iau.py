"""IAU on digits: its identities, the published step and the searched one, for a random tenth and for one class."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from acceptance.baselines._classes import ADAM, COLUMNS, SEEDS, cases, class_rows, random_images, random_rows, tenths
from acceptance.core import _digits
from acceptance.core._digits import Case, accuracy, every, retrained, shown
from expunge.data import Dataset
from expunge.learners import Classifier
from expunge.methods.iau import IAU
from expunge.records import Claim, Record
from expunge.request import ForgetRequest, Resolved
from expunge.train import Run, copied

PUBLISHED = IAU(step=1e-3, optimiser="adam_sign")
L2 = 0.05


def run() -> Record:
    claims = [
        *identities(cases()[0]),
        *second_order(),
        *random_rows(),
        *random_images("searched, slack .02 (default)", IAU(), ADAM),
        *random_images("sign step 1e-3 (published)", PUBLISHED, ADAM),
        *random_images("sign step 5e-3", IAU(step=5e-3, optimiser="adam_sign"), ADAM),
        *random_images("sign step, searched, slack .02", IAU(optimiser="adam_sign"), ADAM),
        *tenth(),
        *class_rows(),
        *one_class(),
    ]
    note = (
        "Slack .01, .02, .03 and .05 were looked at on seeds 0 to 5. The law of second order holds for forget sets of "
        "one mean gradient, here copies of five records; the mean gradient of random records shrinks as they grow in "
        "number, so that their error falls more slowly as k halves: shown too. A random tenth comes no nearer to "
        "retraining by its predictions, only by its loss. A class: the sheet says that one step cannot forget it. That "
        "is so of the published 1e-3; a searched one with a slack of .03 left at most 4.4 % of the class's test images "
        "recognised on each of seeds 0 to 5, so at most 5 % was demanded on the seeds here, and seed 6 kept half: no "
        "class is promised. Models that fit their data begin at a forget loss near 0: the published step raises it "
        "several fold, so that a warning below 5 % of change is silent, and leaves nearly every image recognised."
    )
    return Record.now("iau", "classifiers", claims, n=1797, seeds=SEEDS, note=note)


def identities(case: Case) -> list[Claim]:
    """What must hold to rounding, and the warning."""
    run = Run(copied(case.original), case.request, IAU(step=0.1))
    before = {n: t.double() for n, t in run.learner.state().items()}
    means = {role: by_hand(case, role) for role in ("forget", "retain")}
    after = run.execute().state()
    gap = max(
        float((after[n] - (before[n] - 0.1 * (means["retain"][n] - means["forget"][n]))).abs().max()) for n in before
    )
    same = case.request.ids["retain"][:100]
    twins = [f"twin {i}" for i in same]
    rows = [case.data.row_of[i] for i in same]
    columns = {n: np.concatenate([np.asarray(c)[rows]] * 2) for n, c in case.data.columns.items() if n != "split"}
    request = Resolved(Dataset("twins", [*same, *twins], columns), {"forget": same, "retain": twins})
    still = Run(copied(case.original), request, IAU())
    warned = warns(still)
    moved = max(float((t - before[n]).abs().max()) for n, t in still.learner.state().items())
    small = warns(Run(copied(case.original), case.request, IAU(step=1e-6, optimiser="adam_sign")))
    large = warns(Run(copied(case.original), case.request, IAU()))
    return [
        Claim("equal retain and forget sets: largest movement of a weight", "0", moved, moved == 0),
        Claim("largest gap to θ − η (g_R − g_F), gradients by hand in fp64", "≤ 1e-6", gap, gap <= 1e-6),
        Claim("warning where the forget loss changed by less than 5 %: equal sets, a step of 1e-6, the default", 
              "yes, yes, no", ", ".join("yes" if w else "no" for w in (warned, small, large)),
              (warned, small, large) == (True, True, False)),
    ]  # fmt: skip


def by_hand(case: Case, role: str) -> dict[str, torch.Tensor]:
    """Gradient of the mean cross-entropy over a role, all at once, in double precision."""
    twin = copied(case.original)
    twin.model.double().eval()
    images, labels = (torch.from_numpy(case.data.values(c, case.request.ids[role])) for c in ("image", "label"))
    return twin.gradient(cross_entropy(twin.model(images.double()), labels))


def warns(run: Run) -> bool:
    """Whether a run warns."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run.execute()
    return any("the step forgot nothing" in str(w.message) for w in caught)


def second_order() -> list[Claim]:
    """Claim that preconditioned by H⁻¹ the step agrees with leaving k of n records out, to second order."""
    copies = [ratios(copies=True, seed=seed) for seed in SEEDS]
    chance = [ratios(copies=False, seed=seed) for seed in SEEDS]
    text = "logistic regression in fp64, 400 records, k 20, 10, 5"
    return [
        every(
            f"{text}, copies of five: error of the preconditioned step, each half of k over the next",
            "about 4: 3.5 to 5",
            [r for row in copies for r in row],
            lambda r: 3.5 <= r <= 5,
        ),
        shown(f"{text}, random records: the same", [f"{r:.2f}" for row in chance for r in row]),
    ]


def ratios(*, copies: bool, seed: int) -> list[float]:
    """Errors after k = 20, 10, 5 as ratios of one to the next."""
    data = points(copies=copies, seed=seed)
    original = minimum(data, data.ids)
    hessian = torch.func.hessian(objective)(original, data, data.ids)
    errors = []
    for count in (20, 10, 5):
        model = torch.nn.Linear(4, 3, bias=False).double()
        with torch.no_grad():
            model.weight.copy_(original.view(3, 4))
        run = Run(Double(model), ForgetRequest(data, forget=data.ids[:count]).resolve(), IAU())
        step = count / 400 * torch.linalg.solve(hessian, IAU().direction(run)["weight"].flatten())
        errors.append((original - step - minimum(data, data.ids[count:])).norm().item())
    return [errors[0] / errors[1], errors[1] / errors[2]]


class Double(Classifier):
    """A classifier in double precision."""

    def collate(self, dataset, ids, role="", field=""):  # type: ignore[no-untyped-def]
        batch = super().collate(dataset, ids, role, field)
        batch.inputs["x"] = batch.inputs["x"].double()
        return batch

    def log_prob(self, logits_NV, targets_N):  # type: ignore[no-untyped-def]
        return -cross_entropy(logits_NV, targets_N, reduction="none")


def points(*, copies: bool, seed: int) -> Dataset:
    """Three noisy classes in four dimensions; the first twenty records are four copies of five, or all different."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(400, 4, generator=generator)
    labels = (features @ torch.randn(4, 3, generator=generator)).argmax(1)
    labels = torch.where(torch.rand(400, generator=generator) < 0.2, (labels + 1) % 3, labels)
    rows = [*list(range(5)) * 4, *range(5, 385)] if copies else list(range(400))
    columns = {"features": features[rows].numpy(), "label": labels[rows].numpy()}
    return Dataset("points", [str(n) for n in range(400)], columns)


def objective(weights: torch.Tensor, data: Dataset, ids: list[str]) -> torch.Tensor:
    """Mean cross-entropy with its L2 penalty, weights [12]."""
    features, labels = (torch.from_numpy(data.values(name, ids)) for name in ("features", "label"))
    return cross_entropy(features.double() @ weights.view(3, 4).T, labels) + L2 / 2 * weights.square().sum()


def minimum(data: Dataset, ids: list[str]) -> torch.Tensor:
    """Minimum of the objective, by Newton's method to rounding."""
    weights = torch.zeros(12, dtype=torch.float64)
    for _ in range(9):
        slope = torch.func.grad(objective)(weights, data, ids)
        weights = weights - torch.linalg.solve(torch.func.hessian(objective)(weights, data, ids), slope)
    return weights


def tenth() -> list[Claim]:
    """Losses before and after on the forgotten, the retained and unseen images, and what it takes."""
    losses, shares = [], []
    for case in tenths():
        run = _digits.forget(case, IAU(), train=ADAM)
        original = Run(copied(case.original), case.request, IAU())
        anew = Run(copied(retrained(case)), case.request, IAU())
        told = {"original": original, "unlearned": Run(run.learner, case.request, IAU()), "retrained": anew}
        values = [f"{name} {loss(r, 'retain'):.3f}/{loss(r, 'holdout'):.3f}" for name, r in told.items()]
        forgot = [f"{loss(original, 'forget'):.3f}", f"{run.log[-1]['forget']:.3f}", f"{loss(anew, 'forget'):.3f}"]
        losses.append(f"{' → '.join(forgot)} ({'; '.join(values)})")
        shares.append(run.cost.cpu_seconds)
    return [
        shown(
            "random 10 %, default: forget loss of original, unlearned, retrained, nats (retain/unseen of each)", losses
        ),
        shown("CPU seconds of the default, search included", [f"{s:.2f}" for s in shares]),
    ]


def loss(run: Run, role: str) -> float:
    """Mean loss over a role, nats."""
    ids = run.request.ids[role]
    return float(-run.learner.score(run.request.dataset, ids, batch_size=2000)[""]["logp"].mean())


def one_class() -> list[Claim]:
    """A class: the published step and the searched one."""
    chosen = {
        "sign step 1e-3 (published)": PUBLISHED,
        "sign step 5e-3": IAU(step=5e-3, optimiser="adam_sign"),
        "sign step 1e-2": IAU(step=1e-2, optimiser="adam_sign"),
        "searched, slack .02 (default)": IAU(),
        "searched, slack .03": IAU(slack=0.03),
        "searched, slack .05": IAU(slack=0.05),
    }
    found = {
        name: [accuracy(c, _digits.forget(c, m, train=ADAM).learner) for c in cases()] for name, m in chosen.items()
    }
    return [shown(f"one class, {name}: {COLUMNS}", rows) for name, rows in found.items()]
