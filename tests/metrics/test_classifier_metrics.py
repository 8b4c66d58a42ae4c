import numpy as np
import pytest
from answers import answers, classified

from expunge.errors import DataError
from expunge.metrics import Want
from expunge.metrics.accuracy import Accuracy
from expunge.metrics.loss_attack import LossAttack
from expunge.metrics.softmax_distance import SoftmaxDistance

FORGET, TEST = Want("forget"), Want("test")


def test_accuracy_is_one_minus_ua_on_the_forget_set_and_ra_or_ta_elsewhere():
    block = classified("abcd", [[0.7, 0.3], [0.2, 0.8], [0.6, 0.4], [0.9, 0.1]], [0, 1, 1, 0])
    measure = Accuracy().measure({FORGET: block})
    assert measure.estimate()[0] == 0.75
    assert measure.parts == {"ua": 0.25}
    assert measure.chance == 0.5
    assert [Accuracy(role=r).label for r in ("forget", "retain", "test")] == [
        "accuracy (forget, 1 − UA)", "accuracy (retain, RA)", "accuracy (test, TA)",
    ]  # fmt: skip
    assert [Accuracy(role=r).family for r in ("forget", "retain", "test")] == ["behaviour", "utility", "utility"]


def test_accuracy_does_not_take_nan_for_a_miss():
    block = classified("ab", [[0.7, 0.3], [np.nan, np.nan]], [0, 1])
    with pytest.raises(DataError, match="record 'b'"):
        Accuracy().measure({FORGET: block})


@pytest.mark.parametrize(
    ("members", "others", "auc"),
    [([3, 4], [1, 2], 1.0), ([1, 2], [3, 4], 0.0), ([2, 2], [2, 2], 0.5), ([1, 3], [2], 0.5), ([2, 3], [1, 2], 0.875)],
)
def test_loss_attack_is_the_area_under_the_curve_with_ties_at_one_half(members, others, auc):
    blocks = {
        FORGET: answers([f"m{i}" for i in range(len(members))], [-v for v in members]),
        TEST: answers([f"o{i}" for i in range(len(others))], [-v for v in others]),
    }
    assert LossAttack().measure(blocks).estimate()[0] == auc


def test_loss_attack_compares_with_unseen_records_of_the_same_classes_only():
    member = classified("ab", [[0.9, 0.1], [0.8, 0.2]], [0, 0])
    other = classified("cde", [[0.5, 0.5], [0.0, 1.0], [0.85, 0.15]], [0, 1, 0])
    measure = LossAttack().measure({FORGET: member, TEST: other})
    assert measure.ids == ["a", "b", "c", "e"]
    assert measure.estimate()[0] == 0.75
    with pytest.raises(DataError, match="no test record has a class"):
        LossAttack().measure({FORGET: member, TEST: classified("c", [[0.5, 0.5]], [1])})


def test_softmax_distance_averages_over_records_and_retrained_models():
    own = classified("ab", [[1.0, 0.0], [0.5, 0.5]], [0, 0])
    one = classified("ab", [[0.0, 1.0], [0.5, 0.5]], [0, 0])
    two = classified("ab", [[0.8, 0.2], [0.4, 0.6]], [0, 0])
    measure = SoftmaxDistance().measure({FORGET: own}, [{FORGET: one}, {FORGET: two}])
    np.testing.assert_allclose(measure.values, [(2 + 0.4) / 2, (0 + 0.2) / 2])
    with pytest.raises(DataError, match="other records"):
        SoftmaxDistance().measure({FORGET: own}, [{FORGET: classified("ac", [[0.5, 0.5]] * 2, [0, 0])}])
