"""The digits: sizes, splits and stability."""

from collections import Counter

import numpy as np
import pytest

from expunge import registry
from expunge.data import digits
from expunge.errors import ConfigError

FINGERPRINT = "bb8f8372bbcc150f960121fb773a276c6acc536cead044084fb0251ee38ebf72"


def test_the_registry_finds_the_reader():
    assert registry.find("data", "digits") is digits


def test_there_are_1300_images_to_train_on_and_497_to_test_on():
    dataset = digits.load()
    assert Counter(dataset.column("split")) == {"train": 1300, "test": 497}
    assert dataset.column("image").shape == (1797, 64)
    assert dataset.column("image").dtype == np.float32
    assert (dataset.column("image").min(), dataset.column("image").max()) == (0, 1)
    assert dataset.column("label").dtype == np.int64
    assert set(dataset.column("label")) == set(range(10))


def test_a_holdout_is_taken_from_the_training_records_only():
    with_holdout, without = digits.load(holdout=100), digits.load()
    assert with_holdout.split("test") == without.split("test")
    assert len(with_holdout.split("holdout")) == 100
    assert set(with_holdout.split("holdout")) < set(without.split("train"))


def test_another_seed_splits_otherwise_and_the_same_seed_alike():
    assert digits.load(seed=1).split("test") != digits.load().split("test")
    assert digits.load().fingerprint == FINGERPRINT


@pytest.mark.parametrize("options", [{"test_fraction": 0}, {"test_fraction": 1.5}, {"holdout": 1300}, {"holdout": -1}])
def test_a_split_that_leaves_nothing_is_refused(options):
    with pytest.raises(ConfigError, match="must be in"):
        digits.load(**options)


def test_confused_labels_change_places_among_what_is_trained_on():
    plain, mixed = digits.load(), digits.load(confuse={"classes": [3, 8], "count": 60})
    true, given = mixed.column("true_label"), mixed.column("label")
    np.testing.assert_array_equal(true, plain.column("label"))
    wrong = np.flatnonzero(true != given)
    assert len(wrong) == 60
    assert sorted(zip(true[wrong].tolist(), given[wrong].tolist(), strict=True)) == [(3, 8)] * 30 + [(8, 3)] * 30
    assert {mixed.ids[row] for row in wrong} <= set(mixed.split("train"))


@pytest.mark.parametrize(
    ("confuse", "message"),
    [
        ({"classes": [3, 8]}, r"must be \{classes: \[a, b\], count: n\}"),
        ({"classes": [3, 3], "count": 2}, r"two different classes, got \[3, 3\]"),
        ({"classes": [3, 8], "count": 3}, r"an even number from 2 to 2\d\d, got 3"),
        ({"classes": [3, 11], "count": 2}, "from 2 to 0, got 2"),
    ],
)
def test_a_confusion_that_cannot_be_made_is_refused(confuse, message):
    with pytest.raises(ConfigError, match=message):
        digits.load(confuse=confuse)
