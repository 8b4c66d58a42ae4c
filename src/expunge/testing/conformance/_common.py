"""Invariants that suites share: what holds of every method, and claims that several make."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from expunge.testing.conformance._cases import digits_batch_norm
from expunge.testing.conformance._suite import Invariant, Suite, invariant
from expunge.testing.conformance._trial import Trial, accuracy, equal, outputs
from expunge.testing.conformance._watched import same, storages

FORM = "unlearn(model: nn.Module, forget: (x, y), retain: (x, y), *, seed: int, **settings) -> nn.Module"
EPOCHS = {"epochs": "passes; one is enough for checks that need no whole run"}
NORM_SHIFT = 1.0
"""Standard deviations by which a running mean may miss the retain set's own."""


@invariant(
    "The model that was given stays as it was, buffers included.",
    source="shallow copies in public frameworks, found by reading them",
)
def the_given_model_stays(trial: Trial) -> tuple[bool, str]:
    done = trial.brief()
    return same(done.before, done.given.state_dict()), _names(done.before, done.given.state_dict())


@invariant(
    "The model that is returned shares no tensor with the one that was given.",
    source="shallow copies in public frameworks, found by reading them",
)
def nothing_is_shared(trial: Trial) -> tuple[bool, str]:
    done = trial.brief()
    shared = len(storages(done.given) & storages(done.model))
    return not shared, f"{shared} tensors are shared"


@invariant("Inputs and labels that were given stay as they were.", source="relabelling in place, seen in public code")
def the_records_stay(trial: Trial) -> tuple[bool, str]:
    done = trial.brief()
    asked = (*trial.case.forget, *trial.case.retain)
    changed = [not torch.equal(a, b) for a, b in zip(asked, (*done.forget, *done.retain), strict=True)]
    return not any(changed), f"{sum(changed)} of 4 tensors changed"


@invariant("One seed gives one model, wherever the global generators stand.", source="the definition of a seed")
def one_seed_gives_one_model(trial: Trial) -> tuple[bool, str]:
    first, second = trial.brief(), trial.brief(fresh=True)
    return equal(first, second), _names(first.after, second.after)


@invariant(
    "Every weight and buffer that is returned is finite.",
    source="division by an importance of 0, of inputs that are always 0",
)
def all_is_finite(trial: Trial) -> tuple[bool, str]:
    lost = sum(int((~torch.isfinite(t)).sum()) for t in trial.brief().after.values() if t.is_floating_point())
    return not lost, f"{lost} numbers are not finite"


@invariant(
    "The model that is returned is another than the one that was given.",
    source="an implementation of SISA that prints a warning and returns the model",
)
def something_moves(trial: Trial) -> tuple[bool, str]:
    moved = trial.brief().moved()
    return bool(moved.any()), f"{int(moved.sum())} of {len(moved)} weights moved"


@invariant(
    f"Batch statistics are the given ones, or the retain set's: no running mean misses those by more than "
    f"{NORM_SHIFT:g} standard deviations.",
    source="forget batches move running statistics in training mode",
)
def batch_statistics_are_not_the_forget_sets(trial: Trial) -> tuple[bool, str]:
    other = trial.on(digits_batch_norm)
    done = other.run()
    norms = [(n, m) for n, m in done.model.named_modules() if isinstance(m, nn.BatchNorm1d)]
    if all(torch.equal(done.before[f"{n}.running_mean"], m.running_mean) for n, m in norms):  # type: ignore[arg-type]
        return True, "the given statistics"
    seen: list[torch.Tensor] = []
    hooks = [m.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0])) for _, m in norms]
    outputs(done.model, other.case.retain[0])
    for hook in hooks:
        hook.remove()
    missed = [
        float(((m.running_mean - x.mean(0)).abs() / (x.std(0) + m.eps)).max())  # type: ignore[operator]
        for (_, m), x in zip(norms, seen, strict=True)
    ]
    furthest = max(missed)
    return furthest <= NORM_SHIFT, f"misses the retain set's mean by {furthest:.2f} standard deviations"


