"""Truth ratio: are wrong answers as likely to the model as a true one it was not trained on?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from expunge.card import Card
from expunge.errors import require
from expunge.metrics._base import Family, Measure, RoleMetric
from expunge.metrics._rows import Blocks, Want
from expunge.metrics.probability import owners

Convention = Literal["geometric", "arithmetic"]


@dataclass(frozen=True, kw_only=True)
class TruthRatio(RoleMetric):
    """Truth ratio R of each record, and the mean of its score.

        geometric    R = exp(mean_i log P(wrong_i|q)) / P(true|q)       TOFU's evaluation script, OpenUnlearning
        arithmetic   R = mean_i P(wrong_i|q) / P(true|q)                TOFU's paper
        forget set   mean of min(R, 1/R)          other sets   mean of max(0, 1 − R)

    P is length-normalised (`probability`). The two conventions give different numbers: never mix them. On the forget
    set the score is two-sided: it falls when the model remembers (R < 1) and also when it was driven to prefer wrong
    answers (R > 1). So it counts as a distance from retraining there, not as behaviour; `mean_log_ratio` beside it
    keeps the side.

    Args:
        role: The set it is read on.
        convention: How wrong answers are averaged.
        true_answer: Field of the true answer; "" is "paraphrased_answer" on forget and retain, "answer" elsewhere.
        wrong_answer: Field of the wrong answers.

    Raises:
        ConfigError: No such convention.

    Source: TOFU (2024), arXiv:2401.06121; its aggregate_eval_stat.py for the geometric convention.
    """

    card: ClassVar[Card] = Card(
        name="truth_ratio", title="Truth ratio", year=2024, source="arXiv:2401.06121",
        needs={"forget"}, learners={"causal_lm"},
    )  # fmt: skip
    unit: ClassVar[str] = "score"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    convention: Convention = "geometric"
    true_answer: str = ""
    wrong_answer: str = "perturbed_answer"

    def __post_init__(self) -> None:
        known = self.convention in ("geometric", "arithmetic")
        require(known, f"{self.card.name}: convention must be geometric or arithmetic, got {self.convention!r}")

    @property
    def family(self) -> Family:  # type: ignore[override]
        """Two-sided on the forget set, hence a distance; utility elsewhere."""
        return "distribution" if self.role == "forget" else "utility"

    @property
    def higher_is(self) -> str:  # type: ignore[override]
        """What a larger value means on this role."""
        return "less able to tell true from wrong" if self.role == "forget" else "more useful"

    @property
    def label(self) -> str:
        """The name with its role and convention."""
        return f"{self.card.name} ({self.role}, {self.convention})"

    def wants(self) -> list[Want]:
        """Return the true answer and the wrong ones."""
        paraphrased = self.role in ("forget", "retain")
        true = self.true_answer or ("paraphrased_answer" if paraphrased else "answer")
        return [Want(self.role, true), Want(self.role, self.wrong_answer)]

    def log_ratio(self, blocks: Blocks) -> tuple[list[str], np.ndarray]:
        """Return the records' ids and log R [N]."""
        true, wrong = (self.block(blocks, want) for want in self.wants())
        owner_P = owners(true.ids, wrong.ids)
        return true.ids, log_truth_ratio(true.mean_logp(), wrong.mean_logp(), owner_P, self.convention)

    def measure(self, blocks: Blocks, references: Sequence[Blocks] = ()) -> Measure:
        """Return one score a record."""
        ids, log_ratio_N = self.log_ratio(blocks)
        score = score_forgotten if self.role == "forget" else score_kept
        return Measure.mean(self.label, ids, score(log_ratio_N), chance=0.0, mean_log_ratio=float(log_ratio_N.mean()))


def log_truth_ratio(
    true_logp_N: np.ndarray, wrong_logp_P: np.ndarray, owner_P: np.ndarray, convention: Convention
) -> np.ndarray:
    """Return log R of each record [N], from mean log p in nats a token; `owner_P` says whose a wrong answer is."""
    count_N = np.bincount(owner_P, minlength=len(true_logp_N))
    if convention == "geometric":
        wrong_N = np.bincount(owner_P, weights=wrong_logp_P, minlength=len(true_logp_N)) / count_N
    else:
        wrong_N = np.full(len(true_logp_N), -np.inf)
        np.logaddexp.at(wrong_N, owner_P, wrong_logp_P)
        wrong_N -= np.log(count_N)
    return wrong_N - true_logp_N


def score_forgotten(log_ratio_N: np.ndarray) -> np.ndarray:
    """Return min(R, 1/R) [N]."""
    return np.exp(-np.abs(log_ratio_N))


def score_kept(log_ratio_N: np.ndarray) -> np.ndarray:
    """Return max(0, 1 − R) [N]."""
    return -np.expm1(np.minimum(log_ratio_N, 0.0))
