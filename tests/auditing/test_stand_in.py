"""Without retrained models: what stands in is named, read, and never taken for retraining."""

import numpy as np
import pytest

from expunge.auditing import classify, score
from expunge.auditing._scores import StandIn
from expunge.auditing.verdict import gather
from expunge.metrics import Block, Want
from expunge.metrics.probability import Probability


def block(probabilities, role):
    """One token an answer, so that its probability is the figure."""
    n = len(probabilities)
    none = np.zeros(n, dtype=np.float32)
    ids = [f"{role}/{k}" for k in range(n)]
    return {Want(role, "answer"): Block(ids, np.arange(n + 1), np.log(np.array(probabilities)), none > 0, none, none)}


def read(unlearned, original, unseen):
    """The score of an unlearned model when only the original's holdout figure is known."""
    holdout = Probability(role="holdout").measure(block(unseen, "holdout"))
    return score(
        Probability(),
        unlearned=block(unlearned, "forget"),
        original=block(original, "forget"),
        stand_in=StandIn(measure=holdout, what="what the original says of the holdout set"),
        needed=3,
    )


def test_e_is_read_against_what_stands_in():
    found = read([0.5] * 40, [0.9] * 40, [0.1] * 40)
    assert found.e == pytest.approx((0.5 - 0.1) / (0.9 - 0.1))
    assert found.surrogate.value == pytest.approx(0.1)
    assert found.retrained == []
    assert found.state == "no-reference"
    assert "holdout" in found.note


def test_an_untouched_model_is_seen_through_and_a_forgetful_one_stays_inconclusive():
    untouched = classify(gather([read([0.9] * 40, [0.9] * 40, [0.1] * 40)]))
    forgetful = classify(gather([read([0.1] * 40, [0.9] * 40, [0.1] * 40)]))
    assert untouched.slug == "not-forgotten"
    assert forgetful.slug == "inconclusive"
    for verdict in (untouched, forgetful):
        assert "surrogate-reference" in verdict.flags


def test_a_stand_in_is_not_used_beside_a_retrained_model():
    with_both = score(
        Probability(),
        unlearned=block([0.5] * 40, "forget"),
        original=block([0.9] * 40, "forget"),
        retrained=[block([0.2] * 40, "forget"), block([0.21] * 40, "forget"), block([0.19] * 40, "forget")],
        stand_in=StandIn(measure=Probability(role="holdout").measure(block([0.1] * 40, "holdout")), what="holdout"),
    )
    assert with_both.surrogate is None
    assert with_both.e == pytest.approx((0.5 - 0.2) / (0.9 - 0.2))
