"""Blindspot: attention maps, the weights of a mixed batch, what the blindspot model never sees, a group forgotten."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from grouped import blank, error, mixed, original, predicted, request, retrained, started, value, wasserstein
from torch import nn
from torch.testing import assert_close

from expunge.data import Dataset
from expunge.errors import ConfigError, LearnerError
from expunge.learners import Part, Regressor
from expunge.methods._absolute_error import means
from expunge.methods.blindspot import Blindspot, attention
from expunge.models import mlp
from expunge.request import Resolved
from expunge.testing import tiny

LAYERS = ("2",)
"""The perceptron's ReLU."""


def pictures() -> Resolved:
    """Twelve pictures of 6 × 6, four to be forgotten."""
    draw, ids = np.random.default_rng(0), [str(n) for n in range(12)]
    columns = {
        "image": draw.normal(size=(12, 1, 6, 6)).astype(np.float32),
        "target": draw.normal(size=12).astype(np.float32),
    }
    return Resolved(Dataset("pictures", ids, columns), {"forget": ids[:4], "retain": ids[4:]})


def convolutional() -> Regressor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        body = [nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Dropout(0.5)]
        return Regressor(nn.Sequential(*body, nn.Linear(8, 1)))


def test_attention_is_the_square_averaged_over_channels_and_of_length_one():
    assert_close(attention(torch.tensor([[3.0, -4.0]])), torch.tensor([[9.0, 16.0]]) / 337**0.5)
    maps = torch.tensor([[[[1.0, 2.0]], [[3.0, 0.0]]]])  # one picture, two channels, 1 × 2
    assert_close(attention(maps), torch.tensor([[5.0, 2.0]]) / 29**0.5)
    assert_close(attention(7 * maps), attention(maps))
    assert not attention(torch.zeros(1, 3, 2, 2)).any()


def test_the_loss_of_a_mixed_batch_weighs_each_set_by_its_share():
    run = started(Blindspot(beta=50.0, layers=LAYERS))
    batch = mixed(run, 2, 6)
    ours = predicted(run.learner, "forget")[:2, 0]
    off = np.abs(ours - batch.forget.stored["blindspot"].numpy()).mean()
    own = attention(run.learner.activations(batch.forget, LAYERS)[1]["2"])
    apart = (own - batch.forget.stored["attention/2"]).square().mean().item()
    kept = np.abs(predicted(run.learner, "retain")[:6, 0] - batch.retain.targets.numpy()).mean()
    assert apart > 0
    wanted = 0.75 * kept + 0.25 * (off + 50 * apart)
    assert value(run.method.loss(run, batch)) == pytest.approx(wanted, rel=1e-5)


def test_attention_weighs_alike_however_many_targets_a_record_has():
    run = started(Blindspot(beta=1.0, layers=LAYERS), blank(3), request(3))
    batch = mixed(run, 2, 6)
    parts = run.method.loss(run, batch)
    own = attention(run.learner.activations(batch.forget, LAYERS)[1]["2"])
    apart = (own - batch.forget.stored["attention/2"]).square().mean().item()
    assert (parts["attention"].total / parts["attention"].weight).item() == pytest.approx(0.25 * apart, rel=1e-5)


@pytest.mark.parametrize(
    ("forget", "retain", "names"), [(4, 0, {"forget", "attention"}), (0, 4, {"retain"})], ids=["forget", "retain"]
)
def test_a_batch_of_one_set_alone_leaves_the_other_terms_out(forget, retain, names):
    run = started(Blindspot(beta=50.0))
    parts = run.method.loss(run, mixed(run, forget, retain))
    assert set(parts) == names
    assert all(torch.isfinite(p.total) and p.weight == 4 for p in parts.values())


def test_without_beta_it_is_the_path_without_attention_bit_for_bit():
    @dataclass(frozen=True, kw_only=True)
    class Plain(Blindspot):
        def followed(self, learner, batch):
            return {"forget": Part.mean((learner.output(batch)[:, 0] - batch.stored["blindspot"]).abs())}

    hashes = [started(m, epochs=1).execute().hash() for m in (Blindspot(beta=0.0, layers=LAYERS), Plain(), Blindspot())]
    assert len(set(hashes)) == 1
    assert started(Blindspot(beta=50.0), epochs=1).execute().hash() != hashes[0]


def test_maps_are_attended_by_default_and_vectors_when_asked_for():
    stored = [
        [name for name in started(method, convolutional(), pictures()).artefacts.names() if "/" in name]
        for method in (Blindspot(), Blindspot(beta=1.0), Blindspot(layers=("3",)), Blindspot(beta=0.0))
    ]
    assert stored == [["attention/1"], ["attention/1", "attention/4"], ["attention/3"], []]
    shape = started(Blindspot(), convolutional(), pictures()).artefacts.stored("forget")["attention/1"].values.shape
    assert shape == (4, 16)


def test_without_activation_functions_linear_layers_below_the_head_are_attended():
    bare = Regressor(nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 3), nn.Linear(3, 1)))
    assert "attention/0" in started(Blindspot(beta=1.0), bare).artefacts.names()
    assert "attention/2" not in started(Blindspot(beta=1.0), bare).artefacts.names()


def test_the_blindspot_model_answers_in_evaluation_mode_and_does_not_learn():
    run = started(Blindspot(), convolutional(), pictures())
    young = run.method.blindspot_model(run)
    assert not any(m.training for m in young.model.modules())
    assert not young.trainable()
    batch = run.batch(run.ids("forget"), "forget")
    assert torch.equal(means(young.output(batch), batch), batch.stored["blindspot"])


def test_neither_the_blindspot_model_nor_the_student_sees_a_forgotten_target():
    data, ids = request().dataset, request().ids
    target = data.columns["target"].copy()
    target[data.rows(ids["forget"])] = 99
    other = Resolved(Dataset("group", data.ids, data.columns | {"target": target}), ids)
    hashes = [started(Blindspot(), of=r, epochs=1).execute().hash() for r in (request(), other)]
    assert hashes[0] == hashes[1]


def test_a_head_of_one_column_is_no_matrix_of_differences():
    run = started(Blindspot())
    batch = run.batch(run.ids("forget")[:5], "forget")
    assert run.learner.output(batch).shape == (5, 1)
    assert means(run.learner.output(batch), batch).shape == batch.targets.shape == (5,)


def test_a_group_is_forgotten_as_by_retraining_and_the_rest_stays():
    learner = started(Blindspot(blindspot_epochs=5), epochs=12).execute()
    assert wasserstein(original()) > 4
    assert wasserstein(learner) < 0.2 * wasserstein(original())
    assert error(learner) < max(error(original()), error(retrained())) + 0.1


@pytest.mark.parametrize("options", [{"beta": -1}, {"blindspot_epochs": 0}, {"blindspot_lr": 0}])
def test_values_out_of_range_are_refused_by_name(options):
    with pytest.raises(ConfigError, match=rf"blindspot: {next(iter(options))} must be"):
        Blindspot(**options)


def test_what_cannot_be_served_is_refused_before_anything_is_trained():
    with pytest.raises(LearnerError, match="no layer 'hidden'") as error:
        started(Blindspot(layers=("hidden",)))
    assert "layers: 0, 1, 2, 3" in error.value.hint
    with pytest.raises(LearnerError, match="2 numbers for 1 target"):
        started(Blindspot(), Regressor(mlp.build(inputs=2, classes=2, hidden=[8])))
    make, points = tiny("classifier")
    with pytest.raises(LearnerError, match="blindspot: a classifier predicts no numbers"):
        started(Blindspot(), make(), points)
