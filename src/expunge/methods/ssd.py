"""SSD: dampen the weights that matter to the forget set far more than to all data; no gradient steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from expunge.card import Card
from expunge.errors import ConfigError, require
from expunge.train import Gradients, Method, Run


@dataclass(frozen=True, kw_only=True)
class SSD(Method):
    """Selective Synaptic Dampening.

        I_S = mean over batches b of S of (∂ mean_b −log p(y|x) / ∂θ)²     or, loss-free, |∂ mean_b ‖z(x)‖² / ∂θ|
        θ ← min(λ · I_D / I_F, 1) · θ     where I_F > α · I_D, else unchanged

    D is everything that was trained on, F the forget set, z the logits. α is not free of scale: it depends on the batch
    size, the model and how far it converged, so `alpha="sweep"` is part of the method. Applied twice it dampens twice.
    Loss-free, with a number for α, no record needs a label, and accuracies are not logged.

    Args:
        alpha: Selection threshold, > 0 (published 5 to 50), or "sweep": the largest of `sweep` that brings accuracy
            down to `target`, measured on the holdout set where there is one (same class!), else on the forget set.
        dampening: λ, > 0. Published 1, 0.1 for faces.
        batch_size: Records of one squared gradient. Published 128; batches are near-equal, see deviations.
        importance: "batch_mean" (published), "loss_free" (LFSSD), or "per_sample": then I_F / I_D ≤ |D| / |F| and any α
            from there on is a no-op, which is refused.
        sweep: Thresholds to try, falling. Steps of √2: between 10 and 5 ten points of retained accuracy can be lost.
        target: Accuracy at which the sweep is content, 0 to 1.

    Raises:
        ConfigError: A value is out of range, or an α that can select nothing.

    Source: Foster et al. (2023), arXiv:2308.07707, algorithm 1; loss-free: Foster et al. (2024), arXiv:2402.19308.
    Deviations: batches of near-equal size, since a small last batch has a huge squared mean gradient. On random forget
    sets that alone does not save a fixed α, nor does one size for both sets; hence the sweep.
    """

    card: ClassVar[Card] = Card(
        name="ssd",
        title="Selective Synaptic Dampening",
        year=2023,
        source="arXiv:2308.07707",
        system="SSD",
        needs={"forget", "retain", "labels"},
        learners={"classifier"},
        accumulates=False,
    )

    alpha: float | Literal["sweep"] = 10.0
    dampening: float = 1.0
    batch_size: int = 128
    importance: Literal["batch_mean", "per_sample", "loss_free"] = "batch_mean"
    sweep: tuple[float, ...] = (100.0, 70.0, 50.0, 35.0, 25.0, 18.0, 12.0, 9.0, 6.0, 4.0, 3.0, 2.0)
    target: float = 0.03

    def __post_init__(self) -> None:
        require(self.alpha == "sweep" or float(self.alpha) > 0, f"ssd: alpha must be > 0 or 'sweep', got {self.alpha}")
        require(self.dampening > 0, f"ssd: dampening must be > 0, got {self.dampening}")
        require(self.batch_size >= 1, f"ssd: batch_size must be ≥ 1, got {self.batch_size}")
        require(list(self.sweep) == sorted(self.sweep, reverse=True), f"ssd: sweep must fall, got {self.sweep}")
        require(0 <= self.target <= 1, f"ssd: target must be in [0, 1], got {self.target}")
        if self.importance == "loss_free" and self.alpha != "sweep":
            card = type(self).card
            object.__setattr__(self, "card", replace(card, needs=card.needs - {"labels"}))

    def solve(self, run: Run) -> None:
        forget = set(run.ids("forget"))
        trained = forget.union(run.ids("retain"))
        everything = [i for i in run.request.dataset.ids if i in trained]
        ratio = len(everything) / len(forget)
        if self.importance == "per_sample" and self.alpha != "sweep" and float(self.alpha) >= ratio:
            raise ConfigError(
                f"ssd: with per_sample importance alpha {self.alpha} selects nothing, as it is ≥ |D|/|F| = {ratio:.2f}",
                hint="lower method.alpha or use importance=batch_mean",
            )
        of_all = self.importances(run, everything)
        of_forget = self.importances(run, run.ids("forget"))
        original = {n: p.detach().clone() for n, p in run.learner.trainable().items()}
        role = "holdout" if run.request.ids.get("holdout") else "forget"
        for alpha in self.sweep if self.alpha == "sweep" else (float(self.alpha),):
            selected = self.dampen(run, original, of_all, of_forget, alpha)
            row: dict[str, Any] = {"step": 0, "alpha": alpha, "selected": selected}
            if "labels" in self.card.needs:
                row[f"accuracy_{role}"] = run.read(role, "hit").mean().item()
            run.log.append(row)
            if row.get(f"accuracy_{role}", 1.0) <= self.target:
                break

    def dampen(
        self,
        run: Run,
        original: dict[str, Tensor],
        of_all: dict[str, Tensor],
        of_forget: dict[str, Tensor],
        alpha: float,
    ) -> float:
        """Write the dampened weights and return the share of weights selected."""
        selected = total = 0
        with torch.no_grad():
            for name, parameter in run.learner.trainable().items():
                chosen = of_forget[name] > alpha * of_all[name]
                factor = (self.dampening * of_all[name] / of_forget[name]).clamp_max(1)
                parameter.copy_(torch.where(chosen, original[name] * factor, original[name]))
                selected += int(chosen.sum())
                total += chosen.numel()
        return selected / total

    def importances(self, run: Run, ids: Sequence[str]) -> dict[str, Tensor]:
        """Return I of a set of records, by parameter, ≥ 0: nats² per squared unit of weight, or loss-free per unit."""
        size = 1 if self.importance == "per_sample" else self.batch_size
        chunks = np.array_split(np.array(ids, dtype=object), -(-len(ids) // size))
        sums = {n: torch.zeros_like(p) for n, p in run.learner.trainable().items()}
        for chunk in chunks:
            for name, gradient in self.mean_gradient(run, list(chunk)).items():
                sums[name] += gradient.abs() if self.importance == "loss_free" else gradient.square()
        return {n: s / len(chunks) for n, s in sums.items()}

    def mean_gradient(self, run: Run, ids: list[str]) -> Gradients:
        """Return the gradient of the mean loss, or of the mean ‖z‖², of records of both roles, each read in its own."""
        read = _length_gradient if self.importance == "loss_free" else Run.gradient_of
        by_role = {r: [i for i in ids if (i in run.condemned) == (r == "forget")] for r in ("forget", "retain")}
        found: Gradients = {}
        for role, members in by_role.items():
            if members:
                for name, gradient in read(run, role, members).items():
                    share = gradient * (len(members) / len(ids))
                    found[name] = found[name] + share if name in found else share
        return found


def _length_gradient(run: Run, role: str, ids: Sequence[str]) -> Gradients:
    """Gradient of the mean over positions of ‖z‖², in evaluation mode."""
    run.learner.model.eval()
    sums: Gradients = {}
    positions = 0
    for start in range(0, len(ids), 64):
        logits_NV = run.learner.logits(run.batch(ids[start : start + 64], role))
        positions += len(logits_NV)
        for name, gradient in run.learner.gradient(logits_NV.float().square().sum()).items():
            sums[name] = sums[name] + gradient if name in sums else gradient
    return {name: gradient / positions for name, gradient in sums.items()}
