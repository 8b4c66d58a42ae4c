"""FNN: the forgetting curve in the weights, who fades and how fast, when it stops, and a class forgotten."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from expunge.config import TrainConfig
from expunge.data import Dataset
from expunge.errors import ConfigError, LearnerError
from expunge.learners import Classifier, Regressor
from expunge.methods.fnn import FNN
from expunge.request import Resolved
from expunge.train import Run

TYPES = [{"rate": rate, "ranked": ranked} for ranked in (False, True) for rate in ("fixed", "varying")]
TRAIN = {"epochs": 10, "lr": 1e-3, "batch_size": 64, "optimiser": "adam", "clip": None}


def faded(run: Run, times: int) -> None:
    for _ in range(times):
        run.method.unlearn(run)


def curve(run: Run, t: int) -> torch.Tensor:
    """φ(t) of each neuron."""
    return (-t / run.artefacts["tau"].double()).exp()


@pytest.mark.parametrize("options", TYPES)
def test_outgoing_weights_follow_the_forgetting_curve_and_nothing_else_moves(begin, options):
    run = begin(FNN(**options))
    before = {n: p.detach().clone() for n, p in run.learner.model.named_parameters()}
    faded(run, 4)
    for name, parameter in run.learner.model.named_parameters():
        expected = before[name].double() * curve(run, 4) if name == "5.weight" else before[name].double()
        assert_close(parameter.double(), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("layer", "reads"), [("", "5"), ("3", "3")])
@pytest.mark.parametrize("options", TYPES)
def test_the_folded_net_answers_as_the_one_with_the_factor_apart(begin, options, layer, reads):
    run = begin(FNN(layer=layer, **options))
    batch = run.batch(run.ids("retain")[:50], "retain")
    apart = run.learner.frozen_copy()
    factor = curve(run, 3).float()
    apart.model.get_submodule(reads).register_forward_pre_hook(lambda _m, inputs: inputs[0] * factor)
    faded(run, 3)
    with torch.no_grad():
        assert_close(run.learner.logits(batch), apart.logits(batch), rtol=1e-6, atol=5e-6)


def test_gradients_of_a_folded_neuron_are_those_of_the_one_apart_over_its_factor(begin):
    run = begin(FNN(rate="varying", ranked=False, tau_min=1.0))
    batch = run.batch(run.ids("retain")[:50], "retain")
    apart = begin(FNN())
    factor = curve(run, 2).float()
    apart.learner.model[5].register_forward_pre_hook(lambda _m, inputs: inputs[0] * factor)
    faded(run, 2)
    ours, theirs = (x.learner.gradient(x.learner.nll(batch).total) for x in (run, apart))
    assert_close(ours["5.weight"], theirs["5.weight"] / factor, rtol=1e-4, atol=1e-4)
    assert_close(ours["1.weight"], theirs["1.weight"], rtol=1e-4, atol=1e-4)


def by_hand(forget, retain, bias=(0.0, 0.0)):
    """A head that reads the inputs as they are; records forget and retain are given as rows."""
    rows = np.array([*forget, *retain], np.float32)
    ids = [str(n) for n in range(len(rows))]
    data = Dataset("hand", ids, {"x": rows, "label": np.arange(len(rows)) % 2})
    model = nn.Linear(rows.shape[1], 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0.0] * (rows.shape[1] // 2), [0.0, 1.0] * (rows.shape[1] // 2)]))
        model.bias.copy_(torch.tensor(bias))
    return Classifier(model), Resolved(data, {"forget": ids[: len(forget)], "retain": ids[len(forget) :]})


def test_one_rate_for_all_changes_predictions_only_through_a_bias_that_stays():
    said = {}
    for decay_bias in (False, True):
        learner, request = by_hand([(1.0, 0.4)], [(0.3, 0.5)], bias=(0.0, 0.3))
        run = Run(learner, request, FNN(rate="fixed", ranked=False, tau=1.0, decay_bias=decay_bias))
        run.method.begin(run)
        batch = run.batch(["0"], "forget")
        assert learner.logits(batch).tolist() == [[pytest.approx(1.0), pytest.approx(0.7)]]
        faded(run, 1)
        said[decay_bias] = learner.logits(batch)[0].tolist()
    shrunk = math.exp(-1)
    assert said[True] == pytest.approx([shrunk, 0.7 * shrunk])
    assert said[False] == pytest.approx([shrunk, 0.4 * shrunk + 0.3])  # .368 < .447: another class


def test_one_rate_for_all_and_the_bias_leaves_every_digit_as_it_was(begin, digits_data):
    run = begin(FNN(rate="fixed", ranked=False, decay_bias=True))
    before = run.learner.score(digits_data, digits_data.ids)[""]["extras"]["log_probs"].argmax(1)
    faded(run, 5)
    after = run.learner.score(digits_data, digits_data.ids)[""]["extras"]["log_probs"].argmax(1)
    assert (before == after).all()


def test_contrast_spares_what_is_active_for_everything():
    forget, retain = [(3.0, -2.0, 0.0, 1.0)], [(4.0, 0.0, 0.0, 1.0), (2.0, 1.0, 0.0, 1.0)]
    for ranking, first in (("activation", 0), ("contrast", 1)):  # |h| forget 3, 2, 0, 1; retain 3, .5, 0, 1
        learner, request = by_hand(forget, retain)
        run = Run(learner, request, FNN(rate="fixed", ranking=ranking, share=0.25))
        run.method.begin(run)
        assert run.artefacts["tau"].isfinite().nonzero().flatten().tolist() == [first]


def test_the_first_in_rank_fade_fastest():
    learner, request = by_hand([(4.0, 3.0, 2.0, 1.0)], [(0.0, 0.0, 0.0, 0.0)])
    run = Run(learner, request, FNN(share=0.75, tau_min=2.0, tau_max=6.0))
    run.method.begin(run)
    assert run.artefacts["tau"].tolist() == [2.0, 4.0, 6.0, math.inf]


def test_rates_that_vary_without_rank_lie_in_their_range_and_follow_the_seed(begin):
    tau = begin(FNN(ranked=False, tau_min=2.0, tau_max=3.0)).artefacts["tau"]
    assert 2.0 <= tau.min() < 2.1 < 2.9 < tau.max() <= 3.0
    assert torch.equal(tau, begin(FNN(ranked=False, tau_min=2.0, tau_max=3.0)).artefacts["tau"])


def test_it_fades_every_so_many_epochs_and_ends_with_learning(begin):
    run = begin(FNN(every=2, target=0.0), epochs=5, batch_size=100)  # 12 steps an epoch
    calls = [n for n, step in enumerate(run.method.batches(run)) if step.call == "unlearn"]
    assert calls == [0, 24, 48]


@pytest.mark.parametrize(("target", "epochs"), [(1.0, 1), (0.0, 3)])
def test_it_learns_once_more_after_the_target_is_reached_and_stops(begin, target, epochs):
    run = begin(FNN(target=target, tau_max=1e3, tau_min=1e3), epochs=3, batch_size=400, lr=1e-6)
    run.execute()
    assert run.cost.steps == epochs * math.ceil(len(run.request.ids["retain"]) / 400)
    assert [row["t"] for row in run.log if "t" in row] == list(range(1, epochs + 1))


def test_the_target_is_chance_or_what_the_original_makes_of_unseen_records(begin, digits_request):
    assert begin(FNN()).artefacts["goal"] == pytest.approx(0.1)
    unseen = Resolved(digits_request.dataset, {**digits_request.ids, "holdout": digits_request.ids["test"]})
    run = begin(FNN(target="holdout"), request=unseen)
    assert run.artefacts["goal"] == pytest.approx(run.read("holdout", "hit").mean().item())
    lacking = Resolved(digits_request.dataset, {**digits_request.ids, "holdout": []})
    with pytest.raises(ConfigError, match="fnn needs holdout records"):
        begin(FNN(target="holdout"), request=lacking)


def test_neurons_whose_outgoing_weights_are_gone_are_counted(begin):
    run = begin(FNN(rate="fixed", tau=1.0, share=0.25))
    faded(run, 5)  # e^-5 = .0067
    assert [row["dead"] for row in run.log] == [0, 0, 0, 0, 32]


@pytest.mark.parametrize("options", TYPES)
def test_a_class_is_forgotten_and_the_others_stay(begin, digits_request, options):
    learner = begin(FNN(**options), **TRAIN).execute()
    hits = {r: learner.score(digits_request.dataset, digits_request.ids[r])[""]["hit"] for r in ("forget", "retain")}
    assert hits["forget"].mean() <= 0.1
    assert hits["retain"].mean() >= 0.97


def test_layers_that_cannot_take_the_factor_are_refused(begin, digits_request):
    for layer in ("2", "nowhere"):
        with pytest.raises(LearnerError, match=f"fnn: {layer} is no linear layer that learns"):
            begin(FNN(layer=layer))
    run = begin(FNN())
    run.learner.model[5].weight.requires_grad_(False)
    with pytest.raises(LearnerError, match="fnn: the head is no linear layer that learns"):
        run.method.begin(run)
    unused = nn.Sequential(nn.Linear(64, 10))
    unused.forward = lambda x: x[:, :10]  # type: ignore[method-assign]
    run = Run(Classifier(unused), digits_request, FNN(layer="0"))
    with pytest.raises(LearnerError, match="the model never reads its layer '0'"):
        run.method.begin(run)


def test_a_regressor_is_refused(digits_request):
    run = Run(Regressor(nn.Linear(64, 1), target="label"), digits_request, FNN(), train=TrainConfig(steps=1))
    with pytest.raises(LearnerError, match="a regressor has no accuracy over classes"):
        run.method.begin(run)


@pytest.mark.parametrize(
    "options",
    [{"rate": "slow"}, {"ranking": "size"}, {"share": 0}, {"tau": 0}, {"tau_min": 0}, {"tau_max": 0.1}, {"every": 0},
     {"target": 1.5}, {"target": "none"}, {"decay_bias": True}],
)  # fmt: skip
def test_values_out_of_range_are_refused_by_name(options):
    with pytest.raises(ConfigError, match=rf"fnn: {next(iter(options))} must be"):
        FNN(**options)
    assert replace(FNN(), rate="fixed", ranked=False, decay_bias=True).decay_bias
