"""What tests of methods share: a run that has begun, gradients by part, and committed trajectories."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from expunge.config import TrainConfig
from expunge.learners import Learner
from expunge.request import Resolved
from expunge.train import Batches, Method, Run, copied, gradients_by_part

ASSETS = Path(__file__).parents[1] / "assets"
KINDS = ("classifier", "causal_lm")
Begin = Callable[..., Run]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def begin(tiny_classifier, tiny_lm, tiny_requests) -> Begin:
    """A run of a method that has begun, on a copy of the model of some kind."""
    learners: dict[str, Learner] = {"classifier": tiny_classifier, "causal_lm": tiny_lm}

    def start(method: Method, kind: str = "classifier", request: Resolved | None = None, **train) -> Run:
        run = Run(copied(learners[kind]), request or tiny_requests[kind], method, train=TrainConfig(**train), seed=0)
        method.begin(run)
        return run

    return start


@pytest.fixture
def parts_of():
    """Gradient and value of each part of the loss, on the first records of each role."""

    def read(run: Run, count: int = 6, phase: str = "") -> tuple[dict[str, dict[str, Tensor]], dict[str, float]]:
        roles = [role for role in ("forget", "retain") if run.request.ids[role]]
        return gradients_by_part(run, [Batches({r: run.batch(run.ids(r)[:count], r) for r in roles}, phase)])

    return read


@pytest.fixture
def perturb():
    """Move the weights of a run by seeded noise, so that it stands somewhere else than at its start."""

    def move(run: Run, scale: float = 0.1) -> None:
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for parameter in run.learner.trainable().values():
                parameter += scale * torch.randn(parameter.shape, generator=generator)

    return move


@pytest.fixture
def check_trajectory():
    """Compare the losses of a run's steps with committed ones; EXPUNGE_WRITE_ASSETS=1 commits new ones."""

    def check(name: str, run: Run) -> None:
        run.execute()
        skipped = {"step", "phase", "lr"}
        rows = [{k: v for k, v in row.items() if k not in skipped} for row in run.log if "gradient_norm" in row]
        path = ASSETS / f"{name}.json"
        if os.environ.get("EXPUNGE_WRITE_ASSETS"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(rows, indent=1) + "\n")
        expected = json.loads(path.read_text())
        assert len(rows) == len(expected) == 20
        for row, wanted in zip(rows, expected, strict=True):
            assert row == pytest.approx(wanted, rel=1e-4, abs=1e-6)

    return check
