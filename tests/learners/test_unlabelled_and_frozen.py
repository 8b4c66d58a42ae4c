"""Missing classes, frozen weights, targets that are no numbers: served where possible, else refused."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from expunge.config import TrainConfig
from expunge.data import Dataset
from expunge.errors import DataError, ExpungeError, LearnerError, UntestedLearnerWarning
from expunge.learners import Classifier, Regressor
from expunge.registry import find, names
from expunge.request import Resolved
from expunge.testing import tiny
from expunge.train import Run

TRAIN = TrainConfig(steps=4, lr=1e-2, batch_size=6)
CARDS = {name: find("methods", name).card for name in names("methods")}
ON_CLASSIFIERS = sorted(n for n, card in CARDS.items() if "classifier" in card.learners)
FREE = {n for n in ON_CLASSIFIERS if "labels" not in CARDS[n].needs and CARDS[n].aim != "control"}


def run(name, request, learner=None):
    made, _ = tiny("classifier")
    learner = learner or made()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UntestedLearnerWarning)
        Run(learner, request, find("methods", name)(), train=TRAIN, start=made()).execute()
    return learner


def without_labels(request, *roles):
    data = request.dataset
    label = np.array(data.columns["label"])
    label[data.rows([i for role in roles for i in request.ids[role]])] = -1
    return Resolved(Dataset(data.name, data.ids, {**data.columns, "label": label}), request.ids, request.target)


@pytest.mark.parametrize("missing", [[-1, 1], [None, 1], [float("nan"), 1.0], np.array([np.nan, 1])])
def test_a_class_may_be_missing_in_any_spelling(missing):
    data = Dataset("part", ["a", "b"], {"features": np.zeros((2, 4), dtype=np.float32), "label": missing})
    learner = Classifier(nn.Linear(4, 3))
    learner.check(data, data.ids)
    assert learner.targets(data).tolist() == [-1, 1]
    assert learner.unlabelled(data, ["b", "a"]) == ["a"]
    assert learner.log_likelihood(learner.collate(data, ["b"])).shape == (1,)
    for read in (learner.log_likelihood, learner.nll, lambda b: learner.read(b, learner.logits(b))):
        with pytest.raises(LearnerError, match=r"reads labels, and 1 record\(s\) of part have none, e.g. 'a'"):
            read(learner.collate(data, data.ids))
    whole = Dataset("none", ["a", "b"], {"features": np.zeros((2, 4), dtype=np.float32)})
    assert learner.unlabelled(whole, whole.ids) == ["a", "b"]


def test_the_features_and_outputs_of_records_without_a_class_are_those_of_any_other(points):
    learner = tiny("classifier")[0]()
    bare = Dataset("bare", points.ids, {"features": points.columns["features"]})
    for read in (learner.logits, learner.features):
        assert torch.equal(read(learner.collate(bare, bare.ids)), read(learner.collate(points, points.ids)))


@pytest.mark.parametrize("name", ON_CLASSIFIERS)
def test_a_card_says_truly_whether_a_method_reads_labels(name):
    request = without_labels(tiny("classifier")[1], "forget", "retain")
    if name in FREE:
        learner = run(name, request)
        assert learner.hash() != tiny("classifier")[0]().hash()
        return
    with pytest.raises(LearnerError, match=f"{name} reads labels") as error:
        run(name, request)
    assert error.value.hint == f"methods that read none: {', '.join(sorted(FREE))}"


def test_labels_may_be_missing_in_a_set_that_a_method_does_not_read():
    request = tiny("classifier")[1]
    run("finetune", without_labels(request, "forget"))
    with pytest.raises(LearnerError, match=r"finetune reads labels, and 18 record\(s\)"):
        run("finetune", without_labels(request, "retain"))


@pytest.mark.parametrize("name", ["scrub", "npo", "ssd", "l1_sparse", "bad_teacher"])
def test_frozen_weights_stay_as_they_are_bit_by_bit(name):
    made, request = tiny("classifier")
    learner = made()
    before = learner.state()
    frozen = [n for n, _ in learner.model.named_parameters()][:2]
    for parameter in list(learner.model.parameters())[:2]:
        parameter.requires_grad_(False)
    after = run(name, request, learner).state()
    assert all(torch.equal(before[n], after[n]) for n in frozen)
    assert any(not torch.equal(before[n], after[n]) for n in before)


def test_a_method_that_changes_weights_refuses_a_model_whose_weights_are_all_frozen():
    made, request = tiny("classifier")
    learner = made()
    learner.model.requires_grad_(False)
    for name in ("scrub", "ssd", "finetune"):
        with pytest.raises(LearnerError, match=f"{name} changes weights, and all of the model's are frozen") as error:
            run(name, request, learner)
        assert "requires_grad_" in error.value.hint
    assert learner.hash() == made().hash()


def test_targets_that_are_not_finite_are_refused_by_record():
    data = Dataset("bad", ["a", "b"], {"features": np.zeros((2, 4), dtype=np.float32), "target": np.array([0, np.nan])})
    with pytest.raises(DataError, match="record 'b' holds a number that is not finite in 'target'"):
        Regressor(nn.Linear(4, 1)).check(data, data.ids)


def test_features_that_cannot_be_found_say_how_to_name_their_layer(points):
    class Sum(nn.Module):
        """No linear layer."""

        def __init__(self):
            super().__init__()
            self.score = nn.Bilinear(4, 4, 3)

        def forward(self, x):
            return self.score(x, x)

    batch = Classifier(Sum()).collate(points, points.ids[:5])
    with pytest.raises(LearnerError, match="no linear layer to be its head") as error:
        Classifier(Sum()).features(batch)
    assert error.value.hint == "name what scores the classes: `head_layer=`; layers: score"
    with pytest.raises(LearnerError, match="no layer 'scores' to be its head"):
        Classifier(Sum(), head_layer="scores").features(batch)
    named = Classifier(Sum(), head_layer="score")
    assert torch.equal(named.features(batch), batch.inputs["x"])


def test_a_module_of_your_own_forgets_and_is_saved_with_how_to_read_it_again(points, tmp_path):
    class Own(nn.Module):
        """Two branches, their product, a head under another name."""

        def __init__(self):
            super().__init__()
            self.left, self.right, self.out = nn.Linear(4, 8), nn.Linear(4, 8), nn.Linear(8, 3)

        def forward(self, x):
            return self.out(self.left(x).tanh() * self.right(x))

    request = tiny("classifier")[1]
    learner = Classifier(Own())
    untouched = learner.hash()
    assert run("scrub", request, learner).hash() != untouched
    learner.save(tmp_path / "own")
    with pytest.raises(ExpungeError, match="does not say how to build its model") as error:
        Classifier.from_pretrained(tmp_path / "own")
    assert "load_state" in error.value.hint
