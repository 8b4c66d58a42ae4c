"""Five seeds of one training on digits: one after another, in two processes, or all in one vectorised step.

The bench runs its seeds in processes. A vectorised step (`torch.func.vmap` over stacked weights) is what it is compared
with here: the same seeds, the same batches in the same order, the same optimiser. It can train plain models only; a
method that stores references, rewinds or edits weights has no such form.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state

from benchmarks._measure import paired
from expunge.config import TrainConfig
from expunge.data import digits
from expunge.learners import Classifier
from expunge.methods.retrain import Retrain
from expunge.models import mlp
from expunge.request import Resolved
from expunge.train import Run

SEEDS = tuple(range(1, 6))
TRAIN = TrainConfig(epochs=60, lr=1e-3, batch_size=64, optimiser="adam", clip=None)
PROCESSES = 2
REPEATS = 5
FIRST = 20
CLOSE = 1e-4
"""Largest difference of a weight after the first steps: sums are taken in another order, and Adam amplifies that."""


def run() -> dict[str, Any]:
    torch.set_num_threads(1)
    walls: dict[str, list[float]] = {"one by one": [], "two processes": [], "vectorised": []}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, context, torch.set_num_threads, (1,)) as pool:
        list(pool.map(_trained, SEEDS[:PROCESSES]))  # processes are started and warm before the clock is
        for _ in range(REPEATS):
            ways: dict[str, Callable[[], list[dict[str, Tensor]]]] = {
                "one by one": lambda: [_trained(seed) for seed in SEEDS],
                "two processes": lambda: list(pool.map(_trained, SEEDS)),
                "vectorised": _vectorised,
            }
            for name, way in ways.items():
                started = time.perf_counter()
                way()
                walls[name].append(time.perf_counter() - started)
    alone, together = [_trained(seed, stop_at=FIRST) for seed in SEEDS], _vectorised(stop_at=FIRST)
    apart = max(_apart(a, b) for a, b in zip(alone, together, strict=True))
    against = paired(walls["vectorised"], walls["two processes"])
    faster = "vectorised" if against["ratio"]["median"] < 1 else "two processes"
    return {
        "seeds": len(SEEDS),
        "steps": _steps(),
        "wall_seconds": walls,
        "two_processes_over_one_by_one": paired(walls["two processes"], walls["one by one"]),
        "vectorised_over_one_by_one": paired(walls["vectorised"], walls["one by one"]),
        "vectorised_over_two_processes": against,
        "largest_difference_of_a_weight": {"after_steps": FIRST, "value": apart},
        "demanded": f"the same weights to {CLOSE} after {FIRST} steps; no speed is demanded",
        "measured": f"{faster} faster: {against['ratio']['median']:.2f} of two processes' time; {apart:.1e} apart",
        "passed": apart < CLOSE,
    }


def _run(seed: int, stop_at: int | None = None) -> Run:
    data = digits.load()
    spec: dict[str, Any] = {"inputs": 64, "classes": 10, "hidden": [128, 128]}
    learner = Classifier(mlp.build(**spec), spec={"name": "mlp", **spec}).fresh(seed)
    everything = Resolved(data, {"forget": [], "retain": data.split("train")})
    return Run(learner, everything, Retrain(), train=replace(TRAIN, stop_at=stop_at), seed=seed)


def _trained(seed: int, stop_at: int | None = None) -> dict[str, Tensor]:
    run = _run(seed, stop_at)
    run.execute()
    return run.learner.state()


def _vectorised(stop_at: int | None = None) -> list[dict[str, Tensor]]:
    """Train all seeds in one loop: weights [S, ...], inputs [S, B, ...]."""
    runs = [_run(seed) for seed in SEEDS]
    for run in runs:
        run.method.begin(run)
    weights, buffers = stack_module_state([run.learner.model for run in runs])
    optimiser = torch.optim.Adam(list(weights.values()), lr=TRAIN.lr)
    model = runs[0].learner.model

    def loss(w: dict[str, Tensor], b: dict[str, Tensor], x_BI: Tensor, y_B: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(functional_call(model, (w, b), (x_BI,)), y_B)

    each = torch.vmap(loss)
    for steps in islice(zip(*(run.method.batches(run) for run in runs), strict=True), stop_at):
        batches = [
            run.learner.collate(run.request.dataset, s.ids["retain"]) for run, s in zip(runs, steps, strict=True)
        ]
        optimiser.zero_grad()
        x_SBI, y_SB = (torch.stack(t) for t in zip(*((b.inputs["x"], b.targets) for b in batches), strict=True))
        each(weights, buffers, x_SBI, y_SB).sum().backward()
        optimiser.step()
    return [{n: w[s].detach() for n, w in weights.items()} for s in range(len(SEEDS))]


def _steps() -> int:
    run = _run(SEEDS[0])
    return sum(1 for _ in run.method.batches(run))


def _apart(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    return max(float((one[n] - other[n]).abs().max()) for n in one)
