"""The small convolutional network."""

import pytest
import torch

from expunge import registry
from expunge.errors import ConfigError
from expunge.models import convnet


def test_pictures_of_any_size_and_signals_become_logits():
    model = registry.find("models", "convnet").build(classes=7, channels=3, width=4)
    assert model(torch.zeros(2, 3, 28, 28)).shape == model(torch.zeros(2, 3, 20, 12)).shape == (2, 7)
    signals = convnet.build(classes=7, width=4, dimensions=1)
    assert torch.equal(signals(torch.ones(2, 40)), signals(torch.ones(2, 1, 40)))
    assert signals(torch.ones(2, 40)).shape == (2, 7)


def test_an_example_does_not_depend_on_the_others_of_its_batch_nor_on_the_mode():
    model, images = convnet.build(classes=3, width=4), torch.randn(5, 1, 8, 8)
    together = model.train()(images)
    alone = torch.cat([model.eval()(image[None]) for image in images])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


def test_a_size_below_one_or_a_third_dimension_is_refused():
    with pytest.raises(ConfigError, match="sizes must be ≥ 1"):
        convnet.build(classes=3, width=0)
    with pytest.raises(ConfigError, match="dimensions must be 1 or 2, got 3"):
        convnet.build(classes=3, dimensions=3)
