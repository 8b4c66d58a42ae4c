"""IdkDPO: prefer a refusal to the true answer, both measured from the original."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from expunge.card import Card
from expunge.errors import require
from expunge.learners import Batch
from expunge.methods._refusals import RefusalMethod
from expunge.train import Batches, Part, Run


@dataclass(frozen=True, kw_only=True)
class IdkDPO(RefusalMethod):
    """Direct Preference Optimization towards refusals.

        a_i = log p(y_i|x_i) − log p_ref(y_i|x_i)        b_i = log p(r_i|x_i) − log p_ref(r_i|x_i)
        L = γ · (2/β) · mean_i softplus(β · (a_i − b_i))  +  λ · L_retain

    log p is the SUM over answer tokens, r_i a refusal, drawn anew for each record at each step. (2/β) ln 2 when the
    run begins; NPO where the refusal's term is left out. Only the difference counts: a refusal that was unlikely wins
    by rising alone, the true answer stays, and what is hidden is not removed; one that was likely makes it
    fall. A classifier's refusal is any class at random.

    Args:
        beta: Inverse temperature β, > 0, no unit. Published default 0.1.
        forget_weight: γ, ≥ 0. Published default 1.
        refusals: What to prefer. The published list has a hundred; give them, or your own, here. Each costs one pass
            over the forget set before the first step.
        retain_weight: λ, ≥ 0. Published default 1.
        retain_loss: "nll" (published) or "kl" to the original.

    Raises:
        ConfigError: A value is out of range, no refusals or an empty one.
        LearnerError: A learner that chooses among neither words nor classes.

    Source: Rafailov et al. (2023), arXiv:2305.18290, equation 7, scaled by 2/β and used as in Zhang et al. (2024),
    arXiv:2404.05868. Deviations: ten refusals of our own; log p_ref of every answer and refusal is stored once, no
    second model.
    """

    card: ClassVar[Card] = Card(
        name="idk_dpo",
        title="Direct Preference Optimization towards refusals",
        year=2023,
        source="arXiv:2305.18290",
        needs={"forget", "retain", "labels"},
        learners={"causal_lm", "classifier"},
        aim="suppression",
    )

    beta: float = 0.1
    forget_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta > 0, f"idk_dpo: beta must be > 0, got {self.beta}")
        require(self.forget_weight >= 0, f"idk_dpo: forget_weight must be ≥ 0, got {self.forget_weight}")

    def begin(self, run: Run) -> None:
        super().begin(run)

        def every_refusal(batch: Batch) -> Float[Tensor, "B K"]:
            numbers = range(len(self.choices(run)))
            each = [run.learner.log_likelihood(self.refused(run, batch, [k] * len(batch))) for k in numbers]
            return torch.stack(each, dim=1)

        run.store("reference", role="forget", read=run.learner.log_likelihood)
        run.store("reference of refusals", role="forget", read=every_refusal)

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        numbers = self.drawn(run, batch.forget)
        stored_BK = batch.forget.stored["reference of refusals"]
        stored_B = stored_BK[torch.arange(len(numbers)), torch.tensor(numbers)]
        lose_B = run.learner.log_likelihood(batch.forget) - batch.forget.stored["reference"]
        win_B = run.learner.log_likelihood(self.refused(run, batch.forget, numbers)) - stored_B
        forget = Part.mean(2 / self.beta * softplus(self.beta * (lose_B - win_B)))
        return {"forget": forget * self.forget_weight, **self.retain_part(run, batch)}
