"""GradDiff: up on the forget set, down on the retain set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from expunge.card import Card
from expunge.errors import require
from expunge.methods._retain import RetainTerm
from expunge.train import Batches, Part, Run


@dataclass(frozen=True, kw_only=True)
class GradDiff(RetainTerm):
    """Gradient difference.

        L = −γ · mean_forget (−log p(y|x))  +  λ · L_retain

    Means are over scored tokens of the batch. Unbounded below: it over-forgets unless it is stopped.

    Args:
        forget_weight: γ, ≥ 0. Published default 1.
        retain_weight: λ, ≥ 0. Published default 1.
        retain_loss: "nll" (published) or "kl" to the original.

    Raises:
        ConfigError: A weight is negative.

    Source: Liu, Liu and Stone (2022), arXiv:2203.12817; Maini et al. (2024), arXiv:2401.06121. Deviation: none.
    """

    card: ClassVar[Card] = Card(
        name="grad_diff",
        title="Gradient difference",
        year=2022,
        source="arXiv:2203.12817",
        needs={"forget", "retain", "labels"},
        learners={"causal_lm", "classifier"},
    )

    forget_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.forget_weight >= 0, f"grad_diff: forget_weight must be ≥ 0, got {self.forget_weight}")

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        return {"forget": run.learner.nll(batch.forget) * -self.forget_weight, **self.retain_part(run, batch)}
