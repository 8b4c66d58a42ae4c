"""Retrain: train anew, as the original was trained, without the forget set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from expunge.card import Card
from expunge.train import Batches, Method, Part, Run, Step, derive


@dataclass(frozen=True, kw_only=True)
class Retrain(Method):
    """Retraining on the retain set: what every score is read against.

        θ = argmin mean_retain −log p(y|x), from new random weights or the base that the original started from.

    Exact for these records: they were never read. It says nothing of what a pretrained base had seen. Pass the
    original's own training settings as `train`, so that like is compared with like.

    Source: the definition of exact unlearning. Deviation: none.
    """

    card: ClassVar[Card] = Card(
        name="retrain",
        title="Retraining without the forget set",
        year=2015,
        source="definition",
        needs={"retain", "labels", "recipe"},
        learners={"causal_lm", "classifier", "regressor"},
        guarantee="exact",
    )

    def begin(self, run: Run) -> None:
        start = run.start or run.learner.fresh(derive(run.seed, "initial weights"))
        run.learner.load_state(start.state())

    def batches(self, run: Run) -> Iterator[Step]:
        yield from run.steps("retain")

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        return {"retain": run.learner.nll(batch.retain)}
