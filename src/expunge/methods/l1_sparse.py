"""l1-sparse: fine-tune on what stays while a penalty shrinks every weight that what stays does not defend."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from expunge.card import Card
from expunge.errors import require
from expunge.train import Batches, Method, Part, Run


@dataclass(frozen=True, kw_only=True)
class L1Sparse(Method):
    """Sparsity-aware unlearning, the variant without pruning.

        L = mean_retain −log p(y|x)  +  a_e · ‖θ‖₁         a_e = a · (1 − e/E) in epoch e = 0, 1, … of E, or a

    ‖θ‖₁ sums |θ| over all trainable weights, biases and norms too, so what an `a` does depends on the model's size.
    Never reads the forget set: what the retain set supports is hardly forgotten, and too large an `a` costs utility.

    Args:
        alpha: a, ≥ 0, nats per unit of weight. Published 1e-4 to 5e-4. 0 is fine-tuning.
        decay: "linear" falls from epoch to epoch to a/E in the last (found best in the paper); "none" keeps a.

    Raises:
        ConfigError: alpha is negative, or no such decay.

    Source: Jia et al. (2023), arXiv:2304.04934, equation of l1-sparse MU. Deviation: none.
    """

    card: ClassVar[Card] = Card(
        name="l1_sparse",
        title="Sparsity-aware unlearning",
        year=2023,
        source="arXiv:2304.04934",
        needs={"retain", "labels"},
        learners={"classifier"},
    )

    alpha: float = 5e-4
    decay: Literal["linear", "none"] = "linear"

    def __post_init__(self) -> None:
        require(self.alpha >= 0, f"l1_sparse: alpha must be ≥ 0, got {self.alpha}")
        require(self.decay in ("linear", "none"), f"l1_sparse: decay must be linear or none, got {self.decay!r}")

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        norm = torch.cat([weight.flatten() for weight in run.learner.trainable().values()]).norm(1)
        records = len(batch.retain)
        return {
            "retain": run.learner.nll(batch.retain),
            "sparsity": Part(self.strength(run) * norm * records, records),
        }

    def strength(self, run: Run) -> float:
        """Return a_e at the run's present step."""
        if self.decay == "none":
            return self.alpha
        length = math.ceil(len(run.ids("retain")) / run.train.batch_size)
        epochs = run.train.steps / length if run.train.steps else run.train.epochs
        return self.alpha * max(0.0, 1 - run.cost.steps // length / epochs)
