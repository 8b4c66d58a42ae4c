"""SCRUB: a student that leaves its teacher on the forget set and stays with it on the retain set."""

from __future__ import annotations

from itertools import groupby

from expunge.testing.conformance._common import class_is_forgotten, method_suite, rest_is_kept
from expunge.testing.conformance._suite import NotApplicable, invariant
from expunge.testing.conformance._trial import Done, Trial
from expunge.testing.conformance._watched import same, state, storages

PAPER = "arXiv:2302.09880"
ASCENTS, EPOCHS = 2, 4


@invariant(
    "No model that only answers shares a tensor with the student, and none changes.",
    source="a shallow copy as teacher: the divergence is 0 and only fine-tuning remains",
)
def the_teacher_is_apart(trial: Trial) -> tuple[bool, str]:
    log = trial.run().log
    learners = {p.network for p in log.passes if p.learning}
    teachers = [k for k in range(len(log.networks)) if k not in learners]
    if not teachers:
        raise NotApplicable("no second model ran; stored answers serve as well")
    students = set().union(*(storages(log.networks[k]) for k in learners))
    shared = sum(len(students & storages(log.networks[k])) for k in teachers)
    moved = sum(not same(log.first[k], state(log.networks[k])) for k in teachers)
    return not shared and not moved, f"{shared} tensors are shared, {moved} of {len(teachers)} teachers changed"


@invariant(
    f"With msteps {ASCENTS} and {EPOCHS} epochs, passes alternate: forget set first, {ASCENTS} times, and the "
    "end on the retain set.",
    source=f"{PAPER}, algorithm 1; some code never stops",
)
def ascent_comes_first_and_stops(trial: Trial) -> tuple[bool, str]:
    trial.needs("msteps")
    trial.needs("epochs")
    order = order_of_passes(trial.run(msteps=ASCENTS, epochs=EPOCHS))
    return order == "FR" * ASCENTS, f"{order or 'nothing was learnt from'}, wanted {'FR' * ASCENTS}"


@invariant("With alpha = gamma = 0 and no max step no weight moves.", source=f"{PAPER}, the objective")
def no_objective_moves_nothing(trial: Trial) -> tuple[bool, str]:
    moved = trial.brief(alpha=0.0, gamma=0.0, msteps=0).moved()
    return not moved.any(), f"{int(moved.sum())} of {len(moved)} weights moved"


def order_of_passes(done: Done) -> str:
    """Return which set was learnt from, in order: F, R, or M for a batch of both; equal neighbours are one."""
    kinds = ["M" if p.forget and p.retain else "F" if p.forget else "R" for p in done.log.learnt()]
    return "".join(kind for kind, _ in groupby(kinds))


SUITE = method_suite(
    "SCRUB",
    PAPER,
    class_is_forgotten(f"{PAPER}, class forgetting; fine-tuning alone leaves most of it", at_most=5),
    rest_is_kept(f"{PAPER}; a max pass in every epoch costs accuracy"),
    the_teacher_is_apart,
    ascent_comes_first_and_stops,
    no_objective_moves_nothing,
    settings={
        "msteps": "epochs that begin with a max pass",
        "alpha": "weight of the divergence on the retain set",
        "gamma": "weight of the loss on the retain set",
    },
)
