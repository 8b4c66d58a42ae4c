"""Boundary shrink: the step across a line by hand, what is taught, what is never read, and a class forgotten."""

import numpy as np
import pytest
import torch
from torch import nn

from expunge.data import Dataset
from expunge.errors import ConfigError, LearnerError
from expunge.learners import Classifier
from expunge.methods.boundary_shrink import BoundaryShrink
from expunge.models import llama
from expunge.request import ForgetRequest, Resolved
from expunge.train import Run

TRAIN = {"epochs": 10, "lr": 1e-4, "batch_size": 64, "optimiser": "sgd", "momentum": 0.9, "clip": None}


@pytest.fixture
def line():
    """Class 1 right of 0, in one dimension; records at 0.1, 0.5 and -0.3 of the classes 1, 1 and 0."""
    data = Dataset(
        "line",
        ["near", "far", "other"],
        {"x": np.array([[0.1], [0.5], [-0.3]], np.float32), "label": np.array([1, 1, 0])},
    )
    model = nn.Linear(1, 2, bias=False)
    nn.init.constant_(model.weight, 1.0)
    with torch.no_grad():
        model.weight[0] = -1
    return Run(Classifier(model), ForgetRequest(data, forget=["near", "far"]).resolve(), BoundaryShrink(bound=0.2))


def test_only_what_is_within_the_bound_crosses_the_boundary(line):
    line.method.begin(line)
    assert line.artefacts["across"].gather(["near", "far"]).tolist() == [0, 1]
    assert line.log == [{"step": 0, "relabelled": 0.5}]


@pytest.mark.parametrize(("bound", "share"), [(0.05, 0.0), (0.11, 0.5), (0.51, 1.0)])
def test_the_share_that_crosses_grows_with_the_bound(line, bound, share):
    line.method = BoundaryShrink(bound=bound)
    line.method.begin(line)
    assert line.log[0]["relabelled"] == share


def test_the_step_is_the_bound_in_every_input_and_uphill(begin):
    run = begin(BoundaryShrink(bound=0.07))
    batch = run.batch(run.ids("forget")[:8], "forget")
    inputs = batch.inputs["x"].clone().requires_grad_()
    loss = -run.learner.model(inputs).log_softmax(-1)[:, 3].sum()
    (uphill,) = torch.autograd.grad(loss, inputs)
    moved = run.method.step(batch.inputs["x"], uphill)
    assert (moved - batch.inputs["x"]).abs().max() == pytest.approx(0.07, rel=1e-4)
    assert (-run.learner.model(moved).log_softmax(-1)[:, 3]).sum() > loss
    assert run.artefacts["across"].gather(batch.ids).tolist() == run.learner.model(moved).argmax(1).tolist()


def test_the_loss_is_the_likelihood_of_the_class_across(begin, parts_of):
    run = begin(BoundaryShrink())
    batch = run.batch(run.ids("forget")[:6], "forget")
    label = batch.stored["across"]
    assert (label != 3).any()
    expected = -run.learner.model(batch.inputs["x"]).log_softmax(-1).gather(1, label[:, None]).mean()
    assert parts_of(run)[1] == {"forget": pytest.approx(expected.item(), rel=1e-5)}


def test_finding_the_class_leaves_no_gradient_on_the_weights(begin):
    run = begin(BoundaryShrink())
    assert all(weight.grad is None for weight in run.learner.trainable().values())


def test_the_retain_set_is_never_read(begin, digits_request):
    nothing = Resolved(digits_request.dataset, {**digits_request.ids, "retain": []})
    hashes = [begin(BoundaryShrink(), "classifier", r, steps=3).execute().hash() for r in (digits_request, nothing)]
    assert hashes[0] == hashes[1]


def test_a_class_is_forgotten_and_most_of_the_others_stays(begin, digits_request):
    learner = begin(BoundaryShrink(), **TRAIN).execute()
    hits = {r: learner.score(digits_request.dataset, digits_request.ids[r])[""]["hit"] for r in ("forget", "retain")}
    assert hits["forget"].mean() <= 0.05
    assert hits["retain"].mean() >= 0.9


def test_inputs_that_are_text_are_refused():
    from transformers import BertConfig, BertForSequenceClassification

    texts = ["red ball", "blue ball", "old book", "new book"]
    reader = llama.tokenizer(texts)
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    model = BertForSequenceClassification(BertConfig(vocab_size=len(reader), num_labels=2, **small))
    data = Dataset("texts", list("abcd"), {"text": texts, "label": np.array([0, 0, 1, 1])})
    run = Run(
        Classifier(model, tokenizer=reader, max_length=8), ForgetRequest(data, forget=["a"]).resolve(), BoundaryShrink()
    )
    with pytest.raises(LearnerError, match="boundary_shrink: the inputs are text") as caught:
        run.execute()
    assert caught.value.hint


def test_a_bound_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="boundary_shrink: bound must be > 0"):
        BoundaryShrink(bound=0)


def test_twenty_steps_give_the_committed_losses(begin, check_trajectory):
    check_trajectory("boundary_shrink", begin(BoundaryShrink(), steps=20, lr=1e-4, batch_size=100, optimiser="sgd"))
