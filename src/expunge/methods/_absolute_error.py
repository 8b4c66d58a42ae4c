"""The absolute error of predicted means, by which regressors unlearn and blindspot models are trained.

Dimension letters: B examples, N scored positions, one a target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from expunge.card import Card
from expunge.errors import LearnerError
from expunge.learners import Batch, Part, Regressor
from expunge.train import Batches, Method, Run


@dataclass(frozen=True, kw_only=True)
class AbsoluteErrorFit(Method):
    """Train on the records that stay:  L = mean_retain |y − μ(x)|."""

    card: ClassVar[Card] = Card(
        name="blindspot", title="Fit by absolute error", year=2022, source="arXiv:2210.08196", needs={"retain"},
        aim="control",
    )  # fmt: skip

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        learner = regressor_of(run)
        return {"retain": absolute_error(learner.output(batch.retain), batch.retain, batch.retain.targets)}


def regressor_of(run: Run) -> Regressor:
    """Return the run's learner. Raises LearnerError when it predicts no numbers."""
    learner = run.learner
    if not isinstance(learner, Regressor):
        raise LearnerError(f"{run.method.card.name}: a {learner.kind} predicts no numbers", hint="use a regressor")
    return learner


def absolute_error(output: Float[Tensor, "B ..."], batch: Batch, targets_N: Float[Tensor, " N"]) -> Part:
    """Return |target − μ|, in the target's unit, as a part whose value is the mean over scored positions.

    Raises:
        LearnerError: The network gives another number of means than there are targets.
    """
    return Part.mean((means(output, batch) - targets_N).abs())


def means(output: Float[Tensor, "B ..."], batch: Batch) -> Float[Tensor, " N"]:
    """Return a network's output as the mean of each target; never [B, 1] beside [B], whose difference is [B, B].

    Raises:
        LearnerError: The network gives another number of means than there are targets.
    """
    if output.numel() != len(batch.targets):
        given, wanted = output.numel() // len(batch), len(batch.targets) // len(batch)
        raise LearnerError(
            f"the network gives {given} numbers for {wanted} target(s), and an absolute error teaches means alone",
            hint="use a head of one number a target; a network's own variances need a method with a likelihood",
        )
    return output.reshape(-1).float()
