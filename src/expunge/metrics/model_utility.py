"""Model utility: TOFU's harmonic mean of nine, zero as soon as one of them is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from expunge.card import Card
from expunge.errors import require
from expunge.metrics._base import Family, Measure, Metric
from expunge.metrics._rows import Blocks, Want
from expunge.metrics._statistics import weighted_mean
from expunge.metrics.probability import Probability
from expunge.metrics.rouge_l_recall import RougeLRecall
from expunge.metrics.truth_ratio import Convention, TruthRatio


@dataclass(frozen=True, kw_only=True)
class ModelUtility(Metric):
    """Harmonic mean of {probability, ROUGE-L recall, truth ratio} on {retain, real authors, world facts}.

        MU = 9 / Σ_k 1/m_k;   0 where any m_k is 0

    The truth ratio counts as mean max(0, 1 − R). The nine stand beside the figure: one set's collapse looks like all
    sets' decline in the mean alone. The forget set is not included.

    Args:
        convention: Of the truth ratio. The same model scores 0.62 or 0.59 by it: never mix.
        own: Sets of long answers that were trained on: plain probability, paraphrased true answer.
        world: Sets of short answers: probability among the wrong ones, the answer itself as the true one.

    Raises:
        ConfigError: No set at all.

    Source: TOFU (2024), arXiv:2401.06121.
    """

    card: ClassVar[Card] = Card(
        name="model_utility", title="Model utility", year=2024, source="arXiv:2401.06121",
        needs={"retain"}, learners={"causal_lm"},
    )  # fmt: skip
    family: ClassVar[Family] = "utility"
    unit: ClassVar[str] = "harmonic mean"
    higher_is: ClassVar[str] = "more useful"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    convention: Convention = "geometric"
    own: tuple[str, ...] = ("retain",)
    world: tuple[str, ...] = ("real_authors", "world_facts")

    def __post_init__(self) -> None:
        require(bool(self.own or self.world), "model_utility: needs at least one set in own or world")

    @property
    def label(self) -> str:
        """The name with its convention."""
        return f"{self.card.name} ({self.convention})"

    def metrics(self) -> list[Probability | RougeLRecall | TruthRatio]:
        """Return the metrics whose harmonic mean this is, three a set."""
        return [
            metric
            for role in (*self.own, *self.world)
            for metric in (
                Probability(role=role, among="perturbed_answer" if role in self.world else ""),
                RougeLRecall(role=role),
                TruthRatio(
                    role=role, convention=self.convention,
                    true_answer="answer" if role in self.world else "paraphrased_answer",
                ),
            )
        ]  # fmt: skip

    def wants(self) -> list[Want]:
        """Return what the nine want, each once."""
        return list(dict.fromkeys(want for metric in self.metrics() for want in metric.wants()))

    def measure(self, blocks: Blocks, references: Sequence[Blocks] = ()) -> Measure:
        """Return the rows of the nine, one group each."""
        metrics = self.metrics()
        measures = [metric.measure(blocks) for metric in metrics]
        names = [f"{metric.role}/{metric.card.name}" for metric in metrics]
        return Measure(
            name=self.label,
            ids=[i for m in measures for i in m.ids],
            values=np.concatenate([m.values for m in measures]),
            statistic=harmonic_mean_of_means,
            group=np.repeat(np.arange(len(measures)), [len(m.ids) for m in measures]),
            chance=0.0,
            parts={name: float(m.values.mean()) for name, m in zip(names, measures, strict=True)},
        )


def harmonic_mean_of_means(values: np.ndarray, group: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the harmonic mean of the groups' weighted means [R]."""
    means = [weighted_mean(values[group == g], group, weight[:, group == g]) for g in np.unique(group)]
    return harmonic_mean(np.stack(means, axis=-1))


def harmonic_mean(parts: np.ndarray) -> np.ndarray:
    """Return the harmonic mean over the last axis, 0 where any part is 0."""
    positive = np.where(parts > 0, parts, 1.0)
    return np.where((parts > 0).all(axis=-1), parts.shape[-1] / (1 / positive).sum(axis=-1), 0.0)
