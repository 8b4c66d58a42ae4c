"""Blindspot: on the forget set, follow a young model that never saw it; on the retain set, stay."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from expunge.card import Card
from expunge.config import TrainConfig
from expunge.errors import require
from expunge.learners import Batch, Regressor
from expunge.methods._absolute_error import AbsoluteErrorFit, absolute_error, means, regressor_of
from expunge.request import Resolved
from expunge.train import Batches, Method, Part, Run, Step, copied

ATTENTION = "attention/"
PUBLISHED_BETA = 50.0


@dataclass(frozen=True, kw_only=True)
class Blindspot(Method):
    """Blindspot unlearning, for regressors.

        L = (1 − c) · mean_retain |y − μ(x)|  +  c · mean_forget (|μ_b(x) − μ(x)| + β · Σ_j mean (A(h_j) − A(h_jᵇ))²)
        A(h) = h² averaged over channels, flattened, of length 1

    c is the forgotten share of the batch, μ_b the blindspot model: the same architecture from new random weights,
    trained by absolute error for a few epochs on the retain set. It roughly knows how what stays is distributed and
    never saw what goes, so that the model learns to say of the forgotten what retraining would. h_j are hidden layers'
    outputs; a layer without channels, [B, D], has A(h) = h² of length 1. An epoch is a pass over both sets, shuffled
    together. Too weak a blindspot model teaches noise; one trained for long is a retrained model, at its price: the
    recipe `uci_range` gives it more passes at a smaller learning rate. Frozen weights start anew in it like all others.

    Args:
        beta: β, ≥ 0. None is the published 50, of the layers of `layers`, or without any of those that give maps
            [B, C, H, W] alone.
        layers: Names of the modules whose outputs are compared; () takes the activation functions below the head, or
            the linear and convolutional layers where there are none. Dimension 1 of an output holds the channels.
        blindspot_epochs: Passes of the blindspot model over the retain set, > 0. Published 2, beside 100 of training.
        blindspot_lr: Its learning rate, with Adam, > 0. Published .01.

    Raises:
        ConfigError: A value is out of range.
        LearnerError: Not a regressor, a network that gives its own variances, no such layer, or a module that cannot be
            initialised anew.

    Source: Tarun et al. (2023), arXiv:2210.08196, algorithm of Blindspot Unlearning, as released: then one epoch, Adam
    1e-3, batches of 256. Deviations: the blindspot model is in evaluation mode when it is followed, the release leaves
    it in training mode; what it says is stored, so that it is asked once; no β on perceptrons unless asked for.
    """

    card: ClassVar[Card] = Card(
        name="blindspot",
        title="Blindspot unlearning",
        year=2022,
        source="arXiv:2210.08196",
        system="Deep Regression Unlearning",
        needs={"forget", "retain", "labels"},
        learners={"regressor"},
    )

    beta: float | None = None
    layers: tuple[str, ...] = ()
    blindspot_epochs: float = 2
    blindspot_lr: float = 1e-2

    def __post_init__(self) -> None:
        require(self.beta is None or self.beta >= 0, f"blindspot: beta must be ≥ 0 or null, got {self.beta}")
        require(self.blindspot_epochs > 0, f"blindspot: blindspot_epochs must be > 0, got {self.blindspot_epochs}")
        require(self.blindspot_lr > 0, f"blindspot: blindspot_lr must be > 0, got {self.blindspot_lr}")

    def begin(self, run: Run) -> None:
        attended = self.attended(run)
        blind = self.blindspot_model(run)
        run.store("blindspot", role="forget", read=lambda batch: means(blind.output(batch), batch))
        for layer in attended:

            def read(batch: Batch, layer: str = layer) -> Tensor:
                return attention(blind.activations(batch, [layer])[1][layer])

            run.store(ATTENTION + layer, role="forget", read=read)

    def batches(self, run: Run) -> Iterator[Step]:
        length = math.ceil((len(run.ids("forget")) + len(run.ids("retain"))) / run.train.batch_size)
        yield from run.repeated(lambda: run.one_pass("forget", "retain"), length)

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        learner = regressor_of(run)
        parts: dict[str, Part] = {}
        if "forget" in batch:
            parts |= self.followed(learner, batch.forget)
        if "retain" in batch:
            parts["retain"] = absolute_error(learner.output(batch.retain), batch.retain, batch.retain.targets)
        return Part.pooled(parts)

    def followed(self, learner: Regressor, batch: Batch) -> dict[str, Part]:
        """Return the terms of forgotten records; that of attention weighs with the records of the other."""
        blind = {n.removeprefix(ATTENTION): rows for n, rows in batch.stored.items() if n.startswith(ATTENTION)}
        output, seen = learner.activations(batch, list(blind))
        parts = {"forget": absolute_error(output, batch, batch.stored["blindspot"])}
        if blind:
            apart = torch.stack([(attention(seen[n]) - rows).square().mean(1).sum() for n, rows in blind.items()]).sum()
            beta, targets = PUBLISHED_BETA if self.beta is None else self.beta, len(batch.targets) // len(batch)
            parts["attention"] = Part(beta * targets * apart, 0)
        return parts

    def blindspot_model(self, run: Run) -> Regressor:
        """Return the model that never saw the forget set, in evaluation mode."""
        young: Any = copied(run.untrained())
        young.model.requires_grad_(True)
        train = TrainConfig(
            epochs=self.blindspot_epochs,
            lr=self.blindspot_lr,
            optimiser="adam",
            clip=None,
            **{name: getattr(run.train, name) for name in ("batch_size", "micro_batch_size", "precision", "explode")},
        )
        staying = Resolved(run.request.dataset, {"forget": [], "retain": run.ids("retain")})
        run.fit("blindspot", AbsoluteErrorFit(), learner=young, train=train, request=staying)
        young.model.eval().requires_grad_(False)
        return young  # type: ignore[no-any-return]

    def attended(self, run: Run) -> list[str]:
        """Return the layers whose attention counts, seen on one record; refuse what cannot be served."""
        learner, one = regressor_of(run), run.batch(run.ids("forget")[:1], "forget")
        layers = [] if self.beta == 0 else list(self.layers) or hidden_layers(learner)
        with learner.evaluating():
            output, seen = learner.activations(one, layers)
            means(output, one)
        return [n for n in layers if self.layers or self.beta is not None or seen[n].ndim == 4]


def hidden_layers(learner: Regressor) -> list[str]:
    """Return the activation functions below the head by name, or its linear and convolutional layers without any."""
    head, _ = learner.head_module()
    modules = dict(learner.model.named_modules())
    below = list(modules)[: list(modules).index(head)]
    functions = [n for n in below if type(modules[n]).__module__ == nn.modules.activation.__name__]
    weights = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return functions or [n for n in below if isinstance(modules[n], weights)]


def attention(output: Float[Tensor, "B ..."]) -> Float[Tensor, "B P"]:
    """Return A(h): h² averaged over dimension 1 where there are further ones, flattened, of length 1 (or 0), [B, P]."""
    squared = output.float().square()
    map_BP = (squared.mean(1) if squared.ndim > 2 else squared).flatten(1)
    return nn.functional.normalize(map_BP, dim=1)
