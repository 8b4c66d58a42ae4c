"""A small convolutional network for grey or coloured pictures and for signals: cheap enough to retrain many times."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from expunge.errors import require


def build(*, classes: int, channels: int = 1, width: int = 32, blocks: int = 3, dimensions: int = 2) -> ConvNet:
    """Return a network from pictures [B, channels, H, W] or signals [B, L] to logits [B, C].

    Each block is a convolution of 3 pixels (5 steps of a signal) that halves the size, a normalisation over each
    example and a ReLU; nothing depends on the other examples of a batch, and nothing is counted while it trains.
    Weights are from torch's global generator.

    Args:
        classes: C, ≥ 1.
        channels: Colour channels of a picture, ≥ 1; a signal of more than one is [B, channels, L].
        width: Channels of the first block, ≥ 1; all others have twice as many.
        blocks: Number of blocks, ≥ 1.
        dimensions: 2 for pictures, 1 for signals.

    Raises:
        ConfigError: A size is below 1, or another number of dimensions.
    """
    sizes = (classes, channels, width, blocks)
    require(min(sizes) >= 1, f"convnet: sizes must be ≥ 1, got {sizes}")
    require(dimensions in (1, 2), f"convnet: dimensions must be 1 or 2, got {dimensions}")
    return ConvNet(classes=classes, channels=channels, width=width, blocks=blocks, dimensions=dimensions)


class ConvNet(nn.Module):
    """Blocks, mean over places, and a linear `head`."""

    def __init__(self, *, classes: int, channels: int, width: int, blocks: int, dimensions: int) -> None:
        super().__init__()
        self.dimensions = dimensions
        widths = [channels, width, *[2 * width] * (blocks - 1)]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            convolution = (
                nn.Conv2d(before, after, 3, stride=2, padding=1)
                if dimensions == 2
                else nn.Conv1d(before, after, 5, stride=2, padding=2)
            )
            layers += [convolution, nn.GroupNorm(1, after), nn.ReLU()]
        self.blocks = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.ndim == self.dimensions + 1:  # one channel that the data do not spell out
            x = x[:, None]
        return self.head(self.blocks(x).flatten(2).mean(2))
