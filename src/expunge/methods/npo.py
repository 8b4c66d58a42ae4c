"""NPO: lower the forget set's likelihood below the original's, with a force that fades as it falls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch.nn.functional import softplus

from expunge.card import Card
from expunge.errors import require
from expunge.methods._retain import RetainTerm
from expunge.train import Batches, Part, Run


@dataclass(frozen=True, kw_only=True)
class NPO(RetainTerm):
    """Negative Preference Optimization.

        L = (2/β) · mean_i softplus(β · (log p(y_i|x_i) − log p_ref(y_i|x_i)))  +  λ · L_retain

    log p is the SUM over answer tokens. (2/β) ln 2 when the run begins; tends to gradient ascent as β → 0. Suppresses
    rather than removes: audit it with relearning and rounding.

    Args:
        beta: Inverse temperature β, > 0, no unit. Published default 0.1.
        retain_weight: λ, ≥ 0. 0 trains on the forget set alone.
        retain_loss: "nll" (published) or "kl" to the original.

    Raises:
        ConfigError: A value is out of range.

    Source: Zhang et al. (2024), arXiv:2404.05868, definition of L_NPO. Deviation: log p_ref is stored once, no second
    model.
    """

    card: ClassVar[Card] = Card(
        name="npo",
        title="Negative Preference Optimization",
        year=2024,
        source="arXiv:2404.05868",
        needs={"forget", "retain", "labels"},
        learners={"causal_lm", "classifier"},
        aim="suppression",
    )

    beta: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta > 0, f"npo: beta must be > 0, got {self.beta}")

    def begin(self, run: Run) -> None:
        super().begin(run)
        run.store("reference", role="forget", read=run.learner.log_likelihood)

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        gap_B = run.learner.log_likelihood(batch.forget) - batch.forget.stored["reference"]
        forget = Part.mean(2 / self.beta * softplus(self.beta * gap_B))
        return {"forget": forget, **self.retain_part(run, batch)}
