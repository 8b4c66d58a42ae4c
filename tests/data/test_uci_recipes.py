"""The recipes that forget mixtures of concrete name sets that are there, and methods and models that fit them."""

import os
from pathlib import Path

import pytest

from expunge import lineage
from expunge.recipe import read_recipe

REAL = Path(os.environ.get("EXPUNGE_DATA", Path(__file__).parents[2] / "../shared/data")) / "uci_regression"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="no UCI tables: set EXPUNGE_DATA")


@needs_real
@pytest.mark.parametrize(("name", "forgotten"), [("uci_random", 82), ("uci_range", 100)])
def test_the_request_of_a_recipe_resolves(name, forgotten):
    request = lineage.resolve(read_recipe(name, overrides=[f"original.train.data.folder={REAL}"]))
    assert {role: len(ids) for role, ids in request.ids.items()} == {
        "forget": forgotten, "retain": 827 - forgotten, "holdout": 100, "test": 103,
    }  # fmt: skip


@needs_real
def test_a_range_holds_every_trained_record_inside_and_none_outside():
    request = lineage.resolve(read_recipe("uci_range", overrides=[f"original.train.data.folder={REAL}"]))
    targets = {role: request.dataset.values("target", request.ids[role]) for role in ("forget", "retain")}
    assert targets["forget"].min() > 1.2 >= targets["retain"].max()