COMMON = (
    the_given_model_stays,
    nothing_is_shared,
    the_records_stay,
    one_seed_gives_one_model,
    all_is_finite,
    something_moves,
    batch_statistics_are_not_the_forget_sets,
)


def method_suite(title: str, source: str, *own: Invariant, settings: Mapping[str, str] | None = None) -> Suite:
    """Return the suite of a method for classifiers: its own invariants, then what holds of every method."""
    return Suite(
        title=title,
        source=source,
        form=FORM,
        invariants=(*own, *COMMON),
        settings=EPOCHS | dict(settings or {}),
        trial=Trial,
    )


def class_is_forgotten(source: str, *, at_most: float = 10.0) -> Invariant:
    """Return the invariant that unseen images of the forgotten class are no longer recognised."""

    def check(trial: Trial) -> tuple[bool, str]:
        found = accuracy(trial.run().model, trial.case.unseen)
        return found <= at_most, f"{found:.1f} %"

    return Invariant(
        name="the_class_is_forgotten",
        source=source,
        check=check,
        demand=f"Of unseen images of the forgotten class at most {at_most:g} % are recognised.",
    )


def rest_is_kept(source: str, *, points: float = 4.0) -> Invariant:
    """Return the invariant that unseen images of the other classes are recognised nearly as before."""

    def check(trial: Trial) -> tuple[bool, str]:
        before, after = (accuracy(m, trial.case.test) for m in (trial.case.network(), trial.run().model))
        return after >= before - points, f"{after:.1f} %, {before:.1f} % before"

    return Invariant(
        name="the_rest_is_kept",
        source=source,
        check=check,
        demand=f"On unseen images of other classes accuracy falls by at most {points:g} points.",
    )


def forget_set_is_not_read(source: str) -> Invariant:
    """Return the invariant that the weights are the same whatever the forget set holds."""

    def check(trial: Trial) -> tuple[bool, str]:
        x, y = trial.case.forget
        other = trial.brief(forget=(1 - x, (y + 1) % 10))
        return equal(trial.brief(), other), _names(trial.brief().after, other.after)

    return Invariant(
        name="the_forget_set_is_not_read",
        source=source,
        check=check,
        demand="Other records in the forget set give the same weights, bit for bit.",
    )


def retain_set_is_not_read(source: str) -> Invariant:
    """Return the invariant that the weights are the same whatever the retain set holds."""

    def check(trial: Trial) -> tuple[bool, str]:
        x, y = trial.case.retain
        other = trial.brief(retain=(1 - x, (y + 1) % 10))
        return equal(trial.brief(), other), _names(trial.brief().after, other.after)

    return Invariant(
        name="the_retain_set_is_not_read",
        source=source,
        check=check,
        demand="Other records in the retain set give the same weights, bit for bit.",
    )


def retain_set_is_read(source: str) -> Invariant:
    """Return the invariant that what the retain set holds has a part in the weights."""

    def check(trial: Trial) -> tuple[bool, str]:
        x, y = trial.case.retain
        other = trial.brief(retain=(1 - x, (y + 1) % 10))
        return not equal(trial.brief(), other), _names(trial.brief().after, other.after)

    return Invariant(
        name="the_retain_set_is_read",
        source=source,
        check=check,
        demand="Other records in the retain set give other weights.",
    )


def labels_are_not_read(source: str) -> Invariant:
    """Return the invariant that labels have no part in the weights."""

    def check(trial: Trial) -> tuple[bool, str]:
        forget, retain = ((x, torch.full_like(y, -1)) for x, y in (trial.case.forget, trial.case.retain))
        blind = trial.brief(forget=forget, retain=retain)
        return equal(trial.brief(), blind), _names(trial.brief().after, blind.after)

    return Invariant(
        name="labels_are_not_read",
        source=source,
        check=check,
        demand="Labels of −1 throughout both sets give the same weights, bit for bit.",
    )


def _names(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> str:
    changed = [n for n in first if n not in second or not torch.equal(first[n], second[n])]
    return f"{len(changed)} of {len(first)} tensors differ"
