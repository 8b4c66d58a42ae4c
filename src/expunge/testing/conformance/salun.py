"""SalUn: only the weights that the forget set's loss depends on most are trained."""

from __future__ import annotations

from expunge.testing.conformance._common import class_is_forgotten, method_suite, rest_is_kept
from expunge.testing.conformance._suite import invariant
from expunge.testing.conformance._trial import Trial, gradient

PAPER = "arXiv:2310.12508"
HALF = 0.5


@invariant(
    f"With threshold {HALF} at least half of the weights stay bit for bit, momentum and weight decay included.",
    source="masked gradients alone leave weight decay and momentum to move masked weights",
)
def masked_weights_stay(trial: Trial) -> tuple[bool, str]:
    share = float(trial.run(threshold=HALF).moved().float().mean())
    return 0 < share <= HALF + 1e-3, f"{100 * share:.1f} % of the weights moved"


@invariant("The weights that move are those of the largest gradient of the forget set's loss.", source=f"{PAPER}, mask")
def the_mask_is_the_forget_sets(trial: Trial) -> tuple[bool, str]:
    moved = trial.run(threshold=HALF).moved()
    size = gradient(trial.case, trial.case.network(), trial.case.forget).abs()
    largest = size >= size.topk(max(1, int(HALF * len(size)))).values[-1]
    share = float((moved & largest).sum() / moved.sum().clamp_min(1))
    return share >= 0.9, f"{100 * share:.1f} % of the weights that moved are in the largest half"


@invariant("More weights move at threshold .5 than at .1.", source=f"{PAPER}, mask")
def the_threshold_is_heeded(trial: Trial) -> tuple[bool, str]:
    few, many = (trial.brief(threshold=t).moved().float().mean() for t in (0.1, HALF))
    return bool(0 < few < many), f"{100 * few:.1f} % and {100 * many:.1f} %"


SUITE = method_suite(
    "SalUn for classifiers",
    PAPER,
    masked_weights_stay,
    the_mask_is_the_forget_sets,
    the_threshold_is_heeded,
    class_is_forgotten(f"{PAPER}, class forgetting", at_most=20),
    rest_is_kept(f"{PAPER}, class forgetting"),
    settings={"threshold": "share of weights that may move"},
)
