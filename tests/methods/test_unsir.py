"""UNSIR: the noise and what it maximises, the loss of each phase, what is shown and what never is, and refusals."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from expunge.data import Dataset
from expunge.errors import ConfigError, LearnerError, RequestError
from expunge.learners import Classifier
from expunge.methods.unsir import UNSIR
from expunge.models import llama
from expunge.request import ForgetRequest, Resolved
from expunge.testing import METHOD_CHECKS, check_method, tiny
from expunge.train import Run, copied

TRAIN = {"epochs": 5, "lr": 5e-3, "batch_size": 64, "optimiser": "adam", "clip": None}


@pytest.fixture(scope="module")
def two_classes(digits_data) -> Resolved:
    """Forget every training image of 3 and of 8."""
    label = dict(zip(digits_data.ids, digits_data.columns["label"].tolist(), strict=True))
    return ForgetRequest(digits_data, forget=[i for i in digits_data.split("train") if label[i] in (3, 8)]).resolve()


def log_p(run: Run, noise: torch.Tensor, label: int) -> torch.Tensor:
    return run.learner.model(noise).log_softmax(-1)[:, label]


def test_a_step_on_the_noise_follows_the_sign_of_error_less_penalty(begin, two_classes):
    """Adam's first step is its rate in every coordinate, whatever the size of the gradient."""
    options = {"noise": 4, "penalty": 0.03, "noise_lr": 1e-3}
    start, moved = (
        begin(UNSIR(noise_steps=n, **options), request=two_classes).artefacts["noise"].double() for n in (0, 1)
    )
    run = begin(UNSIR(noise=4), request=two_classes)
    run.learner.model.double()
    start.requires_grad_()
    gain = -log_p(run, start[:4], 3).mean() - log_p(run, start[4:], 8).mean()
    (gradient,) = torch.autograd.grad(gain - 0.03 * start.square().sum(1).view(2, 4).mean(1).sum(), start)
    clear = gradient.abs() > 1e-6 * gradient.abs().max()
    assert_close((moved - start)[clear], 1e-3 * gradient.sign()[clear], rtol=0, atol=1e-6)


def test_each_class_has_noise_that_is_nothing_like_it(begin, two_classes):
    run = begin(UNSIR(), request=two_classes)
    plain = begin(UNSIR(noise_steps=0), request=two_classes).artefacts["noise"]
    assert run.method.owners([3, 8], torch.device("cpu")).tolist() == [3] * 256 + [8] * 256
    for label, rows in ((3, slice(0, 256)), (8, slice(256, 512))):
        assert log_p(run, run.artefacts["noise"][rows], label).mean() < log_p(run, plain[rows], label).mean() - 5


def test_impairing_weighs_the_noise_of_all_classes_against_the_kept_records(begin, parts_of, two_classes):
    run = begin(UNSIR(noise=8, noise_weight=0.3), request=two_classes)
    _, values = parts_of(run, phase="impair")
    kept = run.batch(run.ids("retain")[:6], "retain")
    drawn = run.draw("noise/0", kept, 16, per="example")
    owners = torch.tensor([3] * 8 + [8] * 8)[drawn]
    noisy = run.learner.model(run.artefacts["noise"][drawn]).log_softmax(-1).gather(1, owners[:, None])
    assert values["retain"] == pytest.approx(-run.learner.log_likelihood(kept).mean().item() / 1.6, rel=1e-5)
    assert values["noise"] == pytest.approx(-0.6 * noisy.mean().item() / 1.6, rel=1e-5)


def test_repairing_is_the_likelihood_of_the_kept_records(begin, parts_of):
    run = begin(UNSIR())
    found, values = parts_of(run, phase="repair")
    kept = run.batch(run.ids("retain")[:6], "retain")
    assert values == {"retain": pytest.approx(-run.learner.log_likelihood(kept).mean().item(), rel=1e-5)}
    expected = run.learner.gradient(-run.learner.log_likelihood(kept).mean())
    for name, gradient in expected.items():
        assert_close(found["retain"][name], gradient, rtol=1e-4, atol=1e-6)


