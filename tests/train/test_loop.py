"""The one loop: exact accumulation, schedules, generators, readings on the way, and where it stops."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import nn

from expunge.card import Card
from expunge.config import TrainConfig
from expunge.data import Dataset
from expunge.errors import ConfigError, DivergedError
from expunge.learners import Classifier, Part
from expunge.models import resnet
from expunge.registry import find
from expunge.request import Resolved
from expunge.testing import tiny
from expunge.train import Batches, Method, Run, Step, Watch, _checkpoint, _loop, gradients_by_part

SGD = TrainConfig(epochs=2, batch_size=6, lr=0.05, optimiser="sgd", clip=None)


def run_of(kind, method, train=SGD, *, learner=None, request=None, **options):
    factory, usual = tiny(kind)
    return Run(learner or factory(), request or usual, find("methods", method)(), train=train, **options)


def furthest(first, second):
    return max(float((first[n].double() - second[n].double()).abs().max()) for n in first)


@pytest.mark.parametrize("size", [1, 2, 4, 5])
@pytest.mark.parametrize("method", ["grad_diff", "npo", "gradient_ascent", "finetune"])
def test_micro_batches_of_unequal_answers_equal_one_batch(method, size):
    whole = run_of("causal_lm", method)
    lengths = whole.learner.collate(whole.request.dataset, whole.request.ids["forget"]).positions()
    assert len(lengths.unique()) > 2
    split = run_of("causal_lm", method, replace(SGD, micro_batch_size=size))
    assert furthest(whole.execute().state(), split.execute().state()) <= 1e-6


@pytest.mark.parametrize("kind", ["causal_lm", "classifier"])
@pytest.mark.parametrize("method", ["grad_diff", "npo"])
def test_gradients_by_part_add_up_to_the_joint_gradient(kind, method):
    run = run_of(kind, method)
    run.method.begin(run)
    ids = {r: run.request.ids[r][:5] for r in ("forget", "retain")}
    batches = Batches({r: run.batch(i, r) for r, i in ids.items()})
    parts, values = gradients_by_part(run, [batches])
    joint = _loop._joint_gradient(run, batches)
    assert values == pytest.approx(joint, abs=1e-6)
    for name, parameter in run.learner.trainable().items():
        total = sum(part[name] for part in parts.values())
        assert torch.allclose(total, parameter.grad, atol=1e-6), name


def test_parameters_that_share_a_gradient_tensor_are_each_divided_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = (nn.Parameter(torch.zeros(1, 3)) for _ in range(2))
            self.linear = nn.Linear(4, 3)

        def forward(self, x):
            return self.linear(x) + (self.first + self.second)

    torch.manual_seed(0)
    run = run_of("classifier", "finetune", learner=Classifier(Twice()))
    batches = Batches({"retain": run.batch(run.request.ids["retain"][:6], "retain")})
    parts, _ = gradients_by_part(run, [batches])
    _loop._joint_gradient(run, batches)
    for name, parameter in run.learner.trainable().items():
        assert torch.allclose(parts["retain"][name], parameter.grad, atol=1e-7), name


def test_a_loss_that_couples_the_batch_is_refused_where_it_would_be_split():
    with pytest.raises(ConfigError, match="ssd couples the examples of a batch") as error:
        run_of("classifier", "ssd", replace(SGD, micro_batch_size=2)).execute()
    assert "micro_batch_size" in error.value.hint


@pytest.mark.parametrize(
    ("schedule", "warmup", "expected"),
    [
        ("constant", 0.0, [1, 1, 1, 1]),
        ("linear", 0.0, [1, 0.75, 0.5, 0.25]),
        ("cosine", 0.0, [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]),
        ("constant", 0.5, [0.5, 1, 1, 1]),
        ("linear", 0.5, [0.5, 1, 1, 0.5]),
    ],
)
def test_the_learning_rate_follows_its_schedule(schedule, warmup, expected):
    run = run_of("classifier", "finetune", replace(SGD, steps=4, schedule=schedule, warmup=warmup))
    run.execute()
    assert [entry["lr"] / SGD.lr for entry in run.log] == pytest.approx(expected)


def test_stopping_early_leaves_the_schedule_unchanged():
    long = replace(SGD, steps=6, schedule="cosine")
    whole, short = run_of("classifier", "finetune", long), run_of("classifier", "finetune", replace(long, stop_at=3))
    whole.execute()
    short.execute()
    assert short.cost.steps == 3
    assert short.log == whole.log[:3]


def test_each_named_generator_is_its_own():
    first, second = run_of("classifier", "finetune"), run_of("classifier", "finetune")
    torch.rand(5, generator=first.generator("noise"))
    assert torch.equal(
        torch.rand(3, generator=first.generator("order")), torch.rand(3, generator=second.generator("order"))
    )
    other = run_of("classifier", "finetune", seed=1)
    assert not torch.equal(torch.rand(3, generator=other.generator("x")), torch.rand(3, generator=first.generator("x")))
    assert not torch.equal(torch.rand(3, generator=first.generator("y")), torch.rand(3, generator=first.generator("z")))


@pytest.mark.parametrize("kind", ["classifier", "causal_lm"])
def test_a_reading_on_the_way_leaves_weights_and_generators_as_they_were(kind):
    def read(run):
        run.learner.score(run.request.dataset, run.request.ids["test"])
        torch.rand(7)
        torch.rand(7, generator=run.generator("draw//retain"))
        torch.rand(7, generator=run.generator("of the reading"))
        return {"logp": float(run.read("retain").mean())}

    train = replace(SGD, optimiser="adam", lr=1e-2)
    watched, alone = (run_of(kind, "npo", train, watch=w) for w in (Watch(every=1, read=read), None))
    for run in (watched, alone):
        for module in run.learner.model.modules():
            if hasattr(module, "attention_dropout"):
                module.attention_dropout = 0.2
        run.execute()
    first, second = watched.learner.state(), alone.learner.state()
    assert all(torch.equal(first[n], second[n]) for n in first)
    readings = [entry for entry in watched.log if "watch" in entry]
    assert [entry["step"] for entry in readings] == list(range(watched.cost.steps + 1))
    assert [entry for entry in watched.log if "watch" not in entry] == alone.log


def test_a_reading_can_stop_the_run():
    watch = Watch(every=2, read=lambda run: {"steps": run.cost.steps}, until=lambda figures: figures["steps"] >= 4)
    run = run_of("classifier", "finetune", replace(SGD, steps=9), watch=watch)
    run.execute()
    assert run.cost.steps == 4


@pytest.mark.parametrize(("lr", "message"), [(1e30, "not finite|nats"), (50.0, "loss is .* nats")])
def test_a_diverging_run_stops_and_keeps_the_last_checkpoint(tmp_path, lr, message):
    train = replace(SGD, steps=50, lr=lr, checkpoint_every=1, explode=100)
    run = run_of("classifier", "gradient_ascent", train, folder=tmp_path)
    with pytest.raises(DivergedError, match=message) as error:
        run.execute()
    assert "last checkpoint is kept" in error.value.hint
    assert error.value.exit_code == 3
    state = _checkpoint.read(run.checkpoint_path())
    assert state["step"] == run.cost.steps >= 1
    assert all(torch.equal(state["model"][n], w) for n, w in run.learner.state().items())


@dataclass(frozen=True, kw_only=True)
class Undefined(Method):
    """A loss that is no number from the third step on."""

    card: ClassVar[Card] = Card(name="undefined", title="Undefined", year=2026, source="a test", needs={"retain"})

    def loss(self, run, batch):
        return {"retain": run.learner.nll(batch.retain) * (math.nan if run.cost.steps == 2 else 1.0)}


def test_a_loss_that_is_no_number_stops_the_run_before_the_weights_take_it():
    factory, request = tiny("classifier")
    run = Run(factory(), request, Undefined(), train=SGD)
    with pytest.raises(DivergedError, match="step 3: the retain loss is nan"):
        run.execute()
    assert all(torch.isfinite(w).all() for w in run.learner.state().values())


@pytest.fixture(scope="module")
def pictures():
    """24 noisy pictures in two classes, and a ResNet with BatchNorm."""
    noise = torch.randn(24, 3, 8, 8, generator=torch.Generator().manual_seed(0)) + 1
    data = Dataset(
        "pictures", [str(n) for n in range(24)], {"image": noise.numpy(), "label": [n % 2 for n in range(24)]}
    )
    return Resolved(data, {"forget": data.ids[:8], "retain": data.ids[8:]})


def statistics(learner):
    return {n: b.clone() for n, b in learner.model.named_buffers() if "running" in n}


@pytest.mark.parametrize("policy", ["freeze", "train", "recompute"])
def test_batch_norm_follows_its_policy(pictures, policy):
    torch.manual_seed(0)
    learner = Classifier(resnet.build(classes=2, width=4))
    before = statistics(learner)
    train = replace(SGD, batch_size=8, epochs=1, batch_norm=policy)
    run_of("classifier", "finetune", train, learner=learner, request=pictures).execute()
    after = statistics(learner)
    if policy == "freeze":
        assert all(torch.equal(before[n], after[n]) for n in before)
        return
    assert all(not torch.equal(before[n], after[n]) for n in before)
    if policy == "recompute":
        retain = learner.collate(pictures.dataset, pictures.ids["retain"]).inputs["x"]
        with torch.no_grad():
            means = [learner.model.stem[0](chunk).mean(dim=(0, 2, 3)) for chunk in retain.split(8)]
        assert torch.allclose(after["stem.1.running_mean"], torch.stack(means).mean(0), atol=1e-5)
        assert learner.model.stem[1].momentum == 0.1


@dataclass(frozen=True, kw_only=True)
class Empty(Method):
    """A step that names a role and no records of it."""

    card: ClassVar[Card] = Card(name="empty", title="Empty", year=2026, source="a test")

    def batches(self, run):
        yield Step({"retain": []})

    def loss(self, run, batch):
        return {"retain": Part.mean(run.learner.log_likelihood(batch.retain))}


def test_a_step_without_records_is_refused():
    factory, request = tiny("classifier")
    with pytest.raises(ConfigError, match="no records of role 'retain'"):
        Run(factory(), request, Empty(), train=SGD).execute()


def test_a_role_that_a_step_lacks_is_named():
    run = run_of("classifier", "finetune")
    batches = Batches({"retain": run.batch(run.request.ids["retain"][:2], "retain")}, "min")
    assert batches.phase == "min"
    assert "retain" in batches
    with pytest.raises(ConfigError, match="no batch of role 'forget'"):
        batches.forget  # noqa: B018


def test_references_are_read_in_pieces_no_larger_than_a_step():
    sizes = []
    run = run_of("causal_lm", "npo", replace(SGD, micro_batch_size=2))
    run.store("seen", role="forget", read=lambda b: sizes.append(len(b)) or run.learner.log_likelihood(b))
    assert max(sizes) == 2
    assert sum(sizes) == len(run.request.ids["forget"]) == len(run.artefacts["seen"].values)
