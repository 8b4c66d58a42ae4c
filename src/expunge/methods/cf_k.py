"""CF-k: fine-tune the last k layers on what stays, and hope that the rest fades from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from expunge.card import Card
from expunge.methods._last_layers import LastLayers


@dataclass(frozen=True, kw_only=True)
class CFK(LastLayers):
    """Catastrophic forgetting of the last k layers (CF-k).

        L = mean_retain −log p(y|x)   over the weights of the last k layers; all others keep every bit

    A layer is a child of the model; `Sequential`, `ModuleList` and whatever holds a `ModuleList` are opened, and a norm
    belongs to the layer before it. So it is a linear layer of a perceptron, a residual block of a ResNet, a transformer
    block of a ViT, and the last one is always the head. With every layer it is fine-tuning. The layers below were
    trained on the forgotten records and stay as they are, and a head that gives the retained classes already is hardly
    moved: no forgetting test passes.

    Frozen weights stay frozen. Running statistics of BatchNorm below stay unless `train.batch_norm` is "recompute".

    Args:
        k: Layers that learn, the head included, ≥ 1. Published 1 (10 epochs at .01).
        layers: Names of the modules that learn instead; () takes the last k.

    Raises:
        ConfigError: k is out of range.
        LearnerError: No head is found, no module bears a name, or nothing in them learns.

    Source: Goel et al. (2022), arXiv:2201.06640, CF-k. Deviations: k counts blocks as above, where a release counts
    every convolution, norm and linear module.
    """

    card: ClassVar[Card] = Card(
        name="cf_k",
        title="Catastrophic forgetting of the last k layers",
        year=2022,
        source="arXiv:2201.06640",
        needs={"retain", "labels"},
        aim="suppression",
    )
