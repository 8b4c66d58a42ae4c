"""SCRUB: push the student away from the teacher on the forget set, hold it on the retain set; rewind on request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from expunge.card import Card
from expunge.errors import DivergedError, require
from expunge.learners import Batch
from expunge.train import Batches, Method, Part, Run, Step


@dataclass(frozen=True, kw_only=True)
class SCRUB(Method):
    """SCRUB and SCRUB+R.

        d(x) = T² · Σ_c p_o(c|x; T) · (log p_o(c|x; T) − log p(c|x; T))
        max pass, epochs 1 to `max_epochs`:  L = −mean_forget d
        min pass, every epoch after it:      L = α · mean_retain d + γ · mean_retain −log p(y|x)

    The run is `train.epochs` epochs and ends on a min pass. With `rewind` the result is the snapshot whose forget error
    is nearest the last student's error on the holdout set: forgotten as far as unseen data and no further. Fails by
    escaping the wrong way: at d = 0 its gradient is 0, and the student may grow MORE certain; see `init_nudge`. With
    clipped gradients (`train.clip`) α .5 holds so fast that nothing is forgotten: set it to None there.

    Args:
        alpha: α, ≥ 0. Published .001 to .5.
        gamma: γ, ≥ 0. Published .99 to 99.
        temperature: T, > 0. Published 2 or 4.
        max_epochs: Epochs that begin with a max pass, ≥ 0. Published 2 to 5.
        milestones: Epochs after which the learning rate falls by `decay`.
        decay: Factor at each milestone, in (0, 1]. Published .1.
        forget_batch: Records of a max step, ≥ 1.
        retain_batch: Records of a min step, ≥ 1.
        init_nudge: Length of one step up the normalised gradient of the forget set's loss before the first epoch, ≥ 0,
            in units of weight norm. 0 replicates the paper.
        rewind: SCRUB+R. Needs a holdout set drawn like the forget set.

    Raises:
        ConfigError: A value is out of range, or no holdout set to rewind by.
        DivergedError: After the first max pass the forget set is no less likely than before: a wrong-way escape.

    Source: Kurmanji et al. (2023), arXiv:2302.09880, algorithm 1. Deviations: stored teacher logits, no second model;
    `init_nudge`; means are over scored positions, so that it runs on language models too.
    """

    card: ClassVar[Card] = Card(
        name="scrub",
        title="SCRUB",
        year=2023,
        source="arXiv:2302.09880",
        system="SCRUB",
        needs={"forget", "retain", "labels", "reference"},
        learners={"classifier"},
    )

    alpha: float = 0.001
    gamma: float = 0.99
    temperature: float = 4.0
    max_epochs: int = 3
    milestones: tuple[int, ...] = (5, 8, 9)
    decay: float = 0.1
    forget_batch: int = 32
    retain_batch: int = 64
    init_nudge: float = 0.1
    rewind: bool = False

    def __post_init__(self) -> None:
        require(min(self.alpha, self.gamma) >= 0, f"scrub: alpha and gamma must be ≥ 0, got {self.alpha}, {self.gamma}")
        require(self.temperature > 0, f"scrub: temperature must be > 0, got {self.temperature}")
        require(self.max_epochs >= 0, f"scrub: max_epochs must be ≥ 0, got {self.max_epochs}")
        require(0 < self.decay <= 1, f"scrub: decay must be in (0, 1], got {self.decay}")
        require(min(self.forget_batch, self.retain_batch) >= 1, "scrub: forget_batch and retain_batch must be ≥ 1")
        require(self.init_nudge >= 0, f"scrub: init_nudge must be ≥ 0, got {self.init_nudge}")

    def begin(self, run: Run) -> None:
        if self.rewind:
            run.ids("holdout")
        run.store_distribution("forget")
        run.store_distribution("retain")
        run.artefacts.put("certainty", run.read("forget").exp().mean().item())

    def batches(self, run: Run) -> Iterator[Step]:
        yield Step(call="nudge")
        for epoch in range(1, round(run.train.epochs) + 1):
            scale = self.decay ** sum(m < epoch for m in self.milestones)
            yield Step(snapshot=str(epoch - 1))
            if epoch <= self.max_epochs:
                yield from run.one_pass("forget", batch_size=self.forget_batch, phase="max", lr_scale=scale)
            if epoch == 1 and self.max_epochs:
                yield Step(call="refuse_wrong_way")
            yield from run.one_pass("retain", batch_size=self.retain_batch, phase="min", lr_scale=scale)

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        if batch.phase == "max":
            return {"away": -Part.mean(self.divergence(run, batch.forget))}
        return {
            "hold": Part.mean(self.divergence(run, batch.retain)) * self.alpha,
            "retain": run.learner.nll(batch.retain) * self.gamma,
        }

    def end(self, run: Run) -> None:
        if not self.rewind:
            return
        run.snapshot(str(round(run.train.epochs)))
        reference = _error(run, "holdout")
        errors = {}
        for name in run.snapshots:
            run.restore(name)
            errors[name] = _error(run, "forget")
        chosen = min(errors, key=lambda name: (abs(errors[name] - reference), -int(name)))
        run.restore(chosen)
        taken = {"epoch": int(chosen), "reference": reference, "errors": errors}
        run.log.append({"step": run.cost.steps, "rewind": taken})

    def divergence(self, run: Run, batch: Batch) -> Float[Tensor, " N"]:
        """Return d at each scored position [N], nats · T², ≥ 0."""
        teacher_NC, student_NC = run.reference_logits(batch), run.learner.logits(batch)
        return self.temperature**2 * run.learner.divergence(teacher_NC, student_NC, self.temperature)

    def nudge(self, run: Run) -> None:
        """Break the symmetry of the stationary start: θ += init_nudge · g / ‖g‖, g the gradient of the forget loss."""
        if not self.init_nudge:
            return
        gradient = run.gradient_of("forget")
        norm = torch.cat([g.flatten() for g in gradient.values()]).norm()
        with torch.no_grad():
            for name, parameter in run.learner.trainable().items():
                parameter.add_(self.init_nudge * gradient[name] / norm)

    def refuse_wrong_way(self, run: Run) -> None:
        """Stop when the forget set's mean p(y|x) has not fallen after the first max pass."""
        before, after = run.artefacts["certainty"], run.read("forget").exp().mean().item()
        if after >= before:
            raise DivergedError(
                f"scrub: p(true) on the forget set went from {before:.3f} to {after:.3f} in the first max pass",
                hint="the student escaped towards certainty: set method.init_nudge=0.1",
            )


def _error(run: Run, role: str) -> float:
    """Share of scored positions of a role that the model gets wrong."""
    return 1 - run.read(role, "hit").mean().item()
