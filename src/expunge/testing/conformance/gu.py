"""GU: what would move the retain loss to first order is taken out of every update."""

from __future__ import annotations

from expunge.testing.conformance._common import method_suite
from expunge.testing.conformance._suite import invariant
from expunge.testing.conformance._trial import Trial, accuracy, flat, gradient, outputs

PAPER = "arXiv:2511.17100"
ALIGNED = 1e-3


@invariant(
    f"One step is at right angles to the retain set's whole gradient, to {ALIGNED:g} of both lengths: the step "
    "that the optimiser made, whatever its momentum and decay.",
    source=f"{PAPER}; a projected gradient says nothing of Adam's step",
)
def one_step_keeps_the_retain_loss(trial: Trial) -> tuple[bool, str]:
    done = trial.run(steps=1, retain_batch=len(trial.case.retain[0]))
    step = (flat(done.after, done.given) - flat(done.before, done.given)).double()
    against = gradient(trial.case, trial.case.network(), trial.case.retain).double()
    cosine = float(step @ against / (step.norm() * against.norm()))
    return abs(cosine) <= ALIGNED, f"cosine {cosine:.2g}"


@invariant(
    "After 30 steps of ascent at lr .05 at least 96 % of the retain set are recognised, and the forget loss has risen.",
    source="a basis that is never refreshed protects no better than none, in released code",
)
def the_basis_follows_the_weights(trial: Trial) -> tuple[bool, str]:
    model = trial.run(steps=30, lr=0.05).model
    x, y = trial.case.forget
    before, after = (float(trial.case.loss(outputs(m, x), y)) for m in (trial.case.network(), model))
    kept = accuracy(model, trial.case.retain)
    return kept >= 96 and after > before, f"{kept:.1f} % of the retain set, forget loss {before:.3g} to {after:.3g}"


SUITE = method_suite(
    "GU, over gradient ascent with plain SGD, gradients clipped to length 1, batches of 64",
    PAPER,
    one_step_keeps_the_retain_loss,
    the_basis_follows_the_weights,
    settings={
        "steps": "steps in all",
        "lr": "learning rate of the ascent",
        "retain_batch": "records of one retain gradient",
    },
)
