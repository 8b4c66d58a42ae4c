"""W₁ of pooled predictions: its closed form, its limits, and the same under weights."""

import numpy as np
import pytest
from answers import answers
from scipy.stats import wasserstein_distance

from expunge.auditing._bootstrap import Units, resample
from expunge.errors import DataError
from expunge.metrics import Want
from expunge.metrics.prediction_distance import PredictionDistance
from expunge.metrics.wasserstein import Wasserstein, weighted_w1

FORGET = Want("forget")


def predicted(values, ids=None):
    """A regressor's answers; what is true plays no part."""
    values = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    ids = ids or [f"r{n}" for n in range(len(values))]
    return {FORGET: answers(ids, np.zeros(len(values)), truth=np.zeros_like(values), prediction=values)}


def w1(own, *others):
    return Wasserstein().measure(predicted(own), [predicted(o) for o in others]).estimate()[0]


def test_it_is_the_mean_difference_of_sorted_predictions():
    draw = np.random.default_rng(0)
    own, other = draw.normal(size=40), draw.exponential(size=40)
    assert w1(own, other) == pytest.approx(np.abs(np.sort(own) - np.sort(other)).mean(), rel=1e-12)
    assert w1([0, 0, 6], [1, 2, 3]) == 2


def test_a_shift_costs_its_length_and_swapped_places_nothing():
    own = [0.0, 1.0, 5.0]
    assert w1(own, [v + 2.5 for v in own]) == pytest.approx(2.5)
    assert w1(own, own[::-1]) == 0
    assert w1([v * 3 for v in own], [0, 0, 0]) == pytest.approx(3 * w1(own, [0, 0, 0]))


def test_it_averages_over_retrained_models_and_targets_and_never_exceeds_the_distance_by_record():
    own, first, second = [[0, 0], [1, 10]], [[1, 10], [0, 20]], [[3, 0], [4, 10]]
    measure = Wasserstein().measure(predicted(own), [predicted(first), predicted(second)])
    assert measure.estimate()[0] == np.mean([0, 10, 3, 0])
    by_record = PredictionDistance().measure(predicted(own), [predicted(first), predicted(second)])
    assert measure.estimate()[0] == pytest.approx(by_record.parts["w1"])
    assert measure.estimate()[0] <= by_record.estimate()[0]


def test_weights_count_as_repeated_records():
    draw = np.random.default_rng(1)
    own, other = draw.normal(size=12), draw.normal(1, 2, size=12)
    counts = draw.integers(0, 4, size=(5, 12))
    measure = Wasserstein().measure(predicted(own), [predicted(other)])
    wanted = [wasserstein_distance(np.repeat(own, c), np.repeat(other, c)) for c in counts]
    np.testing.assert_allclose(measure.estimate(np.tile(counts, 2).astype(float)), wanted, rtol=1e-12)
    unlike = np.concatenate([counts[0], counts[1]]).astype(float)[None]
    found = weighted_w1(measure.values, measure.group, unlike)
    assert found[0] == pytest.approx(wasserstein_distance(np.repeat(own, counts[0]), np.repeat(other, counts[1])))


def test_the_bootstrap_weighs_a_record_alike_in_all_models():
    own = np.random.default_rng(2).normal(size=30)
    measure = Wasserstein().measure(predicted(own), [predicted(own + 1), predicted(own + 3)])
    drawn = resample([measure], Units.of(measure), replicates=20, seed=0)
    np.testing.assert_allclose(drawn, 2.0)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(DataError, match="at least one retrained"):
        Wasserstein().measure(predicted([1, 2]))
    with pytest.raises(DataError, match="other records or targets"):
        Wasserstein().measure(predicted([1, 2]), [predicted([1, 2], ["r0", "r9"])])
    with pytest.raises(DataError, match="needs a regressor's answers"):
        Wasserstein().measure({FORGET: answers("ab", [1, 2])}, [predicted([1, 2])])
