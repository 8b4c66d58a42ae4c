"""NegGrad+: descent on the retain set and, by a share 1 − α, ascent on the forget set."""

from __future__ import annotations

from expunge.testing.conformance._common import class_is_forgotten, method_suite, rest_is_kept, retain_set_is_read
from expunge.testing.conformance._suite import invariant
from expunge.testing.conformance._trial import Trial, equal

PAPER = "arXiv:2302.09880"


@invariant(
    "With alpha = 1 other records in the forget set give the same weights, bit for bit.",
    source=f"{PAPER}: α weighs the retain set; swapped weights are a common slip",
)
def alpha_weighs_the_retain_set(trial: Trial) -> tuple[bool, str]:
    x, y = trial.case.forget
    plain, other = trial.brief(alpha=1.0), trial.brief(alpha=1.0, forget=(1 - x, (y + 1) % 10))
    return equal(plain, other), f"{int((plain.moved() & other.moved()).sum())} weights moved in both runs"


SUITE = method_suite(
    "NegGrad+",
    PAPER,
    alpha_weighs_the_retain_set,
    retain_set_is_read("a retain gradient that was computed on the forget loader, in public code"),
    class_is_forgotten(PAPER),
    rest_is_kept(f"{PAPER}; an unbounded forget loss takes the model with it", points=8),
    settings={"alpha": "weight of the retain set's loss, 0 to 1"},
)
