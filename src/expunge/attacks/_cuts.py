"""Where a network can be cut in two, and how the lower part of one model is set under the upper part of another.

Dimension letters: B examples, L tokens, N scored positions, D features, M rows, V vocabulary or classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from expunge.attacks._base import Case, Outcome
from expunge.attacks._fact import AT_ONCE, fact_batches, probability_of_fact
from expunge.errors import LearnerError, NothingToMeasure
from expunge.learners import Batch, CausalLM, Classifier, Learner, blocks

ALIGNED_ON = 256
"""Retained records on which states are aligned unless told otherwise."""
RIDGE = 1e-3
"""Pull of an alignment towards leaving states as they are, in mean squares of a state."""


@dataclass(frozen=True, eq=False)
class Cut:
    """A place through which everything flows that the upper part of a network sees.

    Args:
        module: Whose output, or input, it is.
        above: Whether the cut is above the module.
    """

    module: nn.Module
    above: bool

    def listen(self, hear: Callable[[Tensor], Tensor | None]) -> Any:
        """Call `hear` on what flows through; what it returns, if anything, flows on instead. Returns the hook."""
        if not self.above:

            def before(_module: nn.Module, inputs: tuple[Any, ...]) -> Any:
                other = hear(inputs[0])
                return None if other is None else (other, *inputs[1:])

            return self.module.register_forward_pre_hook(before)

        def after(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            states = output[0] if isinstance(output, tuple) else output
            other = hear(states)
            if other is None:
                return None
            return (other, *output[1:]) if isinstance(output, tuple) else other

        return self.module.register_forward_hook(after)


def cuts(learner: Learner) -> list[Cut]:
    """Return the places where a bare model can be cut, from the bottom up.

    Of a language model: above each block. Of a classifier: below the last linear layer, and where it is an
    `nn.Sequential`, below every linear one but the first.

    Raises:
        LearnerError: No such place is found.
    """
    if isinstance(learner, CausalLM):
        return [Cut(block, above=True) for block in blocks(learner)]
    modules = list(learner.model.children()) if isinstance(learner.model, nn.Sequential) else []
    linear = [m for m in modules if isinstance(m, nn.Linear)][1:]
    last = [m for m in learner.model.modules() if isinstance(m, nn.Linear)][-1:]
    if not last:
        raise LearnerError("the model has no linear layer below which it could be cut")
    return [Cut(m, above=False) for m in (linear if linear and linear[-1] is last[0] else last)]


def final_norm(learner: CausalLM) -> nn.Module:
    """Return the norm between the last block and the head. Raises LearnerError where there is none."""
    own = blocks(learner)
    around = next(m for m in learner.model.modules() if any(child is own for child in m.children()))
    norms = [m for m in around.children() if "norm" in type(m).__name__.lower()]
    if not norms:
        raise LearnerError("the model has no norm beside its blocks")
    return norms[-1]


def states_at(learner: Learner, batch: Batch, places: Sequence[Cut]) -> tuple[list[Tensor], Tensor]:
    """Return what flows through some cuts, each [B, L, D] or [B, D], and the logits [N, V]."""
    heard: dict[int, Tensor] = {}
    hooks = [cut.listen(lambda states, k=k: heard.update({k: states})) for k, cut in enumerate(places)]  # type: ignore[misc]
    try:
        logits_NV = learner.logits(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return [heard[k] for k in range(len(places))], logits_NV


def logits_above(learner: Learner, batch: Batch, cut: Cut, states: Float[Tensor, "... D"]) -> Float[Tensor, "N V"]:
    """Return the logits [N, V] of a model through whose cut other states flow."""
    hook = cut.listen(lambda _own: states)
    try:
        return learner.logits(batch)
    finally:
        hook.remove()


@dataclass(frozen=True, eq=False)
class Alignment:
    """The affine map that takes states nearest to another model's and leaves alone what the data say nothing of.

        ŷ = ȳ + (x − x̄) W,   W = I + (X'X + λ I)⁻¹ X' (Y − X),   X, Y centred, λ = ridge · tr(X'X) / D

    Equal states stay as they are. Two models that were trained apart keep the same things at different places, so that
    without it the upper part of one can do nothing with the lower part of the other, whatever that knows.

    Args:
        weight: W, [D, D].
        from_mean: x̄, [D].
        to_mean: ȳ, [D].
    """

    weight: Float[Tensor, "D D"]
    from_mean: Float[Tensor, " D"]
    to_mean: Float[Tensor, " D"]

    @classmethod
    def fitted(cls, x_MD: Float[Tensor, "M D"], y_MD: Float[Tensor, "M D"], ridge: float = RIDGE) -> Self:
        """Fit it on paired states. Raises NothingToMeasure where the two have other widths."""
        if x_MD.shape != y_MD.shape:
            raise NothingToMeasure(f"states of width {x_MD.shape[1]} cannot stand for ones of width {y_MD.shape[1]}")
        from_mean, to_mean = x_MD.double().mean(0), y_MD.double().mean(0)
        x, y = x_MD.double() - from_mean, y_MD.double() - to_mean
        eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        gram = x.T @ x
        pull = (ridge * gram.trace() / len(gram)).clamp_min(torch.finfo(torch.float32).tiny)
        weight = eye + torch.linalg.solve(gram + pull * eye, x.T @ (y - x))
        return cls(weight.to(x_MD.dtype), from_mean.to(x_MD.dtype), to_mean.to(x_MD.dtype))

    def __call__(self, states: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Return aligned states."""
        return self.to_mean + (states - self.from_mean) @ self.weight


def aligned_on(learner: Learner, case: Case, given: int | None) -> int:
    """Return on how many retained records to align states, where the user left it open.

    On none where a classifier is to forget whole classes: a body that never saw a class still tells it apart, and
    aligned to the original's it would know what it never learnt, whereby no control were left.
    """
    if given is not None:
        return given
    if isinstance(learner, Classifier) and not set(_classes(learner, case, "forget")) & set(
        _classes(learner, case, "retain")
    ):
        return 0
    return ALIGNED_ON


def alignments(learner: Learner, other: Learner, case: Case, records: int) -> list[Alignment]:
    """Return for each cut the map from a bare model's states to another's, fitted on retained records.

    Args:
        learner: From whom.
        other: To whom; of the same architecture.
        case: Whose retained records.
        records: At most so many, drawn by chance.

    Raises:
        NothingToMeasure: The two are cut at different places, or their states have other widths.
    """
    own, others = cuts(learner), cuts(other)
    if len(own) != len(others):
        raise NothingToMeasure("the model and the original have another number of layers")
    retained = case.request.ids.get("retain", [])
    some = case.generator("alignment").permutation(len(retained))[:records]
    pairs: list[list[tuple[Tensor, Tensor]]] = [[] for _ in own]
    with learner.evaluating(), other.evaluating():
        for start in range(0, len(some), AT_ONCE):
            ids = [retained[k] for k in some[start : start + AT_ONCE]]
            batch = learner.collate(case.dataset, ids).to(learner.device)
            found = [states_at(model, batch, places)[0] for model, places in ((learner, own), (other, others))]
            for k, (x, y) in enumerate(zip(*found, strict=True)):
                read = _read(learner, batch, x)
                pairs[k].append((x[read], y[read]))
    return [Alignment.fitted(torch.cat([x for x, _ in of]), torch.cat([y for _, y in of])) for of in pairs]


def under(original: Learner, learner: Learner, case: Case, numbers: Sequence[int], align: int | None) -> Outcome:
    """Return the probability of the fact where the original goes on from a model's states at some cuts.

    Args:
        original: Whose upper part answers; bare.
        learner: Whose lower part reads; bare.
        case: On what.
        numbers: Which cuts, counted from the bottom, or the top where negative.
        align: Number of retained records on which the states are aligned; None is `aligned_on`.

    Raises:
        NothingToMeasure: The two are of different architectures.
    """
    records = aligned_on(learner, case, align)
    maps = alignments(learner, original, case, records) if records else None
    own, others = cuts(learner), cuts(original)
    if len(own) != len(others):
        raise NothingToMeasure("the model and the original have another number of layers")
    ids: list[str] = []
    found: list[list[np.ndarray]] = [[] for _ in numbers]
    with learner.evaluating(), original.evaluating():
        for batch in fact_batches(learner, case):
            ids += batch.ids
            states, _ = states_at(learner, batch, [own[k] for k in numbers])
            for n, (k, x) in enumerate(zip(numbers, states, strict=True)):
                logits_NV = logits_above(original, batch, others[k], maps[k](x) if maps else x)
                found[n].append(probability_of_fact(original, batch, logits_NV).cpu().numpy())
    return Outcome(
        ids=ids,
        values=np.stack([np.concatenate(rows) for rows in found]),
        turns=tuple(float(k % len(own) + 1) for k in numbers),
    )


def _classes(learner: Classifier, case: Case, role: str) -> list[int]:
    return [int(c) for c in case.dataset.values(learner.target, case.request.ids.get(role, []))]


def _read(learner: Learner, batch: Batch, states: Tensor) -> Any:
    """Index of the states of real tokens; a language model's padding stands to the right of what is scored last."""
    if "input_ids" not in batch.inputs or states.dim() < 3 or states.shape[1] != batch.inputs["input_ids"].shape[1]:
        return slice(None)
    if learner.kind != "causal_lm":
        return batch.inputs["attention_mask"].bool()
    rows, length = batch.inputs["input_ids"].shape
    last_B = torch.full((rows,), -1, device=batch.places.device)
    last_B = last_B.scatter_reduce(0, batch.places // length, batch.places % length, "amax")
    return torch.arange(length, device=last_B.device)[None] <= last_B[:, None]
