"""IAU: one step away from what the forget set taught, as if its records were added with their gradients reversed."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from expunge.card import Card
from expunge.errors import require
from expunge.train import Gradients, Method, Run

NOTHING = 0.05  # change of the forget loss, a share of what it was, below which the step did nothing worth the name
EPSILON = 1e-8  # of Adam
LEAST, BEGIN, MOST = -16, -8, 2  # powers of two: lengths of a step that are tried, 1 being the length of θ itself
HALVINGS = 4


@dataclass(frozen=True, kw_only=True)
class IAU(Method):
    """Influence Approximation Unlearning.

        θ ← θ − η · d        d = g_R − g_F                                 optimiser "sgd"
                             d = (g_R − g_F) / (|g_R − g_F| + 1e-8)        "adam_sign", by coordinate

    g_S is the gradient of the mean over S of −log p(y|x), exact, in evaluation mode. Removing a record is, to first
    order, adding one with the opposite gradient (+g_F); −g_R corrects for the retain gradient not being zero. It is the
    Newton step of influence functions with η for |F|/|D| · H⁻¹: put H⁻¹ back, and it agrees with retraining to second
    order. Meant for a few random records; each request adds its error, so retrain after some.

    Not for a class: one step of the published length leaves a class that the model is sure of as it was, and one of
    searched length takes all of it from some models and half of it from others, at a cost to the other classes. Where
    the forget loss changes by less than 5 % of what it was, a warning says that the step forgot nothing; where it was
    near 0, more than that may still be nothing.

    Args:
        step: η, > 0, or "search": the longest step after which the mean loss on the retain set is at most `slack` above
            what it was, to a tenth of its length, in at most 14 passes over that set. Published 1e-3, with "adam_sign".
        slack: Nats, ≥ 0, that the search may add to the mean retain loss.
        optimiser: "sgd", or "adam_sign" (published): the first step of a fresh Adam, which moves every weight by η
            whatever the size of its gradient, so that neither the number of forgotten records nor their loss matters.

    Raises:
        ConfigError: A value is out of range.

    Source: Liu et al. (2025), arXiv:2507.23257, equations of incremental approximation and gradient correction, and its
    released code. Deviations: a step along the gradient, of searched length, is the default, as the released one (a
    sign step of the learning rate) changes next to nothing on converged models; evaluation mode. Gradient restriction
    while the original is trained is the method `gradient_restriction`.
    """

    card: ClassVar[Card] = Card(
        name="iau",
        title="Influence Approximation Unlearning",
        year=2025,
        source="arXiv:2507.23257",
        system="IAU",
        needs={"forget", "retain", "labels"},
        learners={"classifier"},
    )

    step: float | Literal["search"] = "search"
    slack: float = 0.02
    optimiser: Literal["sgd", "adam_sign"] = "sgd"

    def __post_init__(self) -> None:
        require(self.step == "search" or float(self.step) > 0, f"iau: step must be > 0 or 'search', got {self.step}")
        require(self.slack >= 0, f"iau: slack must be ≥ 0, got {self.slack}")
        known = ("sgd", "adam_sign")
        require(self.optimiser in known, f"iau: optimiser must be sgd or adam_sign, got {self.optimiser!r}")

    def solve(self, run: Run) -> None:
        before = -run.read("forget").mean().item()
        original = {n: p.detach().clone() for n, p in run.learner.trainable().items()}
        towards = self.direction(run)
        step = self.search(run, original, towards) if self.step == "search" else float(self.step)
        move(run, original, towards, step)
        after, retain = (-run.read(role).mean().item() for role in ("forget", "retain"))
        run.log.append({"step": 0, "eta": step, "forget_before": before, "forget": after, "retain": retain})
        if abs(after - before) < NOTHING * abs(before):
            what = f"iau: the forget loss went from {before:.4g} to {after:.4g} nats, less than {NOTHING:.0%}"
            warnings.warn(f"{what}: the step forgot nothing; raise step or slack", stacklevel=2)

    def direction(self, run: Run) -> Gradients:
        """Return d at the present weights."""
        retain, forget = run.gradient_of("retain"), run.gradient_of("forget")
        found = {n: retain[n] - forget[n] for n in retain}
        if self.optimiser == "sgd":
            return found
        return {n: g / (g.abs() + EPSILON) for n, g in found.items()}

    def search(self, run: Run, original: Gradients, towards: Gradients) -> float:
        """Return the longest step that the retain loss allows, 0 where there is no direction or no such step."""
        length = _norm(towards)
        if length == 0:
            return 0.0
        unit = (_norm(original) or 1.0) / length
        limit = -run.read("retain").double().mean().item() + self.slack

        def allowed(power: float) -> bool:
            move(run, original, towards, unit * 2**power)
            loss = -run.read("retain").double().mean().item()
            return math.isfinite(loss) and loss <= limit

        power = float(BEGIN)
        if allowed(power):
            while power < MOST and allowed(power + 1):
                power += 1
        else:
            while not allowed(power := power - 1):
                if power <= LEAST:
                    return 0.0
        for half in range(1, HALVINGS):
            if allowed(power + 2**-half):
                power += 2**-half
        return unit * 2**power


def move(run: Run, original: Gradients, towards: Gradients, step: float) -> None:
    """Put the weights at θ − step · d."""
    with torch.no_grad():
        for name, weight in run.learner.trainable().items():
            weight.copy_(original[name] - step * towards[name])


def _norm(tensors: Gradients) -> float:
    squares: list[Tensor] = [t.double().square().sum() for t in tensors.values()]
    return torch.stack(squares).sum().sqrt().item()
