"""Fine-tune on what stays, and hope that the rest fades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from expunge.card import Card
from expunge.train import Batches, Method, Part, Run


@dataclass(frozen=True, kw_only=True)
class Finetune(Method):
    """Fine-tuning on the retain set (FT).

        L = mean_retain −log p(y|x)

    Relies on catastrophic forgetting, so it hardly forgets what the retain set supports: no forgetting test passes.

    Source: Golatkar et al. (2020), arXiv:1911.04933, the "finetune" baseline. Deviation: none.
    """

    card: ClassVar[Card] = Card(
        name="finetune",
        title="Fine-tuning on the retain set",
        year=2020,
        source="arXiv:1911.04933",
        needs={"retain", "labels"},
    )

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        return {"retain": run.learner.nll(batch.retain)}
