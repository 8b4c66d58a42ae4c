"""Shapes that public tensor functions promise are checked in the test run."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from jaxtyping import TypeCheckError

from expunge.data import Dataset
from expunge.learners import Classifier, Part
from expunge.modifiers.gu import orthonormal


def test_a_tensor_of_another_rank_is_refused(digits_original: Classifier):
    with pytest.raises(TypeCheckError, match="states_ND"):
        digits_original.head(torch.zeros(3))


def test_an_axis_that_contradicts_another_argument_is_refused(digits_original: Classifier, digits_data: Dataset):
    batch = digits_original.collate(digits_data, digits_data.ids[:4])
    with pytest.raises(TypeCheckError, match="owner"):
        dataclasses.replace(batch, owner=batch.owner[:-1])


def test_a_loss_that_is_no_scalar_is_refused():
    with pytest.raises(TypeCheckError, match="total"):
        Part(torch.zeros(2), 2)


def test_tensors_that_fit_pass():
    assert orthonormal(torch.eye(4)[:, :2], 1e-6).shape == (4, 2)
