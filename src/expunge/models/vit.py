"""A small vision transformer from transformers, for pictures of any size that its patches divide.

Source: Dosovitskiy et al. (2021), arXiv:2010.11929. Deviation: small by default.
"""

from __future__ import annotations

from transformers import ViTConfig, ViTForImageClassification

from expunge.errors import require


def build(
    *,
    classes: int,
    image_size: int,
    channels: int = 1,
    patch_size: int = 4,
    layers: int = 4,
    width: int = 64,
    heads: int = 4,
) -> ViTForImageClassification:
    """Return an untrained network from pictures [B, channels, S, S] to logits [B, C].

    Weights are from torch's global generator. `from:` in a recipe's learner takes a published checkpoint instead.

    Args:
        classes: C, ≥ 1.
        image_size: S, pixels, a multiple of `patch_size`.
        channels: Colour channels of a picture, ≥ 1.
        patch_size: Side of a patch, pixels, ≥ 1.
        layers: Number of blocks, ≥ 1.
        width: Of the hidden states, a multiple of `heads`; four times as wide inside a block.
        heads: Attention heads, ≥ 1.

    Raises:
        ConfigError: A size is below 1 or does not divide.
    """
    sizes = (classes, image_size, channels, patch_size, layers, width, heads)
    require(min(sizes) >= 1, f"vit: sizes must be ≥ 1, got {sizes}")
    require(image_size % patch_size == 0, f"vit: patch_size {patch_size} must divide image_size {image_size}")
    require(width % heads == 0, f"vit: heads {heads} must divide width {width}")
    config = ViTConfig(
        image_size=image_size,
        patch_size=patch_size,
        num_channels=channels,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_labels=classes,  # type: ignore[call-arg]
    )
    return ViTForImageClassification(config)
