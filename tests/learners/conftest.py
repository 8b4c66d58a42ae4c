"""Records and learners for each family of network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from families import build

from expunge.data import Dataset
from expunge.testing import tiny
from expunge.train import copied


@pytest.fixture(scope="session")
def questions() -> Dataset:
    """36 questions with answers of one to five words, and three wrong answers each."""
    return tiny("causal_lm")[1].dataset


@pytest.fixture(scope="session")
def images() -> Dataset:
    """12 images of noise in three classes."""
    noise = np.random.default_rng(0).normal(size=(12, 3, 8, 8)).astype(np.float32)
    return Dataset("images", [f"image/{n}" for n in range(12)], {"image": noise, "label": np.arange(12) % 3})


@pytest.fixture(scope="session")
def points() -> Dataset:
    """36 points of four coordinates in three classes."""
    return tiny("classifier")[1].dataset


@pytest.fixture(scope="session")
def texts(questions: Dataset) -> Dataset:
    """Answers of unequal length as texts in three classes."""
    return Dataset("texts", questions.ids, {"text": questions.columns["answer"], "label": np.arange(36) % 3})


@pytest.fixture(scope="session")
def make(questions: Dataset):
    """Name of a family to a new learner of it, always with the same weights."""
    built = {}

    def new(name: str):
        if name not in built:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                built[name] = build(name, questions)
        return copied(built[name])

    return new


@pytest.fixture(scope="session")
def data_for(questions, images, points, texts):
    """Name of a family to records that fit it."""

    def find(name: str) -> Dataset:
        return {"mlp": points, "resnet": images, "vit": images, "bert": texts}.get(name, questions)

    return find
