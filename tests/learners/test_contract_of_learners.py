"""Learners on every family of network hold to the public contract."""

import pytest
from families import CLASSIFIERS, LANGUAGE_MODELS

from expunge.testing import LEARNER_CHECKS, check_learner


@pytest.mark.parametrize("check", LEARNER_CHECKS)
@pytest.mark.parametrize("name", [*LANGUAGE_MODELS, *CLASSIFIERS])
def test_every_family_of_network(name, check, make, data_for):
    dataset = data_for(name)
    check_learner(lambda: make(name), dataset, dataset.ids[:9], only=[check])
