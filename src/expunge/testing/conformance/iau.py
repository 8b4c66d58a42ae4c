"""IAU: one step along the difference of the two sets' mean gradients."""

from __future__ import annotations

from expunge.testing.conformance._common import method_suite
from expunge.testing.conformance._suite import invariant
from expunge.testing.conformance._trial import Trial, flat, gradient

PAPER = "arXiv:2507.23257"
RATE = 0.01


@invariant(
    f"With SGD and lr {RATE:g} the step is −lr · (g_retain − g_forget) of whole-set means, to 1e-6.",
    source=f"{PAPER}, gradient correction",
)
def the_step_is_the_difference_of_means(trial: Trial) -> tuple[bool, str]:
    done = trial.run(lr=RATE, optimiser="sgd")
    network = trial.case.network()
    retain, forget = (gradient(trial.case, network, part) for part in (trial.case.retain, trial.case.forget))
    missed = flat(done.after, done.given) - (flat(done.before, done.given) - RATE * (retain - forget))
    furthest = float(missed.abs().max())
    return furthest <= 1e-6, f"misses it by at most {furthest:.1e}"


SUITE = method_suite(
    "Influence approximation unlearning",
    PAPER,
    the_step_is_the_difference_of_means,
    settings={"lr": "η", "optimiser": '"sgd" makes the step itself'},
)
