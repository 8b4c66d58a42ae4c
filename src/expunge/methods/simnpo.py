"""SimNPO: NPO on the length-normalised likelihood, without a reference model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch.nn.functional import softplus

from expunge.card import Card
from expunge.errors import require
from expunge.methods._retain import RetainTerm
from expunge.train import Batches, Part, Run


@dataclass(frozen=True, kw_only=True)
class SimNPO(RetainTerm):
    """Simple Negative Preference Optimization.

        m_i = log p(y_i|x_i) / |y_i|
        L = γ · (2/β) · mean_i softplus(β · (m_i + δ))  +  λ · L_retain

    |y_i| counts answer tokens with EOS. The gradient is that of m_i with weight 2σ(β(m_i + δ)), which fades once the
    answer is unlikely in itself, whatever the original thought; as β → 0 it becomes ascent on m_i. An answer that was
    unlikely from the start is left alone, and so is one that is likely only in its common words.

    Args:
        beta: β, > 0, per nat. Published 2.5 on 5 % of TOFU, 4.5 on 10 %, .7 on MUSE News, .75 on Books.
        margin: δ, nats a token; the paper calls it γ. Published 0. Larger forgets further.
        forget_weight: γ, ≥ 0. Published .1375 on 5 % of TOFU, .125 on 10 %, 1 on MUSE.
        retain_weight: λ, ≥ 0. Published 1 on TOFU, .1 on MUSE.
        retain_loss: "nll" (published) or "kl" to the original.

    Raises:
        ConfigError: A value is out of range.

    Source: Fan et al. (2024), arXiv:2410.07163, definition of L_SimNPO, and its released settings. Deviation: none.
    """

    card: ClassVar[Card] = Card(
        name="simnpo",
        title="Simple Negative Preference Optimization",
        year=2024,
        source="arXiv:2410.07163",
        needs={"forget", "retain", "labels"},
        learners={"causal_lm", "classifier"},
        aim="suppression",
    )

    beta: float = 4.5
    margin: float = 0.0
    forget_weight: float = 0.125

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta > 0, f"simnpo: beta must be > 0, got {self.beta}")
        require(self.forget_weight >= 0, f"simnpo: forget_weight must be ≥ 0, got {self.forget_weight}")

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        mean_B = run.learner.mean_log_likelihood(batch.forget)
        forget = Part.mean(2 / self.beta * softplus(self.beta * (mean_B + self.margin)))
        return {"forget": forget * self.forget_weight, **self.retain_part(run, batch)}
