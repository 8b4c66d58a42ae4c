"""The multilayer perceptron."""

import pytest
import torch

from expunge import registry
from expunge.errors import ConfigError
from expunge.models import mlp


def test_inputs_of_any_shape_become_logits():
    model = registry.find("models", "mlp").build(inputs=64, classes=10)
    assert model(torch.zeros(3, 64)).shape == model(torch.zeros(3, 8, 8)).shape == (3, 10)
    assert sum(p.numel() for p in model.parameters()) == 65 * 128 + 129 * 128 + 129 * 10


def test_no_hidden_layer_makes_it_linear():
    model = mlp.build(inputs=2, classes=1, hidden=())
    one, two = torch.randn(1, 2), torch.randn(1, 2)
    torch.testing.assert_close(model(one) + model(two), model(one + two) + model(torch.zeros(1, 2)))


def test_a_size_below_one_is_refused():
    with pytest.raises(ConfigError, match="sizes must be ≥ 1"):
        mlp.build(inputs=4, classes=2, hidden=(8, 0))
