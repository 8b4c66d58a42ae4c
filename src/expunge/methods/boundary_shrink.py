"""Boundary shrink: teach the forget set the class that lies across the nearest decision boundary; no retain data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from expunge.card import Card
from expunge.errors import LearnerError, require
from expunge.learners import Batch, Classifier
from expunge.train import Batches, Method, Part, Run


@dataclass(frozen=True, kw_only=True)
class BoundaryShrink(Method):
    """Boundary unlearning, its shrinking variant.

        x' = x + ε · sign ∂(−log p_o(y|x)) / ∂x,    y' = argmax p_o(·|x'),    L = mean_forget −log p(y'|x)

    One step of the fast gradient sign method on the original says where each forgotten record would go, and it is
    taught to go there. Nothing defends what stays: rate and length decide what is lost. A record that the step does
    not carry out of its class keeps its label, so that an ε too small for the inputs' scale teaches the class anew; the
    run's log tells the share that was relabelled. For requests to forget a class; a random record has its neighbours
    among what stays.

    Args:
        bound: ε, > 0, in units of the input. Published 0.1 on images in [0, 1]; digits, of fewer pixels, need more.

    Raises:
        ConfigError: bound is not positive.
        LearnerError: No classifier, or one whose inputs are text.

    Source: Chen et al. (2023), arXiv:2303.11570, section 4.1, and its released code: SGD, 10 epochs, lr 1e-5.
    Deviations: x' is neither clipped to [0, 1] nor rounded to bytes, as inputs need not be images; the default ε.
    """

    card: ClassVar[Card] = Card(
        name="boundary_shrink",
        title="Boundary shrink",
        year=2023,
        source="arXiv:2303.11570",
        needs={"forget", "labels", "reference"},
        learners={"classifier"},
    )

    bound: float = 0.15

    def __post_init__(self) -> None:
        require(self.bound > 0, f"boundary_shrink: bound must be > 0, got {self.bound}")

    def begin(self, run: Run) -> None:
        if not isinstance(run.learner, Classifier):
            what = f"boundary_shrink: a {run.learner.kind} has no classes"
            raise LearnerError(what, hint="use a classifier")
        run.store("across", role="forget", read=lambda batch: self.across(run, batch))
        targets = run.learner.targets(run.request.dataset)[run.request.dataset.rows(run.ids("forget"))]
        share = (run.artefacts["across"].values.cpu() != targets).float().mean().item()
        run.log.append({"step": 0, "relabelled": share})

    def across(self, run: Run, batch: Batch) -> Int[Tensor, " B"]:
        """Return the class that one step uphill in the loss leads to, [B], read in evaluation mode."""
        name, inputs = next(iter(batch.inputs.items()))
        if not inputs.is_floating_point():
            what = "boundary_shrink: the inputs are text, and no step leads from one to another"
            raise LearnerError(what, hint="use another method, such as `scrub`")
        with torch.enable_grad():
            inputs = inputs.detach().clone().requires_grad_()
            part = run.learner.nll(replace(batch, inputs={**batch.inputs, name: inputs}))
            (uphill,) = torch.autograd.grad(part.total, inputs)
        moved = replace(batch, inputs={**batch.inputs, name: self.step(inputs.detach(), uphill)})
        return run.learner.logits(moved).argmax(-1)

    def step(self, inputs: Float[Tensor, "B ..."], uphill: Float[Tensor, "B ..."]) -> Float[Tensor, "B ..."]:
        """Return x'."""
        return inputs + self.bound * uphill.sign()

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        return {"forget": run.learner.nll(replace(batch.forget, targets=batch.forget.stored["across"]))}
