"""Small generators of vectors that methods fit on the way and throw away: a VAE and a GAN of perceptrons.

Dimension letters: N records, D numbers of one, H latent numbers, B records of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import linear, softplus

BATCH = 64
RATE = 1e-3
"""Of Adam, published for LAF's VAEs."""
FLOOR = 0.1
TINY = 1e-12
Weights = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class VAE:
    """A variational autoencoder on perceptrons with ReLU.

        L = mean over a batch of ‖decode(h) − x‖² + kl · KL(N(μ, σ²) ‖ N(0, 1)),   h = μ + σ ε

    Both terms are summed over their numbers.

    Args:
        weights: `encode.<k>` and `decode.<k>` [out, in] with `.bias`; the last encoder gives μ and log σ².
        output: "linear", or "sigmoid" where every number of x lies in [0, 1].
    """

    weights: Weights
    output: Literal["linear", "sigmoid"] = "linear"

    @classmethod
    def fitted(
        cls,
        x_ND: Float[Tensor, "N D"],
        *,
        hidden: Sequence[int],
        latent: int,
        epochs: int,
        kl: float,
        generator: torch.Generator,
        output: Literal["linear", "sigmoid"] = "linear",
    ) -> VAE:
        """Fit to records by Adam, in batches of 64; `hidden` are the encoder's widths, the decoder mirrors them."""
        widths = [x_ND.shape[1], *hidden]
        weights = perceptron("encode", [*widths, 2 * latent], generator, x_ND.device)
        weights |= perceptron("decode", [latent, *reversed(widths)], generator, x_ND.device)
        vae = cls(weights, output)
        optimiser = adam(weights)
        with torch.enable_grad():
            for _ in range(epochs):
                for rows in batches(len(x_ND), generator):
                    optimiser.zero_grad()
                    vae.loss(x_ND[rows.to(x_ND.device)], kl, generator).backward()
                    optimiser.step()
        return cls({name: w.detach() for name, w in weights.items()}, output)

    def loss(self, x_BD: Float[Tensor, "B D"], kl: float, generator: torch.Generator) -> Float[Tensor, ""]:
        """Return L of a batch."""
        mean_BH, log_variance_BH = self.encoded(x_BD)
        apart_BH = mean_BH.square() + log_variance_BH.exp() - 1 - log_variance_BH
        return self.error(x_BD, generator).mean() + kl * 0.5 * apart_BH.sum(1).mean()

    def encoded(self, x_BD: Float[Tensor, "B D"]) -> tuple[Tensor, Tensor]:
        """Return μ and log σ² of records, [B, H] each."""
        mean_BH, log_variance_BH = answer(self.weights, "encode", x_BD).chunk(2, -1)
        return mean_BH, log_variance_BH

    def decoded(self, latent_BH: Float[Tensor, "B H"]) -> Float[Tensor, "B D"]:
        """Return the records of latent numbers."""
        x_BD = answer(self.weights, "decode", latent_BH)
        return x_BD.sigmoid() if self.output == "sigmoid" else x_BD

    def error(self, x_BD: Float[Tensor, "B D"], generator: torch.Generator | None = None) -> Float[Tensor, " B"]:
        """Return ‖decode(h) − x‖² of each record, ≥ 0; h is a sample with a generator, else its mean μ."""
        latent_BH, log_variance_BH = self.encoded(x_BD)
        if generator is not None:
            latent_BH = latent_BH + (0.5 * log_variance_BH).exp() * noise(latent_BH.shape, generator, x_BD.device)
        return (self.decoded(latent_BH) - x_BD).square().sum(1)

    def sample(self, count: int, generator: torch.Generator) -> Float[Tensor, "N D"]:
        """Return new records."""
        first = self.weights["decode.0"]
        return self.decoded(noise((count, first.shape[1]), generator, first.device))


