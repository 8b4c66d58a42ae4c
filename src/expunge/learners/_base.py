"""A model together with how a batch of its kind is read; everything else speaks to this.

Dimension letters: B examples, N scored positions, V vocabulary or classes, D features.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from expunge.data import Dataset
from expunge.errors import LearnerError
from expunge.learners._batch import Batch
from expunge.learners._guard import Guard
from expunge.learners._part import Part

Reading = dict[str, Any]


class Learner:
    """A model and the reading of its batches.

    A subclass gives `collate` and `_logits`; likelihoods, losses and gradients follow here once for all kinds. What it
    predicts is one of V tokens or classes, and `logits` are their scores; a kind that predicts something else gives its
    own `log_prob`, `divergence` and `read`, which are all that knows of that.

    Args:
        model: The network.
        spec: How to build the same architecture anew: `{"name": ..., option: ...}` for `expunge.models`, or {}.
    """

    kind: ClassVar[str] = ""
    categorical: ClassVar[bool] = True
    """Whether it predicts one of V tokens or classes."""

    @property
    def starting_lr(self) -> float:
        """A learning rate to begin with where none is given."""
        return 1e-3

    def __init__(self, model: nn.Module, *, spec: dict[str, Any] | None = None) -> None:
        self.model = model
        self.spec = spec or {}
        self.guards: list[Guard] = []

    # Reading -------------------------------------------------------------------------------------------------------

    def collate(self, dataset: Dataset, ids: Sequence[str], role: str = "", field: str = "") -> Batch:
        """Read records into a batch. `field` names another answer to score than the trained one."""
        raise NotImplementedError

    def answering(self, batch: Batch, answers: Sequence[Any]) -> Batch:
        """Return a batch's questions with other answers, one an example, as the kind spells them; nothing stored.

        Raises:
            LearnerError: Records of this kind have no answer that another could take the place of.
        """
        raise LearnerError(f"a {self.kind} has no other answers to learn", hint="use a method that needs none")

    def fields(self, dataset: Dataset) -> list[str]:
        """Return the answer fields that can be scored on this data; [""] where records hold a single target."""
        return [""]

    def check(self, dataset: Dataset, ids: Sequence[str]) -> None:
        """Raise DataError or LearnerError when the records do not fit the model."""

    def unlabelled(self, dataset: Dataset, ids: Sequence[str]) -> list[str]:
        """Return the ids of records that have no target to learn; kinds that read text have one in every record."""
        return []

    # The model's answer --------------------------------------------------------------------------------------------

    def logits(self, batch: Batch) -> Float[Tensor, "N V"]:
        """Return the served logits over scored positions only, [N, V]; guards included."""
        logits_NV = self._logits(batch)
        for guard in self.guards:
            logits_NV = guard.logits(self, batch, logits_NV)
        return logits_NV

    def _logits(self, batch: Batch) -> Float[Tensor, "N V"]:
        return self.head(self.states(batch))

    def states(self, batch: Batch) -> Float[Tensor, "N D"]:
        """Return what the head reads at scored positions, [N, D]: the cheapest whole-distribution reference."""
        raise NotImplementedError

    def head(self, states_ND: Float[Tensor, "N D"]) -> Float[Tensor, "N V"]:
        """Return logits [N, V] of head inputs [N, D]."""
        raise NotImplementedError

    def log_probs(self, batch: Batch) -> Float[Tensor, "N V"]:
        """Return log p over the vocabulary or classes, [N, V], nats. Raises LearnerError where there are none."""
        if not self.categorical:
            raise LearnerError(
                f"a {self.kind} has no classes or tokens to choose from", hint="use a classifier or a language model"
            )
        return self.logits(batch).float().log_softmax(-1)

    def log_prob(self, logits_NV: Float[Tensor, "N V"], targets_N: Shaped[Tensor, " N"]) -> Float[Tensor, " N"]:
        """Return log p(target) of what the logits predict, [N], nats; ≤ 0 but for densities."""
        return -nn.functional.cross_entropy(logits_NV.float(), targets_N, reduction="none")

    def divergence(
        self, reference_NV: Float[Tensor, "N V"], logits_NV: Float[Tensor, "N V"], temperature: float = 1.0
    ) -> Float[Tensor, " N"]:
        """Return KL(q ‖ p) of what two sets of logits predict, [N], nats, ≥ 0; q the reference's, p the model's.

        KL = Σ_v q(v) (log q(v) − log p(v)),   q ∝ q₁^(1/T), p ∝ p₁^(1/T), with T the temperature, > 0
        """
        reference_NV = (reference_NV.float() / temperature).log_softmax(-1)
        logp_NV = (logits_NV.float() / temperature).log_softmax(-1)
        return (reference_NV.exp() * (reference_NV - logp_NV)).sum(-1)

    def target_log_probs(self, batch: Batch) -> Float[Tensor, " N"]:
        """Return log p(target) of each scored position, [N], nats; ≤ 0 but for densities."""
        return self.log_prob(self.logits(batch), batch.targets)

    def log_likelihood(self, batch: Batch) -> Float[Tensor, " B"]:
        """Return log p(y|x) of each example, SUMMED over its positions, [B], nats; ≤ 0 but for densities."""
        return batch.sum_by_example(self.target_log_probs(batch))

    def mean_log_likelihood(self, batch: Batch) -> Float[Tensor, " B"]:
        """Return log p(y|x) of each example divided by its positions, [B], nats a position."""
        return self.log_likelihood(batch) / batch.positions()

    def nll(self, batch: Batch) -> Part:
        """Return the negative log-likelihood as a part whose value is the mean over POSITIONS (tokens), nats."""
        return Part.mean(-self.target_log_probs(batch))

    def frozen_head(self) -> Callable[[Tensor], Tensor]:
        """Return a copy of the head as it is now: stored `states` through it are the reference's logits, bit by bit."""
        return self.head

    def features(self, batch: Batch, layer: str = "") -> Float[Tensor, "B D"]:
        """Return what a layer says of each example [B, D]; "" is what the head reads. Guards do not touch it.

        Raises:
            LearnerError: The model has no such layer, or shows none.
        """
        raise LearnerError(f"a {self.kind} shows no features", hint="give the learner a method `features`")

    def activations(self, batch: Batch, layers: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the output and what each named module gave on the way, [B, ...], from one pass; gradients flow.

        Raises:
            LearnerError: The model has no such layer, or shows none.
        """
        raise LearnerError(f"a {self.kind} shows no activations", hint="use a classifier or a regressor")

    def head_module(self) -> tuple[str, nn.Module]:
        """Return name and module of what gives the output from the features. Raises LearnerError where none does."""
        raise LearnerError(f"a {self.kind} shows no head", hint="use a classifier or a regressor")

    # Gradients and parameters --------------------------------------------------------------------------------------

    def trainable(self) -> dict[str, nn.Parameter]:
        """Return the parameters that learn, by name, each once."""
        return {n: p for n, p in self.model.named_parameters() if p.requires_grad}

    def gradient(self, scalar: Float[Tensor, ""], *, retain_graph: bool = False) -> dict[str, Tensor]:
        """Return d scalar / d parameter for every trainable parameter, zeros where it does not matter."""
        named = self.trainable()
        if not scalar.requires_grad:
            return {n: torch.zeros_like(p) for n, p in named.items()}
        found = torch.autograd.grad(scalar, list(named.values()), retain_graph=retain_graph, allow_unused=True)
        return {n: torch.zeros_like(p) if g is None else g for (n, p), g in zip(named.items(), found, strict=True)}

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.model.parameters()).device

    def state(self) -> dict[str, Tensor]:
        """Return a copy of every parameter and buffer, on the CPU."""
        return {n: t.detach().to("cpu", copy=True) for n, t in self.model.state_dict().items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Put a state back. Raises LearnerError when names or shapes differ."""
        try:
            self.model.load_state_dict(state)
        except RuntimeError as error:
            raise LearnerError(f"these weights are of another model: {str(error).splitlines()[-1].strip()}") from None

    def frozen_copy(self) -> Self:
        """Return a copy that shares no storage, in evaluation mode, without gradients."""
        twin = copy.copy(self)
        twin.model = copy.deepcopy(self.model).eval().requires_grad_(False)
        twin.guards = list(self.guards)
        return twin

    def fresh(self, seed: int) -> Self:
        """Return the same architecture with new random weights.

        Raises:
            LearnerError: A module holds parameters that it cannot initialise again.
        """
        twin = copy.copy(self)
        twin.guards = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            twin.model = self._initialised()
        return twin

    def _initialised(self) -> nn.Module:
        model = copy.deepcopy(self.model).requires_grad_(True)
        for name, module in model.named_modules():
            if (
                next(module.parameters(recurse=False), None) is None
                and next(module.buffers(recurse=False), None) is None
            ):
                continue
            reset = getattr(module, "reset_parameters", None)
            if reset is None:
                raise LearnerError(
                    f"module {name or type(module).__name__!r} cannot be initialised anew",
                    hint="give it a method `reset_parameters()`",
                )
            reset()
        return model

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode without gradients inside the block; every module's mode is put back afterwards."""
        modes = {m: m.training for m in self.model.modules()}
        self.model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            for module, mode in modes.items():
                module.training = mode

    def hash(self) -> str:
        """SHA-256 over kind, weights, buffers and guards, hex: equal exactly when the same thing is served."""
        digest = hashlib.sha256(self.kind.encode())
        _digest_tensors(digest, self.model.state_dict())
        for guard in self.guards:
            digest.update(repr((guard.name, guard.state())).encode())
            _digest_tensors(digest, guard.tensors())
        return digest.hexdigest()

    # Reading for an audit ------------------------------------------------------------------------------------------

    def score(
        self, dataset: Dataset, ids: Sequence[str], fields: Sequence[str] = ("",), batch_size: int = 64
    ) -> dict[str, Reading]:
        """Read the likelihood of each answer field of each record, as served.

        Returns:
            Field to arrays: `ids`, `offsets` [n + 1], and for every scored position `logp`, `hit`, `mean` and `var` of
            log p (nats), ready for `metrics.Block`.
        """
        readings: dict[str, Reading] = {}
        for name in fields:
            pieces = []
            with self.evaluating():
                for start in range(0, len(ids), batch_size):
                    batch = self.collate(dataset, ids[start : start + batch_size], "", name).to(self.device)
                    pieces.append(self.read(batch, self.logits(batch)))
            readings[name] = join(pieces)
        return readings

    def read(self, batch: Batch, logits_NV: Float[Tensor, "N V"]) -> Reading:
        """Reduce logits at scored positions to what metrics need."""
        return laid_out(batch, likelihoods(logits_NV, batch.targets))

    # Saving --------------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the model as its own ecosystem saves it, with `learner.json` beside."""
        raise NotImplementedError


def _digest_tensors(digest: Any, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in sorted(tensors.items()):
        flat = tensor.detach().cpu().contiguous()
        digest.update(f"{name}{flat.dtype}{tuple(flat.shape)}".encode())
        digest.update(flat.reshape(-1).view(torch.uint8).numpy().tobytes())


def likelihoods(logits_NV: Float[Tensor, "N V"], targets_N: Shaped[Tensor, " N"]) -> dict[str, Tensor]:
    """Return `logp` and `hit` of the targets, and `mean` and `var` of log p under p, each [N]; without gradients."""
    logp_NV = logits_NV.float().log_softmax(-1)
    p_NV = logp_NV.exp()
    mean_N = (p_NV * logp_NV).sum(-1)
    found = {"logp": logp_NV.gather(-1, targets_N[:, None])[:, 0], "hit": logp_NV.argmax(-1) == targets_N}
    var_N = logp_NV.sub_(mean_N[:, None]).square_().mul_(p_NV).sum(-1)
    return found | {"mean": mean_N, "var": var_N}


def laid_out(batch: Batch, arrays: dict[str, Tensor]) -> Reading:
    """Return arrays over a batch's scored positions [N] as a reading."""
    counts = batch.positions().cpu().numpy()
    return {"ids": batch.ids, "offsets": np.concatenate([[0], counts.cumsum()])} | {
        k: v.cpu().numpy() for k, v in arrays.items()
    }


def join(pieces: list[Reading]) -> Reading:
    """Return consecutive readings as one."""
    if not pieces:
        empty = np.zeros(0, dtype=np.float32)
        return {
            "ids": [],
            "offsets": np.zeros(1, dtype=np.int64),
            "logp": empty,
            "hit": empty.astype(bool),
            "mean": empty,
            "var": empty,
        }
    counts = np.concatenate([np.diff(p["offsets"]) for p in pieces])
    joined: Reading = {"ids": [i for p in pieces for i in p["ids"]], "offsets": np.concatenate([[0], counts.cumsum()])}
    for key in pieces[0]:
        if key not in joined:
            joined[key] = (
                {k: np.concatenate([p[key][k] for p in pieces]) for k in pieces[0][key]}
                if isinstance(pieces[0][key], dict)
                else np.concatenate([p[key] for p in pieces])
            )
    return joined


def in_order(reading: Reading, rows: np.ndarray) -> Reading:
    """Return the rows of a reading [n] in another order."""
    counts = np.diff(reading["offsets"])[rows]
    offsets = np.concatenate([[0], counts.cumsum()])
    places = np.arange(offsets[-1]) + np.repeat(reading["offsets"][:-1][rows] - offsets[:-1], counts)
    arranged = {k: reading[k][places] for k in ("logp", "hit", "mean", "var")}
    return {"ids": [reading["ids"][r] for r in rows], "offsets": offsets} | arranged
