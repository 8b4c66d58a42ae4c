"""A cache of answers that forgets what shaped them, sown here on purpose, is caught by the check named for it."""

import copy

import pytest

from expunge.auditing import Passes
from expunge.testing import PASS_CHECKS, ContractError, check_passes, tiny


class IgnoresWeights(Passes):
    """Knows a model by its kind alone."""

    def key(self, learner, want, identity):
        return super().key(learner, want, learner.kind)


class IgnoresGuard(Passes):
    """Knows a model by its weights alone."""

    def key(self, learner, want, identity):
        bare = copy.copy(learner)
        bare.guards = []
        return super().key(learner, want, bare.hash())


class IgnoresRecords(Passes):
    """Knows a question by its role alone."""

    def key(self, learner, want, identity):
        return super().key(learner, want, identity) if not self.request.ids else f"{identity}-{want.role}-{want.field}"


class NeverTheSame(Passes):
    """Asks every time."""

    def key(self, learner, want, identity):
        return super().key(learner, want, str(id(learner)))


@pytest.mark.parametrize("kind", ["classifier", "causal_lm"])
@pytest.mark.parametrize(
    ("defect", "check"),
    [
        (IgnoresWeights, "answers_follow_the_weights"),
        (IgnoresGuard, "answers_follow_the_guard"),
        (IgnoresRecords, "answers_follow_the_records"),
        (NeverTheSame, "equal_models_are_asked_once"),
    ],
)
def test_a_pass_cache_that_ignores_what_shapes_an_answer_is_caught(kind, defect, check):
    assert check in PASS_CHECKS
    check_passes(Passes, *tiny(kind), only=[check])
    with pytest.raises(ContractError, match=f"^{check}: "):
        check_passes(defect, *tiny(kind), only=[check])


class IgnoresTemplate(Passes):
    """Knows a question by the model and its records."""

    def key(self, learner, want, identity):
        plain = copy.copy(learner)
        plain.template = "plain"
        return super().key(plain, want, identity)


def test_a_pass_cache_that_ignores_the_template_is_caught():
    check = "answers_follow_the_template"
    check_passes(Passes, *tiny("causal_lm"), only=[check])
    with pytest.raises(ContractError, match=f"^{check}: "):
        check_passes(IgnoresTemplate, *tiny("causal_lm"), only=[check])
