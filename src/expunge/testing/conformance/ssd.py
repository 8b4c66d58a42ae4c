"""SSD: weights that matter to the forget set far more than to all data are dampened, in closed form."""

from __future__ import annotations

import torch

from expunge.testing.conformance._common import method_suite
from expunge.testing.conformance._suite import invariant
from expunge.testing.conformance._trial import Done, Trial, accuracy, flat

PAPER = "arXiv:2308.07707"
HUGE = 1e30
FALLING = (2.0, 10.0, 50.0)


@invariant("No weight grows in magnitude or changes its sign.", source=f"{PAPER}, β = min(λ I_D/I_F, 1)")
def no_weight_grows(trial: Trial) -> tuple[bool, str]:
    before, after = _weights(trial.run(alpha=FALLING[0]))
    wrong = (after.abs() > before.abs()) | (after * before < 0)
    return not wrong.any(), f"{int(wrong.sum())} of {len(wrong)} weights grow or turn"


@invariant("A threshold that nothing exceeds leaves every weight bit for bit as it was.", source=f"{PAPER}, selection")
def what_is_not_selected_stays(trial: Trial) -> tuple[bool, str]:
    moved = trial.run(alpha=HUGE).moved()
    return not moved.any(), f"{int(moved.sum())} of {len(moved)} weights moved at alpha {HUGE:g}"


@invariant("The share of weights that change falls as alpha rises over 2, 10, 50.", source=f"{PAPER}, selection")
def the_selected_share_falls(trial: Trial) -> tuple[bool, str]:
    shares = [float(trial.run(alpha=a).moved().float().mean()) for a in FALLING]
    return shares[0] > shares[1] > shares[2], ", ".join(f"{s:.3f}" for s in shares)


@invariant(
    "With squared gradients of single records alpha = |D|/|F| selects nothing, or is refused.",
    source="I_F/I_D ≤ |D|/|F| for every weight, since F is part of D",
)
def single_records_have_a_ceiling(trial: Trial) -> tuple[bool, str]:
    trial.needs("importance")
    forget, retain = len(trial.case.forget[0]), len(trial.case.retain[0])
    ceiling = 1.001 * (forget + retain) / forget
    try:
        moved = trial.run(alpha=ceiling, importance="per_sample").moved()
    except Exception as error:  # whatever it is called, it is refused
        return True, f"refused: {(str(error).splitlines() or [''])[0]}"
    return not moved.any(), f"{int(moved.sum())} of {len(moved)} weights moved at alpha {ceiling:.2f}"


@invariant("Every gradient is taken at the weights that were given.", source=f"{PAPER}: no gradient steps")
def gradients_are_of_the_given_weights(trial: Trial) -> tuple[bool, str]:
    learning = [p for p in trial.run(alpha=FALLING[1]).log.passes if p.learning]
    seen = {p.weights for p in learning}
    return len(seen) == 1, f"gradients at {len(seen)} different weights, {len(learning)} passes"


@invariant(
    "At one of alpha 10, 20, 50 at most 3 % of the forgotten images are recognised, and unseen images of other "
    "classes at most 4 points worse than before.",
    source=f"{PAPER}, class forgetting",
)
def some_threshold_forgets_the_class(trial: Trial) -> tuple[bool, str]:
    before = accuracy(trial.case.network(), trial.case.test)
    found = []
    for alpha in (10.0, 20.0, 50.0):
        model = trial.run(alpha=alpha).model
        found.append((accuracy(model, trial.case.forget), accuracy(model, trial.case.test)))
    told = ", ".join(f"{forget:.1f}/{test:.1f}" for forget, test in found)
    return any(f <= 3 and t >= before - 4 for f, t in found), f"forget/other {told} %, {before:.1f} % before"


def _weights(done: Done) -> tuple[torch.Tensor, torch.Tensor]:
    return flat(done.before, done.given), flat(done.after, done.given)


SUITE = method_suite(
    "Selective synaptic dampening",
    PAPER,
    no_weight_grows,
    what_is_not_selected_stays,
    the_selected_share_falls,
    single_records_have_a_ceiling,
    gradients_are_of_the_given_weights,
    some_threshold_forgets_the_class,
    settings={
        "alpha": "selection threshold",
        "importance": '"per_sample" squares the gradients of single records',
    },
)
