"""Every method and every modifier on every kind of learner holds to the public contract.

On the kinds that a card lists, all of it. On the others, what protects a user who tries nevertheless: it is refused or
runs, warns, and reads no record that it may not.
"""

import pytest

from expunge.registry import find, names
from expunge.testing import METHOD_CHECKS, check_method, tiny

KINDS = ("classifier", "regressor", "causal_lm")
WHERE_UNTESTED = ("warns_on_an_untested_learner", "condemned_are_read_only_to_be_forgotten")


def cases(ideas):
    listed = {name: find(ideas, name).card.learners for name in names(ideas)}
    return [
        (name, kind, check)
        for name in listed
        for kind in KINDS
        for check in METHOD_CHECKS
        if kind in (listed[name] or KINDS[:1]) or check in WHERE_UNTESTED
    ]


@pytest.mark.parametrize(("method", "kind", "check"), cases("methods"))
def test_every_method_on_every_learner(method, kind, check):
    check_method(find("methods", method)(), *tiny(kind), only=[check])


@pytest.mark.parametrize(("modifier", "kind", "check"), cases("modifiers"))
def test_every_modifier_on_every_learner(modifier, kind, check):
    check_method(find("methods", "grad_diff")(), *tiny(kind), modifiers=[find("modifiers", modifier)()], only=[check])
