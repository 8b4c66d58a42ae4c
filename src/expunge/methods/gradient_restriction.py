"""Gradient restriction: train an original whose records pull little each, so that a later step away is well-behaved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from expunge.card import Card
from expunge.errors import require
from expunge.train import Batches, Method, Part, Run

TINY = 1e-12  # inside the root, which has no slope at 0


@dataclass(frozen=True, kw_only=True)
class GradientRestriction(Method):
    """Training with gradient restriction (GR), for originals that IAU is to unlearn.

        L = ℓ  +  α · Σ_t √(‖∂ℓ/∂θ_t‖² + 1e-12)        ℓ = mean over the batch of −log p(y|x), t a tensor of θ

    Forgets nothing: it trains on the retain set, which for an original is everything, from the weights it is given.
    Differentiates twice, so a step costs two to three plain ones, attention runs in its plain form, and a batch cannot
    be split. ReLU has no second derivative: what lies between its pieces is not seen.

    Args:
        alpha: α, ≥ 0, in units of weight. Published .005, which changes little on digits. Too large an α learns
            nothing: where everything is told alike gradients are small. 0 is fine-tuning.

    Raises:
        ConfigError: alpha is negative.

    Source: Liu et al. (2025), arXiv:2507.23257, gradient restriction, and its released code: the norms of the tensors
    are summed, and those of the batch's mean gradient, not of single records'. Deviations: 1e-12 inside the root; a
    larger α, for SGD. With Adam it hardly lowers the gradients of single records.
    """

    card: ClassVar[Card] = Card(
        name="gradient_restriction",
        title="Gradient restriction",
        year=2025,
        source="arXiv:2507.23257",
        system="IAU",
        needs={"retain"},
        aim="control",
        lives_in="nowhere",
        accumulates=False,
    )

    alpha: float = 0.05

    def __post_init__(self) -> None:
        require(self.alpha >= 0, f"gradient_restriction: alpha must be ≥ 0, got {self.alpha}")

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        if not self.alpha:
            return {"retain": run.learner.nll(batch.retain)}
        with sdpa_kernel(SDPBackend.MATH):
            retain = run.learner.nll(batch.retain)
            weights = list(run.learner.trainable().values())
            found = torch.autograd.grad(retain.total / retain.weight, weights, create_graph=True, allow_unused=True)
        norms = [(g.square().sum() + TINY).sqrt() for g in found if g is not None]
        return {"retain": retain, "restriction": Part(self.alpha * torch.stack(norms).sum(), 1.0)}
