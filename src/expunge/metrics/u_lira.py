"""U-LiRA: does a record's confidence fit models that unlearned it better than models that never saw it?

Dimension letters: n records, S shadow models, C classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from expunge.card import Card
from expunge.errors import DataError, NothingToMeasure
from expunge.metrics._base import Measure
from expunge.metrics._membership import MembershipAttack
from expunge.metrics._rows import Block, Blocks

OWN_VARIANCE = 16
"""Shadow models on each side from which a record has its own variance; below, all records share one."""
SMALLEST_VARIANCE = 1e-12


@dataclass(frozen=True, kw_only=True)
class ULiRA(MembershipAttack):
    """Per-example likelihood-ratio attack on unlearning.

        score_x = log N(φ(x); μ_in, σ_in²) − log N(φ(x); μ_out, σ_out²)        nats
        φ       = log(p_y / (1 − p_y)) for classes, mean log p for text        nats

    `in`: shadow models that were trained on x and then unlearned it. `out`: shadow models that never saw x and then
    unlearned *others*: both worlds go through the unlearning method, else the attack tells unlearned models from
    untouched ones. Every record is compared with what is usual for itself, which shows leaks that one threshold for all
    records averages away. The figure is the area under the ROC curve of the scores on the model under audit; read
    `tpr_at_low_fpr` with `score: u_lira` beside it.

    Beside it, of the method rather than the model, each shadow model attacked with the help of the others:
    `accuracy`, the mean over records of the share of shadow models whose world is guessed right, ½ = perfect
    unlearning; `accuracy_p95`, that of the record at the 95th percentile.

    Args:
        against: The set that was never trained on.
        answer: Field that is scored; "" where records hold a single target.

    Raises:
        NothingToMeasure: There are no shadow models, or fewer than two on a side for some record.

    Source: Hayes et al. (2024), arXiv:2403.01218; Gaussians as Carlini et al. (2022), arXiv:2112.03570. Deviation:
        below 16 models on a side the variance is pooled over records.
    """

    card: ClassVar[Card] = Card(
        name="u_lira", title="U-LiRA", year=2024, source="arXiv:2403.01218", needs={"forget", "holdout", "recipe"},
        learners={"classifier", "causal_lm"},
    )  # fmt: skip

    against: str = "test"
    answer: str = ""

    def scores(self, block: Block, references: Sequence[Block]) -> np.ndarray:
        """Return the log-likelihood ratio of each row [n], nats."""
        inside_nS, outside_nS = shadows(block, self.label)
        return log_ratio(confidence(block), Gaussians.fit(inside_nS), Gaussians.fit(outside_nS))

    def measure(self, blocks: Blocks, references: Sequence[Blocks] = ()) -> Measure:
        """Return the scores, with the method's own accuracies as parts."""
        read = [shadows(self.block(blocks, want), self.label) for want in self.wants()]
        accuracy_n = per_example_accuracy(*(np.concatenate(world) for world in zip(*read, strict=True)))
        parts = {"accuracy": float(accuracy_n.mean()), "accuracy_p95": float(np.quantile(accuracy_n, 0.95))}
        return replace(super().measure(blocks, references), parts=parts)