def test_a_phase_goes_through_the_kept_records_and_repair_has_its_own_optimiser_and_rate(begin):
    run = begin(UNSIR(kept=20, repair_lr=0.25), epochs=2, batch_size=50)
    steps = list(run.method.batches(run))
    assert [(s.phase, s.optimiser, s.lr_scale) for s in steps] == [("impair", "main", 1.0)] * 8 + [
        ("repair", "repair", 0.25)
    ] * 8
    label = dict(zip(run.request.dataset.ids, run.request.dataset.columns["label"].tolist(), strict=True))
    for epoch in (steps[:4], steps[4:8], steps[12:]):
        shown = [i for s in epoch for i in s.ids["retain"]]
        assert len(set(shown)) == len(shown) == 180
        assert np.bincount([label[i] for i in shown], minlength=10).tolist() == [20, 20, 20, 0] + [20] * 6


def test_of_the_forget_set_only_the_labels_are_read(begin, digits_request):
    data = digits_request.dataset
    images = data.columns["image"].copy()
    images[data.rows(digits_request.ids["forget"])] = 0
    blank = Resolved(Dataset(data.name, data.ids, data.columns | {"image": images}), digits_request.ids)
    hashes = [begin(UNSIR(), request=r, steps=3).execute().hash() for r in (digits_request, blank)]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("classes", ["digits_request", "two_classes"])
def test_classes_are_forgotten_and_the_others_stay(begin, classes, request):
    asked = request.getfixturevalue(classes)
    learner = begin(UNSIR(), request=asked, **TRAIN).execute()
    hits = {r: learner.score(asked.dataset, asked.ids[r])[""]["hit"] for r in ("forget", "retain")}
    assert hits["forget"].mean() <= 0.05
    assert hits["retain"].mean() >= 0.95


@pytest.mark.parametrize("check", METHOD_CHECKS)
def test_a_request_for_a_class_holds_the_contract(check):
    learner, request = tiny("classifier")
    ids, label = request.dataset.ids, request.dataset.columns["label"]
    whole = {"forget": [i for i in ids[:24] if label[int(i.split("/")[1])] == 0]}
    whole["retain"] = [i for i in ids[:24] if i not in whole["forget"]]
    check_method(
        UNSIR(noise=8, noise_steps=3), learner, dataclasses.replace(request, ids=request.ids | whole), only=[check]
    )


def test_a_class_that_is_kept_in_part_is_refused_before_anything_changes(tiny_classifier, digits_data):
    learner = copied(tiny_classifier)
    some = [i for i in digits_data.split("train") if digits_data.columns["label"][digits_data.row_of[i]] == 3][:-1]
    run = Run(learner, ForgetRequest(digits_data, forget=some).resolve(), UNSIR())
    with pytest.raises(RequestError, match="unsir forgets whole classes, and records of class 3 are both") as caught:
        run.execute()
    assert "forget every record of the class" in caught.value.hint
    assert learner.hash() == tiny_classifier.hash()


def test_classes_that_leave_none_to_keep_are_refused(tiny_classifier, digits_data):
    with pytest.raises(RequestError):
        ForgetRequest(digits_data, forget=digits_data.split("train")).resolve()
    everything = Resolved(digits_data, {"forget": digits_data.split("train"), "retain": []})
    with pytest.raises(ConfigError, match="unsir needs retain records"):
        Run(copied(tiny_classifier), everything, UNSIR()).execute()


def test_inputs_that_are_text_are_refused():
    from transformers import BertConfig, BertForSequenceClassification

    texts = ["red ball", "blue ball", "old book", "new book"]
    reader = llama.tokenizer(texts)
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    model = BertForSequenceClassification(BertConfig(vocab_size=len(reader), num_labels=2, **small))
    learner = Classifier(model, tokenizer=reader, max_length=8)
    data = Dataset("texts", list("abcd"), {"text": texts, "label": np.array([0, 0, 1, 1])})
    before = learner.hash()
    with pytest.raises(LearnerError, match="unsir: the inputs are text") as caught:
        Run(learner, ForgetRequest(data, forget={"label": 1}).resolve(), UNSIR()).execute()
    assert "scrub" in caught.value.hint
    assert learner.hash() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("noise", 0),
        ("noise_steps", -1),
        ("noise_lr", 0),
        ("penalty", -0.1),
        ("noise_weight", 0),
        ("kept", 0),
        ("repair_lr", 0),
    ],
)
def test_values_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(ConfigError, match=rf"unsir: {field} must be"):
        UNSIR(**{field: value})


def test_twenty_steps_give_the_committed_losses(begin, check_trajectory):
    check_trajectory("unsir", begin(UNSIR(), steps=10, lr=1e-2, batch_size=100))
