"""MSG: draw anew the weights that matter least to forgetting, then fine-tune on what stays while the others crawl."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from expunge.card import Card
from expunge.errors import LearnerError, require
from expunge.train import Batches, Gradients, Method, Part, Run, Step

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True, kw_only=True)
class MSG(Method):
    """Masked small gradients, the second place of the NeurIPS 2023 unlearning challenge.

        g = ∂(mean_S −log p(y|x) − mean_forget −log p(y|x)) / ∂θ,   S as many retained records as are forgotten
        in each layer: the share of weights with the smallest |g| is drawn anew, N(0, 2 / (outputs · kernel))
        L = mean_retain −log p(y|x),   with the gradient of a layer's other weights scaled by `slow`

    Retained records pull the new weights back, the forgotten ones do not. A small |g| is mostly that of a weight that
    matters to neither set, so that little is forgotten until most are drawn anew; then it is close to retraining from
    what is left. Biases and norms learn at the full rate. Adam undoes `slow`, since it divides a gradient by its own
    size: use SGD.

    Args:
        share: Share of a layer's weights to draw anew, in (0, 1). Published 0.3, tuned for each data set by peers.
        slow: Factor on the gradient of the other weights, in [0, 1]. Published 0.1.
        layers: "linear" takes linear layers as well as convolutions; "convolution" convolutions alone (published).

    Raises:
        ConfigError: A value is out of range.
        LearnerError: The model has no such layer that learns.

    Source: the challenge's entry as coded with Cadet et al. (2024), arXiv:2410.01276, "masked small gradients": SGD
    1e-3, momentum .9, weight decay 5e-4, 5 epochs, batch 64, a rate that rises for half of them and falls. Deviations:
    linear layers count as convolutions do, without which a perceptron has none; means over records, not sums over
    batches of their means; the default share, as the published one does not forget a class of digits.
    """

    card: ClassVar[Card] = Card(
        name="msg",
        title="Masked small gradients",
        year=2023,
        source="arXiv:2410.01276",
        needs={"forget", "retain", "labels"},
        learners={"classifier"},
    )

    share: float = 0.9
    slow: float = 0.1
    layers: Literal["linear", "convolution"] = "linear"

    def __post_init__(self) -> None:
        require(0 < self.share < 1, f"msg: share must be in (0, 1), got {self.share}")
        require(0 <= self.slow <= 1, f"msg: slow must be in [0, 1], got {self.slow}")
        known = self.layers in ("linear", "convolution")
        require(known, f"msg: layers must be linear or convolution, got {self.layers!r}")

    def begin(self, run: Run) -> None:
        weights = self.weights(run)
        if not weights:
            where = "convolution" if self.layers == "convolution" else "linear layer or convolution"
            raise LearnerError(
                f"msg: the model has no {where} that learns", hint="let some learn, or give layers=linear"
            )
        gradient = self.gradient(run)
        drawn = {name: smallest(gradient[name], self.share) for name in weights}
        run.artefacts.put("drawn anew", drawn, ids=run.ids("forget"))

    def weights(self, run: Run) -> dict[str, nn.Parameter]:
        """Return the weights of the layers concerned, by name."""
        kinds = CONVOLUTIONS if self.layers == "convolution" else (nn.Linear, *CONVOLUTIONS)
        named = run.learner.trainable()
        places = [f"{n}.weight" for n, m in run.learner.model.named_modules() if isinstance(m, kinds)]
        return {name: named[name] for name in places if name in named}

    def gradient(self, run: Run) -> Gradients:
        """Return g."""
        ids, count = run.ids("retain"), len(run.ids("forget"))
        order = torch.randperm(len(ids), generator=run.generator("sample"))[:count].tolist()
        retained, forgotten = run.gradient_of("retain", [ids[k] for k in order]), run.gradient_of("forget")
        return {name: retained[name] - forgotten[name] for name in retained}

    def batches(self, run: Run) -> Iterator[Step]:
        yield Step(call="draw_anew")
        yield from run.steps("retain")

    def draw_anew(self, run: Run) -> None:
        """Give the chosen weights new values, of variance 2 / (outputs · kernel)."""
        named, generator = run.learner.trainable(), run.generator("weights")
        with torch.no_grad():
            for name, chosen in run.artefacts["drawn anew"].items():
                weight = named[name]
                fan_out = weight.shape[0] * math.prod(weight.shape[2:])
                fresh = torch.randn(weight.shape, generator=generator) * math.sqrt(2 / fan_out)
                weight.copy_(torch.where(chosen.to(weight.device), fresh.to(weight), weight))

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        return {"retain": run.learner.nll(batch.retain)}

    def adjust(self, run: Run, parts: dict[str, Gradients]) -> dict[str, Gradients]:
        drawn = run.artefacts["drawn anew"]
        return {part: {n: self.slowed(g, drawn.get(n)) for n, g in found.items()} for part, found in parts.items()}

    def slowed(self, gradient: Tensor, chosen: Tensor | None) -> Tensor:
        """Return a weight's gradient, scaled where it was not drawn anew."""
        return gradient if chosen is None else torch.where(chosen.to(gradient.device), gradient, self.slow * gradient)


def smallest(values: Tensor, share: float) -> Tensor:
    """Return which entries are among the share of smallest magnitude, rounded; ties in order of place."""
    chosen = torch.zeros(values.numel(), dtype=torch.bool, device=values.device)
    chosen[values.abs().flatten().argsort(stable=True)[: round(share * values.numel())]] = True
    return chosen.view_as(values)
