"""EU-k: where its weights begin, retraining as its limit, and what a new head no longer says. Layers: `test_cf_k`."""

import pytest
import torch
from torch import nn

from expunge.config import TrainConfig
from expunge.errors import ConfigError
from expunge.learners import Classifier
from expunge.methods.eu_k import EUK
from expunge.methods.retrain import Retrain
from expunge.request import Resolved
from expunge.train import Run, copied, derive

TRAIN = {"epochs": 5, "lr": 3e-3, "batch_size": 64, "optimiser": "adam", "clip": None}


def test_with_every_layer_it_is_retraining_bit_for_bit(begin):
    hashes = [begin(method, steps=5).execute().hash() for method in (EUK(k=3), Retrain())]
    assert hashes[0] == hashes[1]


def test_the_last_layers_begin_as_those_of_a_new_model(begin):
    run = begin(EUK(k=2))
    anew = run.learner.fresh(derive(run.seed, "initial weights")).state()
    for name, weight in run.learner.state().items():
        assert torch.equal(weight, anew[name]) == name.startswith(("3.", "5."))


def test_they_begin_as_those_of_the_base_where_the_original_had_one(tiny_classifier, digits_request):
    base = tiny_classifier.fresh(9)
    run = Run(copied(tiny_classifier), digits_request, EUK(), start=base)
    run.method.begin(run)
    assert torch.equal(run.learner.state()["5.weight"], base.state()["5.weight"])


def test_the_original_has_no_say_in_where_the_last_layers_begin_and_another_seed_has(tiny_classifier, digits_request):
    heads = []
    for scale, seed in ((1, 0), (5, 0), (1, 1)):
        learner = copied(tiny_classifier)
        with torch.no_grad():
            learner.head_module()[1].weight.mul_(scale)
        run = Run(learner, digits_request, EUK(), seed=seed)
        run.method.begin(run)
        heads.append(learner.state()["5.weight"])
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_a_class_is_no_longer_said_and_the_others_are(begin, digits_request):
    learner = begin(EUK(), **TRAIN).execute()
    hits = {r: learner.score(digits_request.dataset, digits_request.ids[r])[""]["hit"] for r in ("forget", "retain")}
    assert hits["forget"].mean() == 0
    assert hits["retain"].mean() >= 0.97


def test_a_frozen_bias_of_the_head_keeps_its_value(begin, tiny_classifier):
    run = Run(copied(tiny_classifier), begin(EUK()).request, EUK(), train=TrainConfig(steps=2))
    run.learner.head_module()[1].bias.requires_grad_(False)
    before = run.learner.state()
    after = run.execute().state()
    assert torch.equal(before["5.bias"], after["5.bias"])
    assert not torch.equal(before["5.weight"], after["5.weight"])


def test_norms_whose_statistics_could_not_be_learnt_are_refused_before_any_weight_changes(digits_data):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10))
    request = Resolved(digits_data, {"forget": digits_data.ids[:5], "retain": digits_data.ids[5:50]})
    learner = Classifier(model)
    before = learner.hash()
    with pytest.raises(ConfigError, match="eu_k: the statistics of 2 would stay at mean 0 and variance 1"):
        Run(learner, request, EUK(k=2)).execute()
    assert learner.hash() == before


def test_statistics_of_norms_in_new_layers_begin_anew(digits_data):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10))
    model[2].running_mean.fill_(7.0)
    request = Resolved(digits_data, {"forget": digits_data.ids[:5], "retain": digits_data.ids[5:50]})
    run = Run(Classifier(model), request, EUK(k=2), train=TrainConfig(batch_norm="train"))
    run.method.begin(run)
    assert not model[2].running_mean.any()
