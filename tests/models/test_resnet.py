"""ResNet-18 for small images."""

import pytest
import torch
from torch import nn

from expunge.errors import ConfigError
from expunge.models import resnet


@pytest.mark.parametrize(("channels", "side"), [(3, 32), (1, 8), (1, 28)])
def test_images_of_any_size_become_logits(channels, side):
    model = resnet.build(classes=10, channels=channels, width=4).eval()
    assert model(torch.zeros(2, channels, side, side)).shape == (2, 10)


def test_it_has_eighteen_weight_layers_and_the_published_size_at_width_64():
    model = resnet.build(classes=10, width=64)
    layers = [m for n, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear)) and "shortcut" not in n]
    assert len(layers) == 18
    assert sum(p.numel() for p in model.parameters()) == 11_173_962


def test_a_size_below_one_is_refused():
    with pytest.raises(ConfigError, match="sizes must be ≥ 1"):
        resnet.build(classes=10, width=0)
