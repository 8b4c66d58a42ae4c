"""Handwritten digits: 1,797 images of 8 x 8 pixels in ten classes, shipped with scikit-learn."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np

from expunge.data._confused import confused
from expunge.data._dataset import Dataset
from expunge.errors import require

RECORDS = 1797
BRIGHTEST = 16


def load(
    *,
    test_fraction: float = 497 / RECORDS,
    seed: int = 0,
    holdout: int = 0,
    confuse: Mapping[str, Any] | None = None,
) -> Dataset:
    """Return the digits with a seeded split, not stratified by class.

    The subset `random10` is a tenth of what is trained on, drawn at random.

    Columns: `image` [n, 64], float32 in [0, 1]; `label`, int64 in 0..9; `split`. Ids are `digits/<row>` in
    scikit-learn's order.

    Args:
        test_fraction: Share of records in the split `test`, in (0, 1). 1,300 records remain by default.
        seed: Of the split.
        holdout: Number of the remaining records that are set aside as split `holdout`, never trained on.
        confuse: `{classes: [3, 8], count: 60}` gives that many of the records to train on, half of each class, the
            other's label; the column `true_label` has the true ones, so that `{mislabelled: true_label}` finds them.

    Raises:
        ConfigError: A value is out of range.
    """
    from sklearn.datasets import load_digits

    require(0 < test_fraction < 1, f"digits: test_fraction must be in (0, 1), got {test_fraction}")
    tests = round(test_fraction * RECORDS)
    require(0 <= holdout < RECORDS - tests, f"digits: holdout must be in [0, {RECORDS - tests}), got {holdout}")
    images, labels = load_digits(return_X_y=True)
    order = random.Random(seed).sample(range(RECORDS), RECORDS)  # unlike numpy's generators, the same for all versions
    split = ["train"] * RECORDS
    for row in order[:tests]:
        split[row] = "test"
    for row in order[tests : tests + holdout]:
        split[row] = "holdout"
    columns: dict[str, Any] = {
        "image": (images / BRIGHTEST).astype(np.float32),
        "label": labels.astype(np.int64),
        "split": split,
    }
    if confuse is not None:
        columns["true_label"] = columns["label"]
        columns["label"] = confused(columns["label"], order[tests + holdout :], confuse, seed=seed)
    trained = [f"digits/{row}" for row in order[tests + holdout :]]
    subsets = {"random10": sorted(trained[: len(trained) // 10])}
    return Dataset("digits", [f"digits/{row}" for row in range(RECORDS)], columns, subsets)
