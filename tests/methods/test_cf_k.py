"""CF-k: which layers are the last k, fine-tuning as its limit, and that what is below keeps every bit."""

import numpy as np
import pytest
import torch
from torch import nn

from expunge.data import Dataset
from expunge.errors import ConfigError, LearnerError
from expunge.learners import Classifier
from expunge.methods._last_layers import layers_of
from expunge.methods.cf_k import CFK
from expunge.methods.eu_k import EUK
from expunge.methods.finetune import Finetune
from expunge.models import mlp, resnet
from expunge.request import Resolved
from expunge.train import Run

BOTH = pytest.mark.parametrize("method", [CFK, EUK])


def changed(run: Run) -> set[str]:
    before = run.learner.state()
    after = run.execute().state()
    return {name for name in after if not torch.equal(before[name], after[name])}


@pytest.fixture
def images() -> Resolved:
    generator = np.random.default_rng(0)
    columns = {"image": generator.random((8, 1, 8, 8), dtype=np.float32), "label": np.arange(8) % 2}
    ids = [str(n) for n in range(8)]
    return Resolved(Dataset("noise", ids, columns), {"forget": ids[:2], "retain": ids[2:]})


@pytest.fixture
def residual() -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        spec = {"classes": 2, "channels": 1, "width": 2}
        return Classifier(resnet.build(**spec), spec={"name": "resnet", **spec})


def vision_transformer():
    from transformers import ViTConfig, ViTForImageClassification

    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    return ViTForImageClassification(ViTConfig(image_size=8, patch_size=4, num_channels=1, **sizes))


def test_layers_of_a_perceptron_are_its_linear_ones():
    assert layers_of(Classifier(mlp.build(inputs=4, classes=2, hidden=[3, 3]))) == [["1"], ["3"], ["5"]]


def test_layers_of_a_resnet_are_its_stem_its_blocks_and_its_head(residual):
    blocks = [[f"stages.{stage}.{block}"] for stage in range(4) for block in range(2)]
    assert layers_of(residual) == [["stem.0", "stem.1"], *blocks, ["head"]]


def test_layers_of_a_vision_transformer_are_its_embeddings_its_blocks_and_its_classifier():
    found = layers_of(Classifier(vision_transformer()))
    *below, last, head = found
    assert [len(group) for group in below] == [1, 1]
    assert "embeddings" in below[0][0]
    assert len(last) == 2
    assert last[0] == below[1][0][:-1] + "1"
    assert "layernorm" in last[1]
    assert head == ["classifier"]


def test_layers_above_the_named_head_do_not_count():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2), nn.Linear(2, 2))
    assert layers_of(Classifier(model, head_layer="2")) == [["0", "1"], ["2"]]


@BOTH
@pytest.mark.parametrize(("k", "expected"), [(1, {"5"}), (2, {"3", "5"}), (3, {"1", "3", "5"})])
def test_the_last_layers_change_and_all_others_keep_every_bit(begin, method, k, expected):
    run = begin(method(k=k), steps=3)
    everything = set(run.learner.trainable())
    assert changed(run) == {f"{layer}.{name}" for layer in expected for name in ("weight", "bias")}
    assert set(run.learner.trainable()) == everything


@BOTH
def test_named_layers_change_instead(begin, method):
    assert changed(begin(method(layers=("1",)), steps=3)) == {"1.weight", "1.bias"}


@BOTH
def test_statistics_of_norms_below_keep_every_bit_while_those_above_are_learnt(residual, images, method):
    run = Run(residual, images, method(k=2))
    run.train = type(run.train)(steps=2, batch_size=4, batch_norm="train")
    found = changed(run)
    assert all(name.startswith(("head.", "stages.3.1.")) for name in found)
    assert any(name.endswith("running_mean") for name in found)


@BOTH
def test_more_layers_than_there_are_are_refused(begin, method):
    with pytest.raises(ConfigError, match="k must be 1 to 3, the layers of this model, got 4") as caught:
        begin(method(k=4)).execute()
    assert caught.value.hint == "layers: 1, 3, 5"


@BOTH
def test_a_layer_that_is_not_there_is_refused_before_any_weight_changes(begin, method):
    run = begin(CFK())
    run.method, before = method(layers=("5", "head")), run.learner.hash()
    with pytest.raises(LearnerError, match="the model has no layer 'head'") as caught:
        run.execute()
    assert caught.value.hint == "layers: 0, 1, 2, 3, 4, 5"
    assert run.learner.hash() == before


@BOTH
def test_layers_without_anything_that_learns_are_refused_before_any_weight_changes(begin, method):
    run = begin(CFK())
    run.method, before = method(), run.learner.hash()
    run.learner.head_module()[1].requires_grad_(False)
    with pytest.raises(LearnerError, match="no weight of the layers 5 learns"):
        run.execute()
    assert run.learner.hash() == before


def test_frozen_weights_stay_as_they_are(begin):
    run = begin(CFK(k=2), steps=2)
    dict(run.learner.model.named_parameters())["3.weight"].requires_grad_(False)
    assert changed(run) == {"3.bias", "5.weight", "5.bias"}


def test_with_every_layer_it_is_fine_tuning_bit_for_bit(begin):
    hashes = [begin(method, steps=5).execute().hash() for method in (CFK(k=3), Finetune())]
    assert hashes[0] == hashes[1]


def test_a_class_fades_from_the_head_by_hardly_anything(begin, digits_request):
    learner = begin(CFK(), epochs=3).execute()
    hits = learner.score(digits_request.dataset, digits_request.ids["forget"])[""]["hit"]
    assert hits.mean() >= 0.5


@BOTH
def test_a_k_below_one_is_refused(method):
    with pytest.raises(ConfigError, match=r"[ce][fu]_k: k must be ≥ 1, got 0"):
        method(k=0)
