"""SalUn: random labels, taught only to the weights that the forget set's loss leans on most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from expunge.card import Card
from expunge.errors import LearnerError, require
from expunge.methods.random_labels import RandomLabels
from expunge.train import Gradients, Run, Step


@dataclass(frozen=True, kw_only=True)
class SalUn(RandomLabels):
    """Saliency unlearning (SalUn), for classifiers: random labels behind a mask.

        m = 1 for the ⌊share · P⌋ of the P weights with the largest |∂ mean_forget −log p(y|x) / ∂θ|, else 0
        θ ← θ_o + m ⊙ (θ − θ_o)   after every step of random labels on the gradient m ⊙ ∂L

    One ranking over all layers, taken once at the original weights θ_o. Weights outside the mask end bit for bit as
    they began, whatever the optimiser: momentum, weight decay and modifiers move them even without a gradient, so they
    are put back. Frozen weights are not ranked. With share 1 it is random labels, and it shares what is wrong with
    them: taught to be surely wrong, it over-forgets single records.

    Args:
        share: Share of the weights that learn, in (0, 1]. Published 0.5; peers use 0.1 to 0.75.
        order: As of random labels: "passes" (published for ten classes) or "union" (for a hundred and more).
        exclude_true: As of random labels: never draw the true label. Published False.
        successive: As of random labels: draw anew in every epoch, as the released code does. Else drawn once.

    Raises:
        ConfigError: A share out of range, or no such order.
        LearnerError: A learner without classes or tokens, or one whose weights are all frozen.

    Source: Fan et al. (2023), arXiv:2310.12508, section 4, and its released code. Deviations: the gradient is the mean
    over records at θ_o, where the code sums batches' means and steps between them; labels are drawn once by default.
    """

    card: ClassVar[Card] = Card(
        name="salun",
        title="Saliency unlearning",
        year=2023,
        source="arXiv:2310.12508",
        needs={"forget", "retain", "labels"},
        learners={"classifier"},
    )

    share: float = 0.5

    def __post_init__(self) -> None:
        require(0 < self.share <= 1, f"salun: share must be in (0, 1], got {self.share}")
        require(self.order in ("passes", "union"), f"salun: order must be passes or union, got {self.order!r}")

    def begin(self, run: Run) -> None:
        if not run.learner.categorical:
            what = f"salun: a {run.learner.kind} has no classes or tokens to draw from"
            raise LearnerError(what, hint="use a classifier or a language model")
        if not run.learner.trainable():
            raise LearnerError("salun: every weight is frozen", hint="let some learn: `requires_grad_(True)`")
        run.artefacts.put("mask", self.mask(run), ids=run.ids("forget"))
        run.artefacts.put("original", {n: p.detach().clone() for n, p in run.learner.trainable().items()})

    def mask(self, run: Run) -> dict[str, Tensor]:
        """Return which entries of each weight learn."""
        return largest(run.gradient_of("forget"), self.share)

    def batches(self, run: Run) -> Iterator[Step]:
        for step in super().batches(run):
            yield replace(step, call="put_back")

    def put_back(self, run: Run) -> None:
        """Give every weight outside the mask its original value."""
        mask, original = run.artefacts["mask"], run.artefacts["original"]
        with torch.no_grad():
            for name, weight in run.learner.trainable().items():
                weight.copy_(torch.where(mask[name].to(weight.device), weight, original[name].to(weight.device)))

    def end(self, run: Run) -> None:
        self.put_back(run)

    def overrides(self, name: str) -> bool:
        return super().overrides(name) and not (name == "adjust" and self.share == 1)

    def adjust(self, run: Run, parts: dict[str, Gradients]) -> dict[str, Gradients]:
        mask = run.artefacts["mask"]
        return {part: {n: g * mask[n].to(g.device) for n, g in found.items()} for part, found in parts.items()}


def largest(values: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return which entries are among the ⌊share · all⌋ largest in magnitude over all tensors; at least one is."""
    flat = torch.cat([tensor.abs().flatten() for tensor in values.values()])
    chosen = torch.zeros_like(flat, dtype=torch.bool)
    chosen[flat.argsort(descending=True, stable=True)[: max(1, int(share * len(flat)))]] = True
    pieces = chosen.split([tensor.numel() for tensor in values.values()])
    return {name: piece.view_as(tensor) for (name, tensor), piece in zip(values.items(), pieces, strict=True)}
