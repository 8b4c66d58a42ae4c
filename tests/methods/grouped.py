"""A small regressor that knows of a group what no other record tells, and where a method leaves it."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from expunge.config import TrainConfig
from expunge.data import Dataset
from expunge.learners import Learner, Regressor
from expunge.methods._absolute_error import AbsoluteErrorFit
from expunge.models import mlp
from expunge.request import Resolved
from expunge.train import Batches, Method, Run, copied

TRAIN = TrainConfig(epochs=20, lr=1e-2, batch_size=50, optimiser="adam", clip=None)


@cache
def request(targets: int = 1) -> Resolved:
    """400 records of two numbers; a fifth is the group, whose targets lie 6 higher."""
    draw = np.random.default_rng(0)
    x = draw.uniform(-1, 1, (400, 2)).astype(np.float32)
    group = x[:, 1] > 0.6
    y = (np.sin(3 * x[:, 0]) + 6 * group).astype(np.float32)
    ids = [f"group/{row}" for row in range(400)]
    target = y if targets == 1 else np.stack([y * k for k in range(1, targets + 1)], axis=1)
    by_role = {"forget": group, "retain": ~group}
    sets = {role: [ids[row] for row in np.flatnonzero(chosen)] for role, chosen in by_role.items()}
    return Resolved(Dataset("group", ids, {"features": x, "target": target}), sets)


def blank(targets: int = 1, seed: int = 0) -> Regressor:
    """Return a perceptron 2-32-1 with new weights."""
    spec = {"inputs": 2, "classes": targets, "hidden": [32]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Regressor(mlp.build(**spec), spec={"name": "mlp", **spec})


@cache
def original() -> Learner:
    """Knows the group; change copies only."""
    ids = request().ids
    whole = Resolved(request().dataset, {"forget": [], "retain": ids["forget"] + ids["retain"]})
    return Run(blank(seed=1), whole, AbsoluteErrorFit(), train=TRAIN).execute()


@cache
def retrained() -> Learner:
    """Never saw the group."""
    return Run(blank(seed=2), request(), AbsoluteErrorFit(), train=TRAIN, seed=2).execute()


def started(method: Method, learner: Learner | None = None, of: Resolved | None = None, **train) -> Run:
    """Return a run that has begun, on a copy."""
    settings = {"epochs": 6, "lr": 5e-3, "batch_size": 50, "optimiser": "adam", "clip": None} | train
    run = Run(copied(learner or original()), of or request(), method, train=TrainConfig(**settings))
    method.begin(run)
    return run


def mixed(run: Run, forget: int, retain: int) -> Batches:
    """Return a step's batches with so many records of each role; none leaves the role out."""
    counts = {"forget": forget, "retain": retain}
    return Batches({r: run.batch(run.ids(r)[:n], r) for r, n in counts.items() if n})


def value(parts) -> float:
    """Return the loss that parts come to."""
    return sum((p.total / p.weight).item() for p in parts.values())


def predicted(learner: Learner, role: str, of: Resolved | None = None) -> np.ndarray:
    """Return predictions for a role, [n, K]."""
    of = of or request()
    return learner.score(of.dataset, of.ids[role])[""]["extras"]["prediction"]


def wasserstein(learner: Learner) -> float:
    """Return the W1 of the forget set's predictions to the retrained model's."""
    ours, theirs = (np.sort(predicted(m, "forget")[:, 0]) for m in (learner, retrained()))
    return float(np.abs(ours - theirs).mean())


def error(learner: Learner) -> float:
    """Return the mean absolute error on the retain set."""
    truth = request().dataset.values("target", request().ids["retain"])
    return float(np.abs(predicted(learner, "retain")[:, 0] - truth).mean())
