"""MSG: which weights are drawn anew and how, what the others' gradient is, and a class forgotten."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from expunge.errors import ConfigError, LearnerError
from expunge.learners import Classifier
from expunge.methods.msg import MSG, smallest
from expunge.train import Run, copied

TRAIN = {"epochs": 10, "lr": 0.03, "batch_size": 64, "optimiser": "sgd", "momentum": 0.9, "weight_decay": 5e-4}
RISING = {"schedule": "linear", "warmup": 0.5, "clip": None}


def test_the_smallest_are_ranked_by_magnitude_ties_in_order():
    assert smallest(torch.tensor([[3.0, -1.0], [0.5, -4.0]]), 0.5).tolist() == [[False, True], [True, False]]
    assert smallest(torch.zeros(10), 0.3).tolist() == [True] * 3 + [False] * 7


def test_the_gradient_is_that_of_as_many_retained_records_less_the_forgotten(begin):
    run = begin(MSG())
    ids = run.ids("retain")
    order = torch.randperm(len(ids), generator=Run(run.learner, run.request, MSG()).generator("sample"))
    sample = [ids[k] for k in order[: len(run.ids("forget"))].tolist()]
    gradients = []
    for role, chosen in (("retain", sample), ("forget", run.ids("forget"))):
        batch = run.batch(chosen, role)
        gradients.append(run.learner.gradient(-run.learner.log_likelihood(batch).mean()))
    found = MSG().gradient(Run(run.learner, run.request, MSG()))
    for name, gradient in found.items():
        assert_close(gradient, gradients[0][name] - gradients[1][name], rtol=1e-3, atol=1e-6)


def test_the_share_is_taken_in_each_layer_and_only_there_do_weights_change(begin):
    run = begin(MSG(share=0.3))
    before = run.learner.state()
    run.method.draw_anew(run)
    after = run.learner.state()
    for name in before:
        changed = after[name] != before[name]
        if name.endswith("weight"):
            assert torch.equal(changed, run.artefacts["drawn anew"][name])
            assert int(changed.sum()) == round(0.3 * changed.numel())
        else:
            assert not changed.any()


def test_new_weights_have_the_variance_of_their_layer(begin):
    run = begin(MSG(share=0.9))
    run.method.draw_anew(run)
    drawn = run.learner.model[3].weight[run.artefacts["drawn anew"]["3.weight"]]
    assert drawn.std().item() == pytest.approx(math.sqrt(2 / 128), rel=0.05)  # 128 outputs, 14,746 draws
    assert abs(drawn.mean().item()) < 4 * math.sqrt(2 / 128 / len(drawn))


def test_the_gradient_of_what_was_kept_is_scaled_and_biases_learn_as_ever(begin, parts_of):
    run = begin(MSG(share=0.3, slow=0.1))
    plain = parts_of(run)[0]
    found = run.method.adjust(run, plain)["retain"]
    for name, gradient in plain["retain"].items():
        drawn = run.artefacts["drawn anew"].get(name)
        factor = torch.ones_like(gradient) if drawn is None else torch.where(drawn, 1.0, 0.1)
        assert_close(found[name], factor * gradient)


def test_adam_undoes_the_scale(begin):
    """The trap that the docstring names: Adam divides a gradient by its own size."""
    options = {"optimiser": "adam", "steps": 2, "lr": 1e-3, "clip": None}
    states = [begin(MSG(slow=s), **options).execute().state() for s in (0.5, 1.0)]
    moved = [begin(MSG(slow=s), **options | {"optimiser": "sgd"}).execute().state() for s in (0.5, 1.0)]
    kept = ~begin(MSG()).artefacts["drawn anew"]["3.weight"]
    original = begin(MSG()).learner.state()["3.weight"]
    adam, sgd = ([(s["3.weight"] - original)[kept].norm() for s in pair] for pair in (states, moved))
    assert adam[0] / adam[1] == pytest.approx(1.0, abs=0.02)
    assert sgd[0] / sgd[1] == pytest.approx(0.5, abs=0.02)


def test_still_weights_stay_where_they_are(begin):
    run = begin(MSG(slow=0.0), steps=4, optimiser="sgd", lr=0.01)
    before, drawn = run.learner.state(), run.artefacts["drawn anew"]
    after = run.execute().state()
    for name, chosen in drawn.items():
        assert torch.equal(after[name][~chosen], before[name][~chosen])


def test_convolutions_count_their_kernel(digits_request):
    layers = [nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 32, 3), nn.Flatten(), nn.Linear(32 * 36, 10)]
    run = Run(Classifier(nn.Sequential(*layers)), digits_request, MSG(layers="convolution"))
    run.method.begin(run)
    assert list(run.artefacts["drawn anew"]) == ["1.weight"]
    run.method.draw_anew(run)
    drawn = run.learner.model[1].weight[run.artefacts["drawn anew"]["1.weight"]]
    assert drawn.std().item() == pytest.approx(math.sqrt(2 / (32 * 9)), rel=0.2)


def test_a_model_without_such_a_layer_is_refused(tiny_classifier, digits_request):
    with pytest.raises(LearnerError, match="msg: the model has no convolution that learns") as caught:
        Run(copied(tiny_classifier), digits_request, MSG(layers="convolution")).execute()
    assert "layers=linear" in caught.value.hint


def test_frozen_layers_are_left_alone(tiny_classifier, digits_request):
    learner = copied(tiny_classifier)
    learner.model[1].requires_grad_(False)
    run = Run(learner, digits_request, MSG())
    run.method.begin(run)
    assert set(run.artefacts["drawn anew"]) == {"3.weight", "5.weight"}


def test_a_class_is_forgotten_and_the_others_stay(begin, digits_request):
    learner = begin(MSG(), **TRAIN, **RISING).execute()
    hits = {r: learner.score(digits_request.dataset, digits_request.ids[r])[""]["hit"] for r in ("forget", "retain")}
    assert hits["forget"].mean() <= 0.05
    assert hits["retain"].mean() >= 0.95


@pytest.mark.parametrize("options", [{"share": 0}, {"share": 1}, {"slow": -0.1}, {"slow": 1.1}, {"layers": "all"}])
def test_values_out_of_range_are_refused_by_name(options):
    with pytest.raises(ConfigError, match=rf"msg: {next(iter(options))} must be"):
        MSG(**options)


def test_twenty_steps_give_the_committed_losses(begin, check_trajectory):
    check_trajectory("msg", begin(MSG(), steps=20, lr=0.03, batch_size=100, optimiser="sgd"))
