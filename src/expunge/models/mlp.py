"""A multilayer perceptron with ReLU, for vectors and small images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from expunge.errors import require


def build(*, inputs: int, classes: int, hidden: Sequence[int] = (128, 128)) -> nn.Sequential:
    """Return a network from [B, ...] inputs, flattened, to logits [B, C]; weights from torch's global generator.

    Args:
        inputs: Numbers in one input, ≥ 1.
        classes: C, ≥ 1 (1 for regression).
        hidden: Widths of the hidden layers; none makes it linear.

    Raises:
        ConfigError: A size is below 1.
    """
    require(min(inputs, classes, *hidden) >= 1, f"mlp: sizes must be ≥ 1, got {inputs}, {tuple(hidden)}, {classes}")
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise([inputs, *hidden]):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear([inputs, *hidden][-1], classes))
