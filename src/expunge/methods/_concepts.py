"""Concepts in what a model's head reads: their directions, a head on them alone, and what each adds to a score.

Dimension letters: N records, D features, C concepts, K classes, F forgotten and R retained records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from expunge.errors import DataError
from expunge.train import Run

CONFIDENT = 0.8
"""Least share of what a concept's direction must get right: of pairs put in order, or of records told apart."""
RIDGE = 1e-2
MARGIN = 0.1
"""C of the support vector machines, on standardised features."""
SPARSITY = 1e-3
MIXTURE = 0.99
"""Share of the elastic net's penalty that is on absolute weights."""
STEPS = 500
FOURTH = 4
"""Every so manieth record is kept to try a concept's direction on."""


def activations(states_ND: Float[Tensor, "N D"], vectors_CD: Float[Tensor, "C D"]) -> Float[Tensor, "N C"]:
    """Return a = ⟨f, v⟩ / ‖v‖² [N, C]: how far along each concept's direction f lies, in lengths of it."""
    return states_ND @ vectors_CD.T / vectors_CD.square().sum(1)


def linear_head(active_NC: Float[Tensor, "N C"], is_forgotten: Bool[Tensor, " N"]) -> Float[Tensor, " C"]:
    """Return ω [C] of ridge regression of 1 on the forgotten, 0 on the others, each half weighing alike."""
    scale_C = active_NC.std(0).clamp_min(1e-9)
    weight_N = torch.where(is_forgotten, 0.5 / is_forgotten.sum(), 0.5 / (~is_forgotten).sum())
    target_N = is_forgotten.float()
    x_NC = (active_NC - (weight_N[:, None] * active_NC).sum(0)) / scale_C
    y_N = target_N - (weight_N * target_N).sum()
    gram_CC = x_NC.T @ (weight_N[:, None] * x_NC) + RIDGE * torch.eye(x_NC.shape[1])
    return torch.linalg.solve(gram_CC, x_NC.T @ (weight_N * y_N)) / scale_C


def attributions(
    head_C: Float[Tensor, "*K C"], active_FC: Float[Tensor, "F C"], baseline_RC: Float[Tensor, "R C"]
) -> Float[Tensor, "*K C"]:
    """Return IG_c = ω_c · (mean a_c − mean baseline_c) [C] or [K, C]; each row adds up to a difference of mean scores.

    Integrated gradients of a linear head along any path: its gradient is ω everywhere.
    """
    return head_C * (active_FC.mean(0) - baseline_RC.mean(0))


def in_order(above: Float[Tensor, " A"], below: Float[Tensor, " B"]) -> float:
    """Return the share of pairs in which the first is the larger, ties a half."""
    gap_AB = above[:, None] - below[None, :]
    return float((gap_AB > 0).float().mean() + 0.5 * (gap_AB == 0).float().mean())


def separating(
    states_ND: Float[Tensor, "N D"], has_N: Bool[Tensor, " N"], generator: torch.Generator
) -> tuple[Tensor, float]:
    """Return a concept's activation vector [D], and how well it tells unseen records that have the concept from others.

    A linear support vector machine on standardised features of three quarters of the records, both sides weighing
    alike; v is the normal of its plane, in f's own units. Its balanced accuracy, 0 to 1, is taken on the last quarter;
    0 where either side has fewer than two records.
    """
    if min(int(has_N.sum()), int((~has_N).sum())) < 2:
        return torch.zeros(states_ND.shape[1]), 0.0
    from sklearn.svm import LinearSVC

    order_N = torch.randperm(len(has_N), generator=generator)
    tried = torch.cat([order_N[has_N[order_N] == side][::FOURTH] for side in (True, False)])
    fitted = torch.ones(len(has_N), dtype=torch.bool).index_fill(0, tried, False)
    scale_D = states_ND[fitted].std(0)
    scale_D = torch.where(scale_D > 1e-6, scale_D, torch.inf)  # what never changes says nothing
    x_ND = ((states_ND - states_ND[fitted].mean(0)) / scale_D).double().numpy()
    machine = LinearSVC(C=MARGIN, dual=False, class_weight="balanced", max_iter=10_000)
    machine.fit(x_ND[fitted.numpy()], has_N[fitted].numpy())
    said, truth = torch.from_numpy(machine.predict(x_ND[tried.numpy()])), has_N[tried]
    right = [(said == truth)[truth == side].double().mean().item() for side in (True, False)]
    return torch.from_numpy(machine.coef_[0]).float() / scale_D, sum(right) / 2


@dataclass(frozen=True)
class Inferred:
    """What concepts say of a request.

    Args:
        likeness: How much of the signature each retained record has, [R].
        sources: Retained record whose answer each forgotten one gets; numbers.
    """

    likeness: Float[Tensor, " R"]
    sources: list[int]


