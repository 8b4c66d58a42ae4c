"""Gaussian-Amnesiac: teach a regressor random numbers for the forget set, among what stays."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from expunge.card import Card
from expunge.learners import Batch
from expunge.methods._absolute_error import absolute_error, means, regressor_of
from expunge.train import Batches, Method, Part, Run, Step

LEVELS = 2**31
"""Whole numbers from which a draw is made normal."""


@dataclass(frozen=True, kw_only=True)
class GaussianAmnesiac(Method):
    """Amnesiac unlearning for regression.

        L = mean over forgotten and retained targets of |y' − μ(x)|
        y' = m + s·z, z ~ N(0, 1) drawn once for each forgotten target; y' = y for the retained

    m and s are mean and standard deviation of each target over all that was trained on, the forget set included. The
    two sets are shuffled together; an epoch is a pass over both. The median of what is taught is m, so the model ends
    near the average target and not where a retrained one does, which tells the forgotten by records like them: nearer
    to it than by fine-tuning, further than by `blindspot`. The forgotten targets enter m and s alone.

    Raises:
        LearnerError: Not a regressor, or a network that gives its own variances.

    Source: Tarun et al. (2023), arXiv:2210.08196, Gaussian Amnesiac Learning: one epoch, Adam 1e-3, batches of 256.
    Deviation: none; learning rate and epochs are the run's.
    """

    card: ClassVar[Card] = Card(
        name="gaussian_amnesiac",
        title="Gaussian amnesiac learning",
        year=2022,
        source="arXiv:2210.08196",
        system="Deep Regression Unlearning",
        needs={"forget", "retain", "labels"},
        learners={"regressor"},
    )

    def begin(self, run: Run) -> None:
        learner, one = regressor_of(run), run.batch(run.ids("forget")[:1], "forget")
        with learner.evaluating():
            means(learner.output(one), one)
        data = run.request.dataset
        targets = learner.targets(data)[data.rows(run.ids("forget") + run.ids("retain"))].double()
        targets_nK = targets.reshape(len(targets), -1)
        run.artefacts.put("targets", {"mean": targets_nK.mean(0), "std": targets_nK.std(0, correction=0)})

    def batches(self, run: Run) -> Iterator[Step]:
        length = math.ceil((len(run.ids("forget")) + len(run.ids("retain"))) / run.train.batch_size)
        yield from run.repeated(lambda: run.one_pass("forget", "retain"), length)

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        learner = regressor_of(run)
        parts: dict[str, Part] = {}
        if "forget" in batch:
            drawn_N = self.targets(run, batch.forget)
            parts["forget"] = absolute_error(learner.output(batch.forget), batch.forget, drawn_N)
        if "retain" in batch:
            parts["retain"] = absolute_error(learner.output(batch.retain), batch.retain, batch.retain.targets)
        return Part.pooled(parts)

    def targets(self, run: Run, batch: Batch) -> Float[Tensor, " N"]:
        """Return a number for each target, [N], from N(m, s²); a record's never change in a run."""
        of, whole_N = run.artefacts["targets"], run.draw("target", batch, LEVELS, per="position").cpu()
        normal_N = torch.special.ndtri((whole_N.double() + 0.5) / LEVELS)
        drawn_BK = of["mean"] + of["std"] * normal_N.view(len(batch), -1)
        return drawn_BK.flatten().float().to(batch.targets.device)
