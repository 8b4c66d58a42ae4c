"""A classifier scores its one class, and says in one line what does not fit."""

import numpy as np
import pytest
import torch
from torch import nn

from expunge.data import Dataset
from expunge.errors import DataError, LearnerError
from expunge.learners import Classifier


@pytest.mark.parametrize(
    ("name", "layer", "width"), [("mlp", "1", 8), ("resnet", "stem", None), ("vit", "classifier", 3)]
)
def test_features_come_from_the_named_layer(make, data_for, name, layer, width):
    learner, data = make(name), data_for(name)
    with learner.evaluating():
        found = learner.features(learner.collate(data, data.ids[:4]), layer)
    assert found.ndim == 2
    assert len(found) == 4
    assert width in (None, found.shape[1])


def test_an_unknown_layer_is_refused_with_the_known(make, points):
    with pytest.raises(LearnerError, match="no layer 'nose'") as error:
        make("mlp").features(make("mlp").collate(points, points.ids[:2]), "nose")
    assert "1" in error.value.hint


def test_texts_are_padded_and_masked(make, texts):
    learner = make("bert")
    with learner.evaluating():
        together = learner.log_probs(learner.collate(texts, texts.ids[:8]))
        alone = torch.cat([learner.log_probs(learner.collate(texts, [i])) for i in texts.ids[:8]])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("name", ["mlp", "resnet", "vit"])
def test_a_wrong_image_shape_is_refused_in_one_line(make, name):
    data = Dataset("wide", ["a", "b"], {"image": np.zeros((2, 1, 9, 5), dtype=np.float32), "label": np.array([0, 1])})
    with pytest.raises(LearnerError, match=r"does not take inputs of shape .*\(1, 1, 9, 5\)") as error:
        make(name).check(data, data.ids)
    assert "\n" not in str(error.value)
    assert "image shape" in error.value.hint


def test_more_classes_than_the_head_has_are_refused(make, points):
    data = Dataset("many", points.ids, {**points.columns, "label": np.arange(36) % 5})
    with pytest.raises(LearnerError, match="class 4, the model's head only 0 to 2"):
        make("mlp").check(data, data.ids)


@pytest.mark.parametrize("labels", [["a", "b"], [0.5, 1.0], [float("inf"), 1], [-2, 0]])
def test_labels_that_number_no_class_are_refused(labels):
    data = Dataset("bad", ["a", "b"], {"features": np.zeros((2, 4), dtype=np.float32), "label": labels})
    with pytest.raises(DataError, match="bad: 'label'"):
        Classifier(nn.Linear(4, 3)).check(data, data.ids)


def test_numbers_that_are_not_finite_are_refused_by_record():
    values = np.zeros((2, 4), dtype=np.float32)
    values[1, 2] = np.nan
    data = Dataset("bad", ["a", "b"], {"features": values, "label": [0, 1]})
    with pytest.raises(DataError, match="record 'b' holds a number that is not finite"):
        Classifier(nn.Linear(4, 3)).check(data, data.ids)


def test_data_without_inputs_and_text_without_tokenizer_are_refused(texts):
    empty = Dataset("bare", ["a"], {"label": [0]})
    with pytest.raises(DataError, match="none of the input fields image, features, x, text"):
        Classifier(nn.Linear(4, 3)).check(empty, empty.ids)
    with pytest.raises(LearnerError, match="came without a tokenizer"):
        Classifier(nn.Linear(4, 3)).check(texts, texts.ids)


def test_a_layer_that_cannot_begin_anew_is_named(points):
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.by = nn.Parameter(torch.ones(4))

        def forward(self, x):
            return x * self.by

    learner = Classifier(nn.Sequential(Scale(), nn.Linear(4, 3)))
    with pytest.raises(LearnerError, match="module '0' cannot be initialised anew") as error:
        learner.fresh(0)
    assert "reset_parameters" in error.value.hint