@dataclass(frozen=True, eq=False)
class Gaussians:
    """One Gaussian a record.

    Args:
        mean: [n].
        variance: [n], > 0.
    """

    mean: np.ndarray
    variance: np.ndarray

    @classmethod
    def fit(cls, phi_nS: np.ndarray) -> Self:
        """Fit to each row what is not NaN; rows share their variance where one has fewer than 16 values.

        A row without a value has mean NaN.
        """
        count_n = np.isfinite(phi_nS).sum(axis=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a row without a value
            mean_n = np.nanmean(phi_nS, axis=1)
        squares_n = np.nansum(np.square(phi_nS - mean_n[:, None]), axis=1)
        if count_n.min() < OWN_VARIANCE:
            freedom = max(int(np.maximum(count_n - 1, 0).sum()), 1)
            variance_n = np.full(len(phi_nS), squares_n.sum() / freedom)
        else:
            variance_n = squares_n / (count_n - 1)
        return cls(mean_n, np.maximum(variance_n, SMALLEST_VARIANCE))

    def log_density(self, phi_n: np.ndarray) -> np.ndarray:
        """Return log N(φ; μ, σ²) of each record [n], nats."""
        density: np.ndarray = -0.5 * (np.log(2 * np.pi * self.variance) + (phi_n - self.mean) ** 2 / self.variance)
        return density


def log_ratio(phi_n: np.ndarray, inside: Gaussians, outside: Gaussians) -> np.ndarray:
    """Return log N(φ; in) − log N(φ; out) of each record [n], nats; above 0 speaks for a record that was unlearned."""
    return inside.log_density(phi_n) - outside.log_density(phi_n)


def per_example_accuracy(inside_nS: np.ndarray, outside_nS: np.ndarray) -> np.ndarray:
    """Attack each shadow model with the Gaussians of the others.

    Args:
        inside_nS: φ of records under the models that unlearned them, NaN elsewhere.
        outside_nS: φ under the models that never saw them, NaN elsewhere; column s is the same model in both.

    Returns:
        Share of shadow models whose world is guessed right, of each record [n], 0 to 1; a ratio of exactly 1 counts ½.
    """
    ratio_nS = left_out_ratios(inside_nS, outside_nS)
    right_nS = 0.5 + 0.5 * np.sign(np.where(np.isfinite(inside_nS), ratio_nS, -ratio_nS))
    accuracy: np.ndarray = np.nanmean(right_nS, axis=1)
    return accuracy


def left_out_ratios(inside_nS: np.ndarray, outside_nS: np.ndarray) -> np.ndarray:
    """Return the log-likelihood ratio [n, S], nats, of each shadow model's φ by the Gaussians of the others."""
    ratio_nS = np.full(inside_nS.shape, np.nan)
    for s in range(inside_nS.shape[1]):
        others = np.arange(inside_nS.shape[1]) != s
        inside, outside = Gaussians.fit(inside_nS[:, others]), Gaussians.fit(outside_nS[:, others])
        phi_n = np.where(np.isfinite(inside_nS[:, s]), inside_nS[:, s], outside_nS[:, s])
        ratio_nS[:, s] = log_ratio(phi_n, inside, outside)
    return ratio_nS


def confidence(block: Block) -> np.ndarray:
    """Return φ of each row [n], nats: log(p_y / (1 − p_y)) where there are classes, else the mean log p.

    1 − p_y is summed over the other classes: it does not vanish where p_y rounds to 1.
    """
    if "log_probs" not in block.extras:
        return block.mean_logp()
    logp_nC = block.extras["log_probs"].astype(np.float64)
    mine = np.arange(logp_nC.shape[1]) == block.extras["target"][:, None]
    others: np.ndarray = np.logaddexp.reduce(np.where(mine, -np.inf, logp_nC), axis=1)
    return logp_nC[mine] - others


def shadows(block: Block, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Return φ under the shadow models that unlearned each row and those that never saw it, [n, S] each.

    Raises:
        NothingToMeasure: There are none, or a record has fewer than two on a side.
        DataError: The two worlds list different models.
    """
    if "shadow_in" not in block.extras:
        raise NothingToMeasure(f"{label}: there are no shadow models", hint="train some and give them to the audit")
    inside, outside = block.extras["shadow_in"], block.extras["shadow_out"]
    if inside.shape != outside.shape:
        raise DataError(f"{label}: {inside.shape[1]} shadow models unlearned, {outside.shape[1]} never saw")
    few = np.flatnonzero(np.minimum(np.isfinite(inside).sum(axis=1), np.isfinite(outside).sum(axis=1)) < 2)
    if len(few):
        raise NothingToMeasure(
            f"{label}: record {block.ids[few[0]]!r} has fewer than two shadow models that unlearned it, or that never "
            "saw it",
            hint="more shadow models",
        )
    return inside, outside
