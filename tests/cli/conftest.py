"""Recipes small enough to run whole within a second or two, and runs made from them once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from entry_point import DIGITS, done

AUTHORS = """\
original:
  train:
    data:
      {name: fictitious, preset: demo, authors: 8, forget_authors: 2, holdout_authors: 2, validation_authors: 2,
       evaluated_authors: 2, values: {city: 8, genre: 8, award: 8}, world_facts: 4, real_authors: 0}
    learner: {kind: causal_lm, model: {name: llama, layers: 1, width: 32, heads: 2}, tokenizer: {kind: word}}
    train: {epochs: 1}
request: {forget: forget, holdout: holdout}
method: {name: npo}
train: {epochs: 1}
retrained: {seeds: [11]}
audit: {max_new_tokens: 4, replicates: 100}
"""


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep trained models out of the user's cache, for all tests of this worker."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("EXPUNGE_CACHE")
    os.environ["EXPUNGE_CACHE"] = str(folder)
    yield folder
    os.environ.pop("EXPUNGE_CACHE")
    if before is not None:
        os.environ["EXPUNGE_CACHE"] = before


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run on a classifier. Read it only."""
    out = tmp_path_factory.mktemp("runs") / "digits"
    done("forget", *DIGITS, "--out", out)
    return out


@pytest.fixture(scope="session")
def authors_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe for a language model of one block."""
    path = tmp_path_factory.mktemp("recipes") / "tiny_authors.yaml"
    path.write_text(AUTHORS)
    return path


@pytest.fixture(scope="session")
def authors_run(authors_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run on a language model. Read it only."""
    out = tmp_path_factory.mktemp("runs") / "authors"
    done("forget", authors_recipe, "--workers", 1, "--out", out)
    return out


@pytest.fixture(scope="session")
def classifier_folder(digits_original, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved classifier of digits."""
    folder = tmp_path_factory.mktemp("models") / "classifier"
    digits_original.save(folder)
    return folder


@pytest.fixture(scope="session")
def lm_folder(tiny_lm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved language model."""
    folder = tmp_path_factory.mktemp("models") / "lm"
    tiny_lm.save(folder)
    return folder
