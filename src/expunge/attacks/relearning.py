"""Relearning: a few steps on some of the forgotten facts; do the others come back?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from expunge.attacks._base import Attack, Case, Evidence, Outcome, Tier, bare
from expunge.card import Card
from expunge.config import TrainConfig
from expunge.errors import DivergedError, Unfinished, require
from expunge.learners import Learner
from expunge.methods.finetune import Finetune
from expunge.train import Run, Watch

On = Literal["forgotten", "retained"]


@dataclass(frozen=True, kw_only=True)
class Relearning(Attack):
    """Fine-tune on one part of the forgotten facts, read the part that was never shown again.

        value(s) = p(true answer | question) after s steps of AdamW on the part that the attacker holds

    What is held tells nothing of what is judged (`Case.halves`), so that whatever comes back was in the weights; a
    retrained model, attacked alike, shows what the few steps teach anyway. Unseen records of the same kind are taught
    and judged beside the forgotten ones: they are the placebo. A model that lost its utility may look robust only
    because it is broken; the verdict calls that `destroyed` first. Of a regressor, the value is how near its number
    comes, exp(−½ z²) with z the error in standard deviations of the target: what a few records of a group teach of the
    others comes back in a retrained model too.

    Args:
        on: "forgotten" teaches half of the forgotten facts; "retained" teaches records that stay, which is what any
            customer's fine-tuning does, and judges all of the forgotten ones.
        share: Of the facts that the attacker holds, in (0, 1).
        lr: Learning rate; None is five times a language model's starting one, and any other learner's own.
        steps: Number of steps after which the judged part is read, rising.
        batch_size: Records a step, ≥ 1.

    Raises:
        ConfigError: A value out of range.

    Source: Deeb and Roger (2024), arXiv:2410.08827, and Hu et al. (2024), arXiv:2406.13356. Deviations: AdamW with a
    constant learning rate; the unseen records; probability instead of the choice among four answers.
    """

    card: ClassVar[Card] = Card(
        name="relearning", title="Relearning", year=2024, source="arXiv:2410.08827", needs={"forget"},
        learners={"causal_lm", "classifier", "regressor"},
    )  # fmt: skip
    tier: ClassVar[Tier] = 3
    evidence: ClassVar[Evidence] = "e5"
    knob: ClassVar[str] = "steps"
    reads_original: ClassVar[bool] = False

    on: On = "forgotten"
    share: float = 0.5
    lr: float | None = None
    steps: tuple[int, ...] = (1, 2, 5, 10, 20, 50)
    batch_size: int = 16

    def __post_init__(self) -> None:
        require(self.on in ("forgotten", "retained"), f"relearning: on must be forgotten or retained, got {self.on!r}")
        require(0 < self.share < 1, f"relearning: share must be in (0, 1), got {self.share}")
        require(self.lr is None or self.lr > 0, f"relearning: lr must be > 0, got {self.lr}")
        rising = bool(self.steps) and all(a < b for a, b in zip((0, *self.steps), self.steps, strict=False))
        require(rising, f"relearning: steps must rise from 1, got {self.steps}")
        require(self.batch_size >= 1, f"relearning: batch_size must be ≥ 1, got {self.batch_size}")

    @property
    def label(self) -> str:
        """The attack with what is taught."""
        return f"relearning ({self.on} records)"

    def lacks(self, learner: Learner, case: Case) -> str:
        if self.on == "retained" and not case.request.ids.get("retain"):
            return "the request has no retained records"
        return ""

    def cost(self, case: Case) -> float:
        training, reading = 3 * self.steps[-1] * self.batch_size, (len(self.steps) + 1) * len(case.ids)
        return float(training + reading)

    def run(self, learner: Learner, case: Case) -> Outcome:
        if self.on == "forgotten":
            held, judged = case.halves("relearning", self.share)
        else:
            held, judged = case.request.ids["retain"], case.ids
        pupil = bare(learner)
        lr = self.lr or learner.starting_lr * (5 if learner.kind == "causal_lm" else 1)
        read: list[Outcome] = []

        def look(run: Run) -> dict[str, float]:
            if run.cost.steps in (0, *self.steps):
                read.append(case.probability(pupil, ids=judged))
            return {}

        run = Run(
            learner=pupil,
            request=replace(case.request, ids={"retain": held}),
            method=Finetune(),
            train=TrainConfig(steps=self.steps[-1], lr=lr, batch_size=min(self.batch_size, len(held))),
            seed=case.seed,
            path="relearning",
            watch=Watch(1, look),
        )
        try:
            run.execute()
        except DivergedError as error:
            raise Unfinished(f"relearning made the model diverge: {error}", hint="give a smaller `lr`") from error
        return Outcome(ids=read[0].ids, values=np.stack([o.values for o in read]), turns=(0.0, *map(float, self.steps)))
