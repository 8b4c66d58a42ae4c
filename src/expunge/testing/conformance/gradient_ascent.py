"""Gradient ascent: the forget set's loss is raised, and nothing else is read."""

from __future__ import annotations

from expunge.testing.conformance._common import method_suite, retain_set_is_not_read
from expunge.testing.conformance._suite import invariant
from expunge.testing.conformance._trial import Trial, outputs

PAPER = "arXiv:1911.04933"


@invariant("The forget set's mean loss is higher after than before.", source=f"{PAPER}, negative gradient")
def the_forget_loss_rises(trial: Trial) -> tuple[bool, str]:
    x, y = trial.case.forget
    before, after = (float(trial.case.loss(outputs(m, x), y)) for m in (trial.case.network(), trial.run().model))
    return after > before, f"{before:.4g} before, {after:.4g} after"


SUITE = method_suite("Gradient ascent", PAPER, the_forget_loss_rises, retain_set_is_not_read(f"{PAPER}: it has none"))
