"""What implementations are run on: a class of digits to forget, a group in a regression; networks trained on both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from expunge.testing.conformance._watched import Watched, state

CLASS = 3
Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """Records, and a network that was trained on all but the unseen ones.

    Args:
        forget: Inputs and targets.
        retain: Inputs and targets.
        unseen: Never trained on, of the forgotten kind.
        test: Never trained on, of the others.
        layers: Give an untrained network.
        weights: Of the trained network.
        loss: Of outputs and targets.
    """

    forget: Pair
    retain: Pair
    unseen: Pair
    test: Pair
    layers: Callable[[], list[nn.Module]]
    weights: dict[str, Tensor]
    loss: Callable[[Tensor, Tensor], Tensor]

    def network(self) -> Watched:
        """Return the trained network, a new one at each call."""
        found = Watched(*self.layers())
        found.load_state_dict(self.weights)
        return found


def perceptron() -> list[nn.Module]:
    """64-128-128-10."""
    return [nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)]


def normalised() -> list[nn.Module]:
    """64-128-10 with batch statistics in between."""
    return [nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 10)]


def small_regressor() -> list[nn.Module]:
    """6-64-64-1."""
    return [nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)]


@cache
def digits() -> Case:
    """Forget the training images of class 3 of 719; perceptron, Adam 2e-3, 40 epochs of batches of 64."""
    return _digits(perceptron, epochs=40)


@cache
def digits_batch_norm() -> Case:
    """The same with batch statistics and half of the images, 10 epochs."""
    return _digits(normalised, epochs=10, leave_out=900)


@cache
def group() -> Case:
    """Forget a fifth of 1,000 points whose target is 6 higher; perceptron, absolute error, Adam 2e-3, 30 epochs."""
    draw = np.random.default_rng(0)
    x = draw.uniform(-1, 1, (1500, 6))
    forgotten = x[:, 5] > 0.6
    y = 3 * np.sin(2 * x[:, 0]) + 2 * x[:, 1] * x[:, 2] + x[:, 3] + 0.3 * draw.standard_normal(1500) + 6 * forgotten
    trained = np.arange(1500) < 1000
    loss: Callable[[Tensor, Tensor], Tensor] = nn.L1Loss()
    return _case(x, y[:, None].astype(np.float32), forgotten, trained, small_regressor, loss, epochs=30)


def trained(
    layers: Callable[[], list[nn.Module]],
    data: Pair,
    loss: Callable[[Tensor, Tensor], Tensor],
    epochs: int,
    seed: int = 0,
) -> Watched:
    """Train a network from new weights: Adam 2e-3, batches of 64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Watched(*layers())
        optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
        for _ in range(epochs):
            for rows in torch.randperm(len(data[0])).split(64):
                optimiser.zero_grad()
                loss(network(data[0][rows]), data[1][rows]).backward()
                optimiser.step()
    return network


def _digits(layers: Callable[[], list[nn.Module]], epochs: int, leave_out: int = 0) -> Case:
    from expunge.data import digits as read

    data = read.load(test_fraction=0.6)
    x, y = data.columns["image"], data.columns["label"]
    trained_on = np.array([s == "train" for s in data.columns["split"]])
    trained_on[:leave_out] = False
    return _case(x, y, y == CLASS, trained_on, layers, nn.CrossEntropyLoss(), epochs)


def _case(
    x: np.ndarray,
    y: np.ndarray,
    forgotten: np.ndarray,
    trained_on: np.ndarray,
    layers: Callable[[], list[nn.Module]],
    loss: Callable[[Tensor, Tensor], Tensor],
    epochs: int,
) -> Case:
    def part(rows: np.ndarray) -> Pair:
        return torch.tensor(x[rows], dtype=torch.float32), torch.tensor(y[rows])

    weights = state(trained(layers, part(trained_on), loss, epochs))
    return Case(
        forget=part(trained_on & forgotten),
        retain=part(trained_on & ~forgotten),
        unseen=part(~trained_on & forgotten),
        test=part(~trained_on & ~forgotten),
        layers=layers,
        weights=weights,
        loss=loss,
    )