@dataclass(frozen=True)
class Bottleneck:
    """A softmax head on concepts alone, g(a) = ω a + b, fitted to what a model says.

    Args:
        head: ω [K, C], of each class and concept.
        bias: b [K].
    """

    head: Float[Tensor, "K C"]
    bias: Float[Tensor, " K"]

    @classmethod
    def fitted(cls, active_NC: Float[Tensor, "N C"], said_N: Int[Tensor, " N"], classes: int) -> Bottleneck:
        """Fit by the elastic net, the activations standardised; accelerated proximal gradients, fp64.

        mean_N −log softmax(ω a + b)_said  +  SPARSITY · Σ (r · |ω̃| + (1 − r)/2 · ω̃²),   ω̃ = ω · std a,  r = MIXTURE
        """
        a_NC = active_NC.double()
        mean_C, scale_C = a_NC.mean(0), a_NC.std(0).clamp_min(1e-9)
        x_NI = torch.cat([(a_NC - mean_C) / scale_C, torch.ones_like(a_NC[:, :1])], 1)
        said_NK = torch.nn.functional.one_hot(said_N, classes).double()
        size = 1 / (0.5 * float(torch.linalg.eigvalsh(x_NI.T @ x_NI / len(x_NI))[-1]))
        penalty_I = torch.full((x_NI.shape[1],), SPARSITY * size, dtype=torch.float64)
        penalty_I[-1] = 0  # b
        weights_KI = ahead_KI = x_NI.new_zeros(classes, x_NI.shape[1])
        speed = 1.0
        for _ in range(STEPS):
            slope_KI = ((x_NI @ ahead_KI.T).softmax(1) - said_NK).T @ x_NI / len(x_NI)
            moved_KI = ahead_KI - size * slope_KI
            shrunk_KI = moved_KI.sign() * (moved_KI.abs() - MIXTURE * penalty_I).clamp_min(0)
            shrunk_KI = shrunk_KI / (1 + (1 - MIXTURE) * penalty_I)
            slower, speed = speed, (1 + (1 + 4 * speed**2) ** 0.5) / 2
            weights_KI, ahead_KI = shrunk_KI, shrunk_KI + (slower - 1) / speed * (shrunk_KI - weights_KI)
        head_KC = weights_KI[:, :-1] / scale_C
        return cls(head_KC.float(), (weights_KI[:, -1] - head_KC @ mean_C).float())

    def scores(self, active_NC: Float[Tensor, "N C"]) -> Float[Tensor, "N K"]:
        """Return g(a), [N, K]."""
        return active_NC @ self.head.T + self.bias

    def fidelity(self, active_NC: Float[Tensor, "N C"], said_N: Int[Tensor, " N"]) -> float:
        """Return the share of records of which g says what the model says, 0 to 1."""
        return float((self.scores(active_NC).argmax(1) == said_N).float().mean())


@dataclass(frozen=True)
class Signature:
    """What carries a class in the scores of a bottleneck.

    Args:
        concepts: Of largest |IG|, largest first; numbers.
        attribution: IG [C] of each concept, of the class's score on the class's records, from the retained ones' mean.
        shared: Those of `concepts` that carry some other class more than this one.
        nearest: The class whose records come nearest in what the concepts add to this class's score.
    """

    concepts: list[int]
    attribution: Float[Tensor, " C"]
    shared: list[int]
    nearest: int

    @classmethod
    def of(
        cls,
        bottleneck: Bottleneck,
        number: int,
        active_by_class: dict[int, Tensor],
        retained_RC: Float[Tensor, "R C"],
        others: Sequence[int],
        top: int,
    ) -> Signature:
        """Return the signature of class `number`; `others` are the classes that stay."""
        head_KC = bottleneck.head
        ours_C = attributions(head_KC[number], active_by_class[number], retained_RC)
        own_C = torch.stack([attributions(head_KC[j], active_by_class[j], retained_RC) for j in others]).abs().amax(0)
        here = [attributions(head_KC[number], active_by_class[j], retained_RC) - ours_C for j in others]
        chosen = ours_C.abs().argsort(descending=True, stable=True)[:top].tolist()
        shared = [c for c in chosen if own_C[c] > ours_C[c].abs()]
        return cls(chosen, ours_C, shared, others[int(torch.stack(here).norm(dim=1).argmin())])


def features(run: Run, role: str) -> Float[Tensor, "N D"]:
    """Return f of every record of a role, where its answer begins, [N, D], fp32 on the CPU."""
    ids, found = run.ids(role), []
    with run.learner.evaluating():
        for start in range(0, len(ids), 64):
            batch = run.batch(ids[start : start + 64], role)
            first = [batch.ids.index(i) for i in dict.fromkeys(batch.ids)]
            found.append(run.learner.features(batch)[first].float().cpu())
    return torch.cat(found)


def predictions(run: Run, role: str) -> Int[Tensor, " N"]:
    """Return the class that the model says of every record of a role."""
    ids = run.ids(role)
    with run.learner.evaluating():
        batches = (run.batch(ids[k : k + 64], role) for k in range(0, len(ids), 64))
        return torch.cat([run.learner.logits(batch).argmax(1).cpu() for batch in batches])


def truth(run: Run, field: str, ids: Sequence[str]) -> Bool[Tensor, " N"]:
    """Return which records have the concept of a column. Raises DataError where it is no truth."""
    values = np.asarray(run.request.dataset.values(field, ids))
    if values.ndim != 1 or not set(values.tolist()) <= {0, 1}:
        what = f"{run.request.dataset.name}: {field!r} does not say of each record whether it has a concept"
        raise DataError(what, hint="a concept is true or false, or 1 or 0, of every record")
    return torch.from_numpy(values.astype(bool))
