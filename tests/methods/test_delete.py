"""DELETE: its value and gradient at the start, its fixed point, what it reads, and a class forgotten."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from expunge.methods.delete import DELETE
from expunge.request import Resolved
from expunge.train import Run, copied

TRAIN = {"epochs": 20, "lr": 1e-3, "batch_size": 64, "optimiser": "sgd", "momentum": 0.9, "clip": None}


def on_logits(run: Run, logits_NV: torch.Tensor, count: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Value of the loss, and its gradient by record, at given logits in place of the model's."""
    batch = run.batch(run.ids("forget")[:count], "forget")
    logits_NV = logits_NV.detach().requires_grad_()
    run.learner.logits = lambda _: logits_NV
    part = run.method.loss(run, type("Step", (), {"forget": batch})())["forget"]
    part.total.backward()
    return part.total.detach() / part.weight, logits_NV.grad


@pytest.fixture
def start(begin, perturb):
    """A run on a model that is unsure, its first logits and the classes that they are of."""
    run = begin(DELETE())
    perturb(run, 0.2)
    run.method.begin(run)
    batch = run.batch(run.ids("forget")[:6], "forget")
    return run, run.learner.logits(batch).detach(), batch.targets


def test_at_the_start_it_is_the_log_of_what_the_others_have(start):
    run, logits_NV, targets_N = start
    p_N = logits_NV.double().softmax(-1).gather(1, targets_N[:, None])[:, 0]
    value, _ = on_logits(run, logits_NV)
    assert_close(value.double(), -(1 - p_N).log().mean(), rtol=1e-4, atol=1e-6)


def test_the_gradient_on_the_logits_is_the_model_less_its_own_opinion_of_the_others(start):
    run, logits_NV, targets_N = start
    p_NV = logits_NV.softmax(-1)
    q_NV = p_NV.scatter(1, targets_N[:, None], 0.0)
    q_NV /= q_NV.sum(1, keepdim=True)
    assert_close(on_logits(run, logits_NV)[1], p_NV - q_NV, rtol=1e-4, atol=1e-6)


def test_a_model_that_says_what_the_original_says_of_the_others_has_nothing_to_learn(start):
    run, logits_NV, targets_N = start
    value, gradient = on_logits(run, logits_NV.scatter(1, targets_N[:, None], -40.0))
    assert_close(value, torch.zeros(()), rtol=0, atol=1e-6)
    assert gradient.abs().max() < 1e-6


def test_a_model_without_opinion_is_taught_the_other_classes_alike(digits_request, tiny_classifier):
    learner = copied(tiny_classifier)
    nn.init.zeros_(learner.model[-1].weight)
    nn.init.zeros_(learner.model[-1].bias)
    run = Run(learner, digits_request, DELETE())
    run.method.begin(run)
    gradient = on_logits(run, torch.zeros(6, 10))[1]
    expected = torch.full((6, 10), 1 / 10 - 1 / 9)
    expected[:, 3] = 1 / 10
    assert_close(gradient, expected)


def test_the_retain_set_is_never_read(begin, digits_request):
    nothing = Resolved(digits_request.dataset, {**digits_request.ids, "retain": []})
    hashes = [begin(DELETE(), "classifier", r, steps=3).execute().hash() for r in (digits_request, nothing)]
    assert hashes[0] == hashes[1]


def test_a_class_is_forgotten_and_most_of_the_others_stays(begin, digits_request):
    learner = begin(DELETE(), **TRAIN).execute()
    hits = {r: learner.score(digits_request.dataset, digits_request.ids[r])[""]["hit"] for r in ("forget", "retain")}
    assert hits["forget"].mean() <= 0.05
    assert hits["retain"].mean() >= 0.9


def test_twenty_steps_give_the_committed_losses(begin, check_trajectory):
    check_trajectory("delete", begin(DELETE(), steps=20, lr=1e-3, batch_size=100, optimiser="sgd"))