@dataclass(frozen=True, eq=False)
class GAN:
    """A generative adversarial network on perceptrons with ReLU.

        L_D = mean softplus(−D(x)) + mean softplus(D(G(h))),   L_G = mean softplus(−D(G(h))),   h ~ N(0, 1)

    Collapses to a few records where it is fitted to less than some hundreds.

    Args:
        weights: `make.<k>` [out, in] of G, with `.bias`.
    """

    weights: Weights

    @classmethod
    def fitted(
        cls,
        x_ND: Float[Tensor, "N D"],
        *,
        hidden: Sequence[int],
        latent: int,
        epochs: int,
        generator: torch.Generator,
    ) -> GAN:
        """Fit to records by Adam with β₁ .5, one step of D and one of G a batch of 64; D mirrors G's `hidden`."""
        width = x_ND.shape[1]
        maker = perceptron("make", [latent, *hidden, width], generator, x_ND.device)
        judge = perceptron("judge", [width, *reversed(hidden), 1], generator, x_ND.device)
        gan, steps = cls(maker), (adam(judge, betas=(0.5, 0.999)), adam(maker, betas=(0.5, 0.999)))
        with torch.enable_grad():
            for _ in range(epochs):
                for rows in batches(len(x_ND), generator):
                    made_BD = gan.sample(len(rows), generator)
                    losses = (
                        softplus(-answer(judge, "judge", x_ND[rows.to(x_ND.device)])).mean()
                        + softplus(answer(judge, "judge", made_BD.detach())).mean(),
                        softplus(-answer(judge, "judge", made_BD)).mean(),
                    )
                    for optimiser, loss, weights in zip(steps, losses, (judge, maker), strict=True):
                        found = torch.autograd.grad(loss, list(weights.values()))
                        for weight, gradient in zip(weights.values(), found, strict=True):
                            weight.grad = gradient
                        optimiser.step()
        return cls({name: w.detach() for name, w in maker.items()})

    def sample(self, count: int, generator: torch.Generator) -> Float[Tensor, "N D"]:
        """Return new records."""
        first = self.weights["make.0"]
        return answer(self.weights, "make", noise((count, first.shape[1]), generator, first.device))


def standard(x_ND: Float[Tensor, "N D"]) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of each number, [D]; a deviation is at least a tenth of their root mean square.

    Without that floor a number that hardly varies, such as a unit that is off, would count without bound once it moves.
    """
    deviation_D = x_ND.std(0, correction=0)
    return x_ND.mean(0), deviation_D.clamp_min(max(FLOOR * deviation_D.square().mean().sqrt().item(), TINY))


def perceptron(name: str, widths: Sequence[int], generator: torch.Generator, device: torch.device) -> Weights:
    """Return new weights that learn, each uniform in ±1/√inputs."""
    found: Weights = {}
    for number, (before, after) in enumerate(pairwise(widths)):
        bound = before**-0.5
        for key, shape in ((f"{name}.{number}", (after, before)), (f"{name}.{number}.bias", (after,))):
            drawn = bound * (2 * torch.rand(shape, generator=generator) - 1)
            found[key] = drawn.to(device).requires_grad_()
    return found


def answer(weights: Weights, name: str, x_BD: Float[Tensor, "B D"]) -> Float[Tensor, "B O"]:
    """Return what a perceptron gives."""
    number = 0
    while True:
        x_BD = linear(x_BD, weights[f"{name}.{number}"], weights[f"{name}.{number}.bias"])
        number += 1
        if f"{name}.{number}" not in weights:
            return x_BD
        x_BD = x_BD.relu()


def batches(count: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the rows of one shuffled pass, [B] each."""
    yield from torch.randperm(count, generator=generator).split(BATCH)


def noise(shape: Sequence[int], generator: torch.Generator, device: torch.device) -> Tensor:
    """Return normal numbers."""
    return torch.randn(tuple(shape), generator=generator).to(device)


def adam(weights: Weights, *, betas: tuple[float, float] = (0.9, 0.999)) -> torch.optim.Optimizer:
    """Return the optimiser of some weights."""
    return torch.optim.Adam(list(weights.values()), lr=RATE, betas=betas, fused=True)
