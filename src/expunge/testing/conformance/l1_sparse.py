"""l1-sparse: fine-tuning on what stays, under a penalty on the sum of all weights' magnitudes."""

from __future__ import annotations

from expunge.testing.conformance._common import forget_set_is_not_read, method_suite, rest_is_kept
from expunge.testing.conformance._suite import invariant
from expunge.testing.conformance._trial import Done, Trial

PAPER = "arXiv:2304.04934"


@invariant("The sum of magnitudes falls as alpha rises over 0, 1e-3, 1e-2.", source=f"{PAPER}, the penalty")
def the_norm_falls_with_alpha(trial: Trial) -> tuple[bool, str]:
    norms = [_norm(trial.brief(alpha=a)) for a in (0.0, 1e-3, 1e-2)]
    return norms[0] > norms[1] > norms[2], ", ".join(f"{n:.1f}" for n in norms)


def _norm(done: Done) -> float:
    return sum(float(p.detach().abs().sum()) for p in done.model.parameters())


SUITE = method_suite(
    "l1-sparse",
    PAPER,
    forget_set_is_not_read(f"{PAPER}, the variant without pruning"),
    the_norm_falls_with_alpha,
    rest_is_kept(PAPER),
    settings={"alpha": "weight of the penalty, nats a unit of weight"},
)
