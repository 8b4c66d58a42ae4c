"""Retraining, SISA and all that claims to be exact: neither the forgotten records nor the old weights matter."""

from __future__ import annotations

import torch

from expunge.testing.conformance._common import forget_set_is_not_read, method_suite, rest_is_kept
from expunge.testing.conformance._suite import invariant
from expunge.testing.conformance._trial import Trial, equal

EXACT = "the definition of exact unlearning"


@invariant("Another trained model of the same shape gives the same weights, bit for bit.", source=EXACT)
def the_old_weights_do_not_matter(trial: Trial) -> tuple[bool, str]:
    other = trial.case.network()
    with torch.no_grad():
        for weight in other.parameters():
            weight.mul_(0.9)
    again = trial.brief(model=other)
    differing = sum(
        not torch.equal(a, b) for a, b in zip(trial.brief().after.values(), again.after.values(), strict=True)
    )
    return equal(trial.brief(), again), f"{differing} tensors differ"


SUITE = method_suite(
    "Exact unlearning",
    EXACT,
    the_old_weights_do_not_matter,
    forget_set_is_not_read(EXACT),
    rest_is_kept("a model that was not trained is no model", points=8),
)
