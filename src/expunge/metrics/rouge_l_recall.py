"""ROUGE-L recall: how much of the answer the model says, in order, when it answers freely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from expunge.card import Card
from expunge.errors import DataError
from expunge.metrics._base import Measure, RoleMetric
from expunge.metrics._rows import Blocks, Want


@dataclass(frozen=True, kw_only=True)
class RougeLRecall(RoleMetric):
    """Mean over records of |LCS(answer, generation)| / |answer|, in stemmed words, of the greedy answer.

    Among the least faithful of the usual metrics: a paraphrase of what was to be forgotten scores low, a common
    opening phrase scores high. Read it beside `probability`.

    Args:
        role: The set it is read on.
        answer: Field that holds the answer.

    Source: Lin (2004), as TOFU, arXiv:2401.06121, uses it: recall, with stemming.
    """

    card: ClassVar[Card] = Card(
        name="rouge_l_recall", title="ROUGE-L recall", year=2004, source="Lin (2004), ROUGE; arXiv:2401.06121",
        needs={"forget"}, learners={"causal_lm"},
    )  # fmt: skip
    unit: ClassVar[str] = "share of the answer's words"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    answer: str = "answer"

    def wants(self) -> list[Want]:
        """Return the one generation it reads."""
        return [Want(self.role, self.answer, "generate")]

    def measure(self, blocks: Blocks, references: Sequence[Blocks] = ()) -> Measure:
        """Return one recall a record."""
        block = self.block(blocks, *self.wants())
        if "rouge_l_recall" not in block.extras:
            raise DataError(f"{self.label}: the stored generations hold no rouge_l_recall")
        return Measure.mean(self.label, block.ids, block.extras["rouge_l_recall"], chance=0.0)
