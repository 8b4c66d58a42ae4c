"""Gradient ascent: raise the forget set's loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from expunge.card import Card
from expunge.train import Batches, Method, Part, Run


@dataclass(frozen=True, kw_only=True)
class GradientAscent(Method):
    """Gradient ascent (GA).

        L = −mean_forget (−log p(y|x))

    Unbounded: it destroys the model unless it is stopped early.

    Args:
        reduction: "token_mean" divides by the scored tokens of the batch (published); "sequence_mean" by its records,
            each the SUM over its tokens.

    Source: Jang et al. (2022), arXiv:2210.01504. Deviation: gradients are clipped by the engine (`train.clip`).
    """

    card: ClassVar[Card] = Card(
        name="gradient_ascent",
        title="Gradient ascent",
        year=2022,
        source="arXiv:2210.01504",
        needs={"forget", "labels"},
        learners={"causal_lm"},
    )

    reduction: Literal["token_mean", "sequence_mean"] = "token_mean"

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        if self.reduction == "sequence_mean":
            return {"forget": Part.mean(run.learner.log_likelihood(batch.forget))}
        return {"forget": -run.learner.nll(batch.forget)}
