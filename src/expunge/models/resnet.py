"""ResNet-18 for small images: a 3 x 3 stem without pooling, and a width to choose.

Source: He et al. (2016), arXiv:1512.03385; four stages of two basic blocks. Deviations: the stem, as is usual
for 32 x 32 pixels; projection shortcuts where the shape changes.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import relu

from expunge.errors import require

STAGES = (1, 2, 4, 8)  # width of each stage in multiples of the first; all but the first halve the image


def build(*, classes: int, channels: int = 3, width: int = 16) -> ResNet:
    """Return a network from images [B, channels, H, W] to logits [B, C]; weights from torch's global generator.

    Args:
        classes: C, ≥ 1.
        channels: Colour channels of an image, ≥ 1.
        width: Channels of the first stage, ≥ 1. 64 is the published ResNet-18 (11 million parameters), 16 has 0.7.

    Raises:
        ConfigError: A size is below 1.
    """
    require(min(classes, channels, width) >= 1, f"resnet: sizes must be ≥ 1, got {classes}, {channels}, {width}")
    return ResNet(classes=classes, channels=channels, width=width)


class ResNet(nn.Module):
    """Stem, four stages, mean over the image, and a linear `head`."""

    def __init__(self, *, classes: int, channels: int, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(_convolution(channels, width), nn.BatchNorm2d(width), nn.ReLU())
        stages, before = [], width
        for multiple in STAGES:
            after, stride = width * multiple, 1 if multiple == 1 else 2
            stages.append(nn.Sequential(BasicBlock(before, after, stride=stride), BasicBlock(after, after)))
            before = after
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(before, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.stages(self.stem(images)).mean(dim=(2, 3)))


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, before: int, after: int, *, stride: int = 1) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            _convolution(before, after, stride=stride),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            _convolution(after, after),
            nn.BatchNorm2d(after),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return relu(self.residual(images) + self.shortcut(images))


def _convolution(before: int, after: int, *, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
