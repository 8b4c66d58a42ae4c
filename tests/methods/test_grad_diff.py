"""GradDiff: each term alone, both, and none."""

import pytest
from torch.testing import assert_close

from expunge.errors import ConfigError
from expunge.methods.finetune import Finetune
from expunge.methods.grad_diff import GradDiff
from expunge.methods.gradient_ascent import GradientAscent


def total(parts):
    """Sum of the gradients of all parts."""
    return {name: sum(part[name] for part in parts.values()) for name in next(iter(parts.values()))}


def test_without_retain_weight_it_is_gradient_ascent(begin, parts_of, kind):
    found = total(parts_of(begin(GradDiff(retain_weight=0), kind))[0])
    ascent = total(parts_of(begin(GradientAscent(), kind))[0])
    for name, gradient in found.items():
        assert_close(gradient, ascent[name], rtol=0, atol=0)


def test_without_forget_weight_it_is_fine_tuning(begin, parts_of, kind):
    found = total(parts_of(begin(GradDiff(forget_weight=0), kind))[0])
    tuned = total(parts_of(begin(Finetune(), kind))[0])
    for name, gradient in found.items():
        assert_close(gradient, tuned[name], rtol=0, atol=0)


def test_the_weights_multiply_their_terms(begin, parts_of, kind):
    plain, weighted = (parts_of(begin(m, kind)) for m in (GradDiff(), GradDiff(forget_weight=3, retain_weight=0.5)))
    assert weighted[1]["forget"] == pytest.approx(3 * plain[1]["forget"], rel=1e-5)
    assert weighted[1]["retain"] == pytest.approx(0.5 * plain[1]["retain"], rel=1e-5)


def test_the_kl_retain_term_is_zero_at_the_start(begin, parts_of, kind):
    assert parts_of(begin(GradDiff(retain_loss="kl"), kind))[1]["retain"] == pytest.approx(0, abs=1e-5)


def test_without_any_weight_nothing_moves(begin):
    run = begin(GradDiff(forget_weight=0, retain_weight=0), steps=3)
    before = run.learner.hash()
    assert run.execute().hash() == before


def test_a_negative_weight_is_refused():
    with pytest.raises(ConfigError, match="grad_diff: forget_weight must be ≥ 0"):
        GradDiff(forget_weight=-0.1)


def test_twenty_steps_give_the_committed_losses(begin, check_trajectory):
    check_trajectory("grad_diff", begin(GradDiff(), "causal_lm", steps=20, lr=1e-3, batch_size=4))
