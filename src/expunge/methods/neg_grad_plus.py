"""NegGrad+: descend on the retain set and, a little, ascend on the forget set in the same step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from expunge.card import Card
from expunge.errors import LearnerError, require
from expunge.train import Batches, Method, Part, Run, Step


@dataclass(frozen=True, kw_only=True)
class NegGradPlus(Method):
    """NegGrad+ (NG+).

        L = α · mean_retain ℓ  −  (1 − α) · mean_forget min(ℓ, log V + m)  +  c · ‖θ − θ_o‖²        ℓ = −log p(y|x)

    An epoch is a pass over the retain set; as many forgotten records stand beside each batch, drawn over and over. V
    counts classes or tokens, so log V is chance. Without the bound the ascent has no end: at α .95 it takes the model
    with it, at .9999 it hardly starts, and what lies between depends on model and data.

    Args:
        alpha: α, 0 to 1. Published .95 to .9999. 1 is fine-tuning.
        margin: m, nats beyond chance at which a forgotten example no longer counts; None never stops (published).
        pull: c, ≥ 0, nats per squared unit of weight. Published 0; some releases have one.

    Raises:
        ConfigError: A value is out of range.
        LearnerError: A margin, and a learner without classes or tokens.

    Source: Kurmanji et al. (2023), arXiv:2302.09880, its baseline NegGrad+. Deviations: the bound; the pull is the
    squared distance.
    """

    card: ClassVar[Card] = Card(
        name="neg_grad_plus",
        title="NegGrad+",
        year=2023,
        source="arXiv:2302.09880",
        needs={"forget", "retain", "labels"},
        learners={"classifier"},
    )

    alpha: float = 0.95
    margin: float | None = 2.0
    pull: float = 0.0

    def __post_init__(self) -> None:
        require(0 <= self.alpha <= 1, f"neg_grad_plus: alpha must be in [0, 1], got {self.alpha}")
        require(self.margin is None or self.margin >= 0, f"neg_grad_plus: margin must be ≥ 0, got {self.margin}")
        require(self.pull >= 0, f"neg_grad_plus: pull must be ≥ 0, got {self.pull}")

    def begin(self, run: Run) -> None:
        if self.margin is not None and not run.learner.categorical:
            what = f"neg_grad_plus: a {run.learner.kind} has no level of chance, from which the margin is counted"
            raise LearnerError(what, hint="set method.margin=null: the forget loss is then unbounded")
        if self.pull:
            run.artefacts.put("original", {n: p.detach().clone() for n, p in run.learner.trainable().items()})

    def batches(self, run: Run) -> Iterator[Step]:
        yield from run.steps("retain", "forget")

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        logits_NV = run.learner.logits(batch.forget)
        loss_N = -run.learner.log_prob(logits_NV, batch.forget.targets)
        if self.margin is not None:
            loss_N = loss_N.clamp_max(math.log(logits_NV.shape[1]) + self.margin)
        parts = {
            "retain": run.learner.nll(batch.retain) * self.alpha,
            "forget": Part.mean(loss_N) * -(1 - self.alpha),
        }
        if self.pull:
            original, records = run.artefacts["original"], len(batch.retain)
            moved = sum((p - original[n]).square().sum() for n, p in run.learner.trainable().items())
            parts["pull"] = Part(self.pull * moved * records, records)
        return parts
