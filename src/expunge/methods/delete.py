"""DELETE: follow what the original says when the true class is not among the answers; no retain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from expunge.card import Card
from expunge.errors import LearnerError
from expunge.train import Batches, Method, Part, Run

NEVER = -1e10
"""A logit that no other can meet, yet finite: exp of it is 0 and 0 times it is 0."""


@dataclass(frozen=True, kw_only=True)
class DELETE(Method):
    """Decoupled distillation to erase (DELETE).

        L = mean_forget KL(q ‖ p(·|x)),   q = softmax(z_o with z_o[y] → −∞),   z_o the original's logits

    At the start L = −log(1 − p(y|x)), and the gradient on the logits is p − q: the true class's share is handed to the
    others as the original ranked them. Needs forgotten records and their labels alone, so nothing defends what stays:
    the learning rate decides what is lost. For requests to forget a class. On random records it is the wrong tool: it
    teaches wrong answers to images like the retained ones, and accuracy on all of them falls with the forget set's.

    Raises:
        LearnerError: A learner without classes or tokens.

    Source: Zhou et al. (2025), arXiv:2503.23751, and its released code: SGD, momentum .9, 20 epochs, batch 128, lr 1e-4
    for ResNet-18 on CIFAR-10. Deviation: the original's logits are stored, no second model.
    """

    card: ClassVar[Card] = Card(
        name="delete",
        title="Decoupled distillation to erase",
        year=2025,
        source="arXiv:2503.23751",
        needs={"forget", "labels", "reference"},
        learners={"classifier"},
    )

    def begin(self, run: Run) -> None:
        if not run.learner.categorical:
            what = f"delete: a {run.learner.kind} has no classes or tokens, so none can be left out"
            raise LearnerError(what, hint="use a classifier or a language model")
        run.store_distribution("forget")

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        others_NV = run.reference_logits(batch.forget).scatter(1, batch.forget.targets[:, None], NEVER)
        return {"forget": Part.mean(run.learner.divergence(others_NV, run.learner.logits(batch.forget)))}
