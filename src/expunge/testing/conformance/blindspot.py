"""Blindspot for regressors: the answers of a model that saw only what stays are taught on the forget set."""

from __future__ import annotations

from functools import cache

from expunge.testing.conformance._cases import group, trained
from expunge.testing.conformance._common import (
    COMMON,
    EPOCHS,
    FORM,
    batch_statistics_are_not_the_forget_sets,
)
from expunge.testing.conformance._suite import Suite, invariant
from expunge.testing.conformance._trial import Trial, equal, outputs
from expunge.testing.conformance._watched import Watched

PAPER = "arXiv:2210.08196"


@invariant(
    "Targets of shape [n] and of shape [n, 1] give the same weights.",
    source="a loss of [B, 1] against [B] is broadcast to B × B without a word",
)
def shapes_are_not_broadcast(trial: Trial) -> tuple[bool, str]:
    (x, y), (kept_x, kept_y) = trial.case.forget, trial.case.retain
    row = trial.brief(forget=(x, y[:, 0]), retain=(kept_x, kept_y[:, 0]))
    furthest = max(
        float((a - b).abs().max()) for a, b in zip(row.after.values(), trial.brief().after.values(), strict=True)
    )
    return furthest <= 1e-6, f"weights differ by at most {furthest:.1e}"


@invariant(
    "Other targets of the forgotten records give the same weights, bit for bit.",
    source=f"{PAPER}: the blindspot model answers for them",
)
def forget_targets_are_not_read(trial: Trial) -> tuple[bool, str]:
    x, y = trial.case.forget
    other = trial.brief(forget=(x, y + 100))
    return equal(trial.brief(), other), "the same" if equal(trial.brief(), other) else "other weights"


@invariant(
    "With a single forgotten record, so that most batches hold none, every weight stays finite.",
    source="the mean of no record is not a number",
)
def batches_without_a_forgotten_record_work(trial: Trial) -> tuple[bool, str]:
    x, y = trial.case.forget
    lost = sum(int((~t.isfinite()).sum()) for t in trial.brief(forget=(x[:1], y[:1])).after.values())
    return not lost, f"{lost} numbers are not finite"


@invariant(
    "On the forgotten records the mean distance to a retrained model's answers falls to a third or less.",
    source=f"{PAPER}, distance of predictions to retraining",
)
def answers_come_to_the_retrained_ones(trial: Trial) -> tuple[bool, str]:
    x = trial.case.forget[0]
    wanted = outputs(_retrained(), x)
    before, after = (float((outputs(m, x) - wanted).abs().mean()) for m in (trial.case.network(), trial.run().model))
    return after <= before / 3, f"{before:.2f} before, {after:.2f} after"


@cache
def _retrained() -> Watched:
    case = group()
    return trained(case.layers, case.retain, case.loss, epochs=30, seed=1)


SUITE = Suite(
    title="Blindspot unlearning of regressors",
    source=PAPER,
    form=FORM,
    settings=EPOCHS,
    trial=lambda unlearn: Trial(unlearn, group),
    invariants=(
        shapes_are_not_broadcast,
        forget_targets_are_not_read,
        batches_without_a_forgotten_record_work,
        answers_come_to_the_retrained_ones,
        *(i for i in COMMON if i is not batch_statistics_are_not_the_forget_sets),
    ),
)
