"""Regressors: any network that predicts one or more numbers for each example, with Gaussian noise."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from expunge.data import Dataset
from expunge.errors import DataError, LearnerError, require
from expunge.learners._base import Reading
from expunge.learners._batch import Batch
from expunge.learners._network import NetworkLearner, finite

LOG_TWO_PI = math.log(2 * math.pi)


class Regressor(NetworkLearner):
    """A plain `nn.Module`, or a transformers image or text model with a regression head.

        log p(y | x) = −½ log(2π σ²) − (y − μ)² / 2σ²
        KL(q ‖ p)    = log(σ_p / σ_q) + (σ_q² + (μ_q − μ_p)²) / 2σ_p² − ½

        learner = Regressor(nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 1)))

    For K targets the network gives [B, K] (or [B] for one): the means, and σ is fixed. Or it gives [B, 2K]: the means,
    then the log-variances, and σ is its own. One scored position a target, so that an example's likelihood is the sum
    over its targets. `states` and `logits` are (μ, log σ²) of each, [N, 2].

    Everything is in the unit of the data's target, and log p in nats with respect to it, so that it may exceed 0:
    nothing is rescaled here. Give targets of mean 0 and variance 1 over what was trained on, and σ is a share of the
    targets' own spread. A fixed σ moves no optimum; it sets how many nats an error is worth (for NPO's β, `clip`, a
    stop's level). At its default 1 the loss is half the squared error and a constant.

    Args:
        model: Takes inputs [B, ...] and returns [B], [B, K] or [B, 2K], or a transformers model with `.logits`.
        input: Field that holds the inputs; None picks the first of image, features, x, text that the data have.
        target: Field that holds the target, one number or K.
        sigma: σ, > 0, in the target's unit; not read where the network gives its own.
        tokenizer: For text inputs.
        max_length: Longest text, tokens.
        head_layer: Name of the module that gives the output from the features; "" is the last linear one.
        spec: How to build the same architecture anew, see `expunge.models`.

    Raises:
        ConfigError: sigma is not above 0.
    """

    kind: ClassVar[str] = "regressor"
    name: ClassVar[str] = "regressor"
    categorical: ClassVar[bool] = False

    def __init__(
        self,
        model: nn.Module,
        *,
        input: str | None = None,
        target: str = "target",
        sigma: float = 1.0,
        tokenizer: Any = None,
        max_length: int = 512,
        head_layer: str = "",
        spec: dict[str, Any] | None = None,
    ) -> None:
        require(0 < sigma < math.inf, f"regressor: sigma must be > 0 and finite, got {sigma}")
        super().__init__(
            model,
            input=input,
            target=target,
            tokenizer=tokenizer,
            max_length=max_length,
            head_layer=head_layer,
            spec=spec,
        )
        self.sigma = sigma

    def targets(self, dataset: Dataset) -> Float[Tensor, "n ..."]:
        """Return the targets, [n] or [n, K]. Raises DataError when they are not numbers, or not finite."""
        try:
            column = np.asarray(dataset.column(self.target))
        except ValueError:  # rows of unequal length
            column = np.zeros(0, dtype=object)
        if column.dtype.kind not in "fiub" or column.ndim > 2 or column[:1].size == 0:
            raise DataError(
                f"{dataset.name}: {self.target!r} does not hold one number, or equally many, a record",
                hint="which field holds the target? `target=`",
            )
        return torch.from_numpy(finite(dataset, self.target, column))

    def states(self, batch: Batch) -> Float[Tensor, "N 2"]:
        """Return mean and log-variance of each target, [N, 2], in the target's unit and its square's log."""
        output = self.output(batch)
        rows_BW = output.reshape(len(batch), -1).float()
        targets = len(batch.targets) // len(batch)
        if rows_BW.shape[1] == targets:
            log_variance_BK = torch.full_like(rows_BW, 2 * math.log(self.sigma))
        elif rows_BW.shape[1] == 2 * targets:
            rows_BW, log_variance_BK = rows_BW.split(targets, dim=1)
        else:
            raise LearnerError(
                f"the model gives {rows_BW.shape[1]} numbers for {targets} target(s) of {batch.dataset.name}",
                hint=f"a head of {targets} (means) or {2 * targets} (means, then log-variances)",
            )
        return torch.stack([rows_BW.flatten(), log_variance_BK.flatten()], dim=1)

    def log_prob(self, logits_NV: Float[Tensor, "N 2"], targets_N: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
        """Return log p(target) of each Gaussian, [N], nats; a density, so it may exceed 0."""
        mean_N, log_variance_N = logits_NV.float().unbind(1)
        return -0.5 * (LOG_TWO_PI + log_variance_N + (targets_N - mean_N).square() / log_variance_N.exp())

    def divergence(
        self, reference_NV: Float[Tensor, "N 2"], logits_NV: Float[Tensor, "N 2"], temperature: float = 1.0
    ) -> Float[Tensor, " N"]:
        """Return KL(q ‖ p) between Gaussians, [N], nats, ≥ 0; q the reference's, p the model's.

        A Gaussian to the power 1/T is one of variance T σ², so the temperature T divides the means' part alone.
        """
        (mean_q, log_variance_q), (mean_p, log_variance_p) = reference_NV.float().unbind(1), logits_NV.float().unbind(1)
        wider = log_variance_q - log_variance_p
        return 0.5 * (wider.exp() - 1 - wider + (mean_q - mean_p).square() / (temperature * log_variance_p.exp()))

    def read(self, batch: Batch, logits_NV: Float[Tensor, "N 2"]) -> Reading:
        """Reduce predictions to what metrics need; a `hit` is a target within one σ of its predicted mean.

        Mean and variance of log p under p are a Gaussian's: −½ log(2πe σ²) and ½. Extras: `prediction` and `truth`,
        [n, K].
        """
        mean_N, log_variance_N = logits_NV.float().unbind(1)
        arrays = {
            "logp": self.log_prob(logits_NV, batch.targets),
            "hit": (batch.targets - mean_N).square() <= log_variance_N.exp(),
            "mean": -0.5 * (LOG_TWO_PI + 1 + log_variance_N),
            "var": torch.full_like(mean_N, 0.5),
        }
        extras = {"prediction": mean_N.view(len(batch), -1), "truth": batch.targets.view(len(batch), -1)}
        offsets = np.concatenate([[0], batch.positions().cpu().numpy().cumsum()])
        return {"ids": batch.ids, "offsets": offsets, "extras": {k: v.cpu().numpy() for k, v in extras.items()}} | {
            k: v.cpu().numpy() for k, v in arrays.items()
        }

    def check(self, dataset: Dataset, ids: Sequence[str]) -> None:
        """Raise when targets are no numbers, or the head or the input shape does not fit them.

        Raises:
            DataError: A field is missing, holds no numbers, or one that is not finite.
            LearnerError: A head of another width than targets, or than twice as many; or another input shape.
        """
        if ids:
            with self.evaluating():
                self.states(self.collate(dataset, ids[:1]).to(self.device))

    def hash(self) -> str:
        """SHA-256 over kind, weights, buffers, guards and σ, hex: equal exactly when the same thing is served."""
        return hashlib.sha256(f"{super().hash()} sigma={self.sigma!r}".encode()).hexdigest()

    def options(self) -> dict[str, Any]:
        """Return what `learner.json` keeps beside the weights."""
        return {**super().options(), "sigma": self.sigma}
