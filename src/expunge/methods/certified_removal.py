"""Certified removal: take records out of a regularised linear head by one Newton step, masked by noise in the loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from expunge.card import Card
from expunge.data import Dataset
from expunge.errors import ConfigError, LearnerError, RunError, require
from expunge.learners import Learner
from expunge.methods._certified import (
    Calibration,
    Rows,
    bounds,
    budget,
    fit,
    jacobian_gap,
    newton_step,
    with_unit_length,
)
from expunge.methods._certified_ledger import Ledger, State, digest
from expunge.request import Resolved
from expunge.train import Method, Run

CHUNK = 256
LARGEST_JACOBIAN = 200
"""Features up to which `jacobian_gap` is computed."""
SLACK = 1e-5
"""Share by which the gradient of a fit may seem larger when features are read again in other batches."""


@dataclass(frozen=True, kw_only=True)
class CertifiedRemoval(Method):
    """Certified removal from a linear head on frozen features.

        fit:     w = argmin Σ_i l(w·x_i, y_i) + (λ n / 2) ‖w‖² + b·w,   b ~ N(0, σ² 1) secret, one a column
        remove:  w ← w + H⁻¹ Σ_{j in F} ∇l_λ(x_j, y_j),                 H the Hessian over the rows left, at this w
        spent:   β ← β + bound on what the step leaves of ‖∇L_b‖,      columns joined by √Σ_k β_k²
        release: only if β ≤ what b masks for (ε, δ); else the request is refused, or the head fitted anew

    x is what the head reads with a 1 appended for its bias, divided by its own length. A classifier's loss is logistic,
    one class against the rest (one column for two classes); a regressor's is squared, on rows as they are, and there
    the step is exact. Promise: nobody who sees the WEIGHTS of the head tells them from those of a fit without the
    records, up to (ε, δ), in the sense of differential privacy.

    The noise must be in the fit. Where there is no ledger yet, the head is fitted anew on what stays, which is exact;
    requests after that one are Newton steps. To fit before any request, on records that may have to go later:

        CertifiedRemoval(ledger="private/head").train(learner, data, ids)

    The ledger (b, ids, what is spent) is a file of its own, readable by its owner alone. It is NOT saved with the model
    and must not be published with it: whoever has b sees through the noise. So does whoever has all records of the fit,
    or the run's seed unless `secret` is set.

    The promise covers the head alone. Not covered: features, tokenizers or thresholds that were made with the records
    (`below` in the log counts the weights below the head), settings chosen on them, copies that stay, weights released
    earlier from the same b (two of them give the removed row away: use step="refit" for whoever sees both), records
    that are asked for because of the model seen, what the rows left say of them, rounding inside the fit, and that what
    a step leaves depends on b itself (`jacobian_gap` in the log, nats: what this adds to ε at the weights released).
    Scores are those of the fit times the length of the example's row: the best class is the fit's, probabilities are
    sharper.

    Args:
        ledger: File that a fit leaves and removals go on with. "" keeps none, so that every request fits anew.
        l2: λ, > 0, of the mean loss. Published 1e-4 to 1e-1; small ones spend the budget faster.
        sigma: σ, ≥ 0, in sums over rows. Published .1 to 10. More masks more and costs accuracy; 0 masks nothing.
        epsilon: ε, > 0. Published .1 to 1.
        delta: δ, in (0, 1). Published 1e-4.
        bound: What a step is charged: "sharp", "data_dependent" (published), "worst" (published, before any data).
        calibration: "analytic" is exact, "paper" the published constant, which at ε 1 masks 27 % less.
        step: "newton"; "corrected" steps down the full gradient, b included, so that what is left is measured and does
            not add up; "refit" fits anew with a fresh b, which spends nothing.
        when_spent: "refuse" or "refit" a request that β does not allow.
        secret: Draw b from the system's entropy. Set it for any promise towards people who may know the seed.

    Raises:
        ConfigError: A value out of range, terms that are not the fit's, or a budget that does not reach.
        RequestError: A record that was removed before or not fitted on, or one that is in neither set.
        RunError: A ledger that is damaged, or of other weights, features or labels.
        LearnerError: The head is not linear, is frozen, or gives its own variance.

    Source: Guo et al. (2020), arXiv:1911.03030, algorithms 1 and 2. Deviations: all columns get the same records, and
    their residuals are joined as one vector, for which b is drawn (the release adds them up); the sharp bound, from the
    Taylor remainder with |l'''| ≤ 1/6√3; exact calibration of the Gaussian mechanism; fp64; what the optimiser
    and the rounding of the weights leave is spent too; ‖X‖₂ is exact, where the release has a lower estimate.
    """

    card: ClassVar[Card] = Card(
        name="certified_removal",
        title="Certified removal from a linear head",
        year=2020,
        source="arXiv:1911.03030",
        needs={"forget", "retain", "labels"},
        learners={"classifier", "regressor"},
        guarantee="certified",
    )

    ledger: str = ""
    l2: float = 1e-2
    sigma: float = 1.0
    epsilon: float = 1.0
    delta: float = 1e-4
    bound: Literal["sharp", "data_dependent", "worst"] = "sharp"
    calibration: Calibration = "analytic"
    step: Literal["newton", "corrected", "refit"] = "newton"
    when_spent: Literal["refuse", "refit"] = "refuse"
    secret: bool = False

    def __post_init__(self) -> None:
        require(self.l2 > 0, f"certified_removal: l2 must be > 0, got {self.l2}")
        require(self.sigma >= 0, f"certified_removal: sigma must be ≥ 0, got {self.sigma}")
        require(self.epsilon > 0, f"certified_removal: epsilon must be > 0, got {self.epsilon}")
        require(0 < self.delta < 1, f"certified_removal: delta must be in (0, 1), got {self.delta}")
        published, exact = (budget(1.0, self.epsilon, self.delta, name) for name in ("paper", "analytic"))
        require(
            self.calibration == "analytic" or published <= exact,
            f"certified_removal: calibration 'paper' is wrong at epsilon {self.epsilon:g}, delta {self.delta:g}",
            hint="it masks less than it says there: use calibration=analytic",
        )

    def train(self, learner: Learner, dataset: Dataset, ids: Sequence[str], *, seed: int = 0) -> Learner:
        """Fit the head, in place, on records that may have to go later, and begin the ledger.

        Args:
            learner: Its head is overwritten; all else stays.
            dataset: Where the records stand.
            ids: What to fit on.
            seed: From which b is drawn, unless `secret`.

        Raises:
            ConfigError: No ledger is named, or there is one already.
            LearnerError: As above.
        """
        require(self.ledger != "", "certified_removal: a fit without a ledger cannot be gone on with", hint="`ledger=`")
        require(not Path(self.ledger).exists(), f"certified_removal: there is a ledger at {self.ledger} already")
        run = Run(learner, Resolved(dataset, {"forget": [], "retain": list(ids)}), self, seed=seed)
        learner.check(dataset, ids)
        self._fit(run, _head(run), self._rows(run, "retain"))
        return learner

    def solve(self, run: Run) -> None:
        head = _head(run)
        forget, retain = run.ids("forget"), run.ids("retain")
        kept = Ledger.read(Path(self.ledger)) if self.ledger and Path(self.ledger).exists() else None
        now = digest(head)
        if kept is None:
            self._fit(run, head, self._rows(run, "retain"))
        elif now in kept.states:
            kept.refuse_other_terms(self._terms(run), self.ledger)
            kept.refuse_other_records(kept.states[now], forget, retain)
            self._remove(run, head, kept, now)
        elif now == kept.source and sorted(retain) == sorted(kept.ids):  # an earlier start of this run fitted it
            kept.refuse_other_terms(self._terms(run), self.ledger)
            self._fit(run, head, self._rows(run, "retain"), kept.secret)
        else:
            what = f"certified_removal: {self.ledger} does not know the weights of this head"
            hint = "give the model that its last request left, or name a new ledger to fit the head anew"
            raise RunError(what, hint=hint)

    def _fit(self, run: Run, head: nn.Linear, rows: Rows, secret_KD: Tensor | None = None) -> None:
        """Fit the head with a fresh b, or a given one, and begin the ledger."""
        source = digest(head)
        if secret_KD is None:
            generator = run.generator(f"b of {source} on {rows.digest()}")  # one seed gives no two fits the same b
            if self.secret:
                generator.seed()
            shape = (rows.y.shape[1], rows.x.shape[1])
            secret_KD = self.sigma * torch.randn(shape, dtype=torch.float64, generator=generator)
        w_KD = fit(rows, secret_KD)
        _write(head, w_KD)
        left_K = (rows.gradient(_rounded(head, w_KD)) + secret_KD).norm(dim=1)
        state = State(removed=[], spent=left_K.tolist())
        kept = Ledger(terms=self._terms(run), source=source, ids=run.ids("retain"), secret=secret_KD)
        self._release(run, head, kept, state, {"removed": None, "actual": left_K.norm().item()})

    def _remove(self, run: Run, head: nn.Linear, kept: Ledger, now: str) -> None:
        """Take the forget set out, or fit anew where that was asked or β does not allow it."""
        before, left, gone = kept.states[now], self._rows(run, "retain"), self._rows(run, "forget")
        everything = replace(left, x=torch.cat([left.x, gone.x]), y=torch.cat([left.y, gone.y]))
        secret_KD, w_KD = kept.secret, _read(head, kept.secret)
        _refuse_other_rows(everything.gradient(w_KD) + secret_KD, before, everything, self.ledger)
        if self.step == "refit":
            return self._fit(run, head, left)
        pull_KD = -(left.gradient(w_KD) + secret_KD) if self.step == "corrected" else gone.gradient(w_KD)
        v_KD = newton_step(left, pull_KD, w_KD)
        rounded_KD = _rounded(head, w_KD + v_KD)
        left_K = (left.gradient(rounded_KD) + secret_KD).norm(dim=1)
        bounds_K = bounds(left, v_KD, len(gone), secret_KD)
        rounding_K = (left.gradient(rounded_KD) - left.gradient(w_KD + v_KD)).norm(dim=1)
        spent_K = torch.tensor(before.spent, dtype=torch.float64) + bounds_K[self.bound] + rounding_K
        gap = None
        if self.step == "corrected":
            spent_K = left_K
        elif before.jacobian_gap is not None and w_KD.shape[1] <= LARGEST_JACOBIAN:
            gap = before.jacobian_gap + jacobian_gap(everything, left, w_KD, v_KD)
        state = State(removed=[*before.removed, *run.ids("forget")], spent=spent_K.tolist(), jacobian_gap=gap)
        if state.total > (most := self.most(run)):
            if self.when_spent == "refit":
                return self._fit(run, head, left)
            raise ConfigError(
                f"certified_removal: {len(gone)} more records would spend {state.total:.3g} of the {most:.3g} that "
                f"ε {self.epsilon:g}, δ {self.delta:g} and σ {self.sigma:g} allow",
                hint="set method.when_spent=refit to fit the head anew without them",
            )
        _write(head, w_KD + v_KD)
        figures = {"removed": len(gone), "actual": left_K.norm().item(), "jacobian_gap": gap}
        self._release(run, head, kept, state, figures | {name: b.norm().item() for name, b in bounds_K.items()})

    def most(self, run: Run) -> float:
        """Return the largest β that b masks; ∞ for the squared loss at σ 0, where nothing is left to be masked."""
        exact = not run.learner.categorical and self.sigma == 0
        return math.inf if exact else budget(self.sigma, self.epsilon, self.delta, self.calibration)

    def _release(self, run: Run, head: nn.Linear, kept: Ledger, state: State, figures: dict[str, Any]) -> None:
        """Note in ledger and log where the head stands now."""
        if self.ledger:
            replace(kept, states={**kept.states, digest(head): state}).write(Path(self.ledger))
        own = {id(p) for p in head.parameters()}
        below = sum(p.numel() for p in run.learner.model.parameters() if id(p) not in own)
        figures |= {"spent": state.total, "budget": self.most(run), "left": len(run.ids("retain")), "below": below}
        run.log.append({"step": 0, "certificate": {n: None if v == math.inf else v for n, v in figures.items()}})

    def _terms(self, run: Run) -> dict[str, float]:
        fixed = {name: float(getattr(self, name)) for name in ("l2", "sigma", "epsilon", "delta")}
        return fixed | {"squared": float(not run.learner.categorical)}

    def _rows(self, run: Run, role: str) -> Rows:
        """Read what the head reads of a role, in fp64, and its targets."""
        learner, head, ids = run.learner, _head(run), run.ids(role)
        features, targets = [], []
        with learner.evaluating():
            for start in range(0, len(ids), CHUNK):
                batch = run.batch(ids[start : start + CHUNK], role)
                features.append(learner.features(batch).cpu().double())
                targets.append(batch.targets.cpu().reshape(len(batch), -1))
        x_ND, y_NT = torch.cat(features), torch.cat(targets)
        if x_ND.shape[1] != head.in_features:
            what = f"certified_removal: the head reads {head.in_features} features of {x_ND.shape[1]} an example has"
            raise LearnerError(what, hint="name a layer that reads one row an example: `head_layer=`")
        if head.bias is not None:
            x_ND = torch.cat([x_ND, torch.ones_like(x_ND[:, :1])], dim=1)
        if not learner.categorical:
            if y_NT.shape[1] != head.out_features:
                what = f"certified_removal: a head of {head.out_features} numbers for {y_NT.shape[1]} target(s)"
                raise LearnerError(what, hint="a network that gives its own variance has no convex head; give it means")
            return Rows(x_ND, y_NT.double(), self.l2, squared=True)
        classes = torch.arange(1, 2) if head.out_features == 2 else torch.arange(head.out_features)
        return Rows(with_unit_length(x_ND), 2.0 * (y_NT == classes).double() - 1, self.l2)


def _head(run: Run) -> nn.Linear:
    """Return the head. Raises LearnerError for one that is not linear, or is frozen."""
    name, head = run.learner.head_module()
    if not isinstance(head, nn.Linear):
        what = f"certified_removal: the head {name!r} is no linear layer"
        raise LearnerError(what, hint="name the linear layer that gives the output: `head_layer=`")
    if not all(p.requires_grad for p in head.parameters()):
        what = f"certified_removal: the head {name!r} is frozen"
        raise LearnerError(what, hint="let the head learn; what lies below it may stay frozen")
    return head


def _read(head: nn.Linear, secret_KD: Tensor) -> Tensor:
    """Return the columns that the head holds, [K, D], in fp64; one for the two classes of a head that has two."""
    parts = [head.weight] if head.bias is None else [head.weight, head.bias[:, None]]
    w_CD = torch.cat([p.detach().cpu().double() for p in parts], dim=1)
    return w_CD if len(w_CD) == len(secret_KD) else w_CD[1:] - w_CD[:1]


def _write(head: nn.Linear, w_KD: Tensor) -> None:
    """Put columns into the head."""
    w_CD = w_KD if len(w_KD) == head.out_features else torch.cat([-w_KD / 2, w_KD / 2])
    with torch.no_grad():
        head.weight.copy_(w_CD[:, : head.in_features])
        if head.bias is not None:
            head.bias.copy_(w_CD[:, -1])


def _rounded(head: nn.Linear, w_KD: Tensor) -> Tensor:
    """Return columns as the head would hold them."""
    return w_KD.to(head.weight.dtype).double()


def _refuse_other_rows(left_KD: Tensor, state: State, rows: Rows, ledger: str) -> None:
    """Raise RunError where ‖∇L_b‖ is beyond what the ledger bounds it by: the rows are not those of the fit."""
    slack = SLACK * float(rows.x.norm(dim=1).sum() * rows.y.abs().max().clamp_min(1))
    if (found := left_KD.norm().item()) > state.total + slack:
        what = f"certified_removal: the gradient of the head is {found:.3g}, {ledger} allows {state.total:.3g}"
        raise RunError(what, hint="features, labels or weights are not those that the head was fitted with")
