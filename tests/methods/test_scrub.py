"""SCRUB: the divergence by hand, the order of passes, the nudge, the rewind, and what it refuses."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import kl_div
from torch.testing import assert_close

from expunge.config import TrainConfig
from expunge.data import Dataset
from expunge.errors import ConfigError, DivergedError
from expunge.learners import Classifier
from expunge.methods.retrain import Retrain
from expunge.methods.scrub import SCRUB
from expunge.models import mlp
from expunge.request import ForgetRequest, Resolved
from expunge.train import Run, Watch, copied

TRAIN = {"epochs": 10, "lr": 1e-3, "optimiser": "adam", "clip": None}


@pytest.fixture(scope="module")
def with_holdout(digits_data) -> Resolved:
    """Class 3 goes; its test images are unseen images of the same kind."""
    label = dict(zip(digits_data.ids, digits_data.columns["label"].tolist(), strict=True))
    test = digits_data.split("test")
    sets = {"holdout": [i for i in test if label[i] == 3], "test": [i for i in test if label[i] != 3]}
    return ForgetRequest(digits_data, forget={"label": 3, "split": "train"}, **sets).resolve()


def two_classes(bias: tuple[float, float]) -> tuple[Classifier, Resolved]:
    """A model whose logits are its bias, whatever it sees."""
    data = Dataset("two", ["a", "b"], {"x": np.ones((2, 1), np.float32), "label": np.array([0, 1])})
    model = nn.Linear(1, 2)
    nn.init.zeros_(model.weight)
    with torch.no_grad():
        model.bias.copy_(torch.tensor(bias))
    return Classifier(model), ForgetRequest(data, forget=["a"]).resolve()


def test_the_divergence_has_the_value_computed_by_hand():
    learner, request = two_classes((0.0, 0.0))
    run = Run(learner, request, SCRUB(temperature=4.0))
    run.method.begin(run)
    with torch.no_grad():
        learner.model.bias.copy_(torch.tensor([4 * math.log(3), 0.0]))
    by_hand = 16 * (0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25))
    assert run.method.divergence(run, run.batch(["a"], "forget")).item() == pytest.approx(by_hand, rel=1e-5)


def test_the_divergence_is_torchs_batch_mean_times_the_squared_temperature(begin, parts_of, perturb, tiny_classifier):
    run = begin(SCRUB(temperature=2.0))
    perturb(run)
    batch = run.batch(run.ids("forget")[:6], "forget")
    teacher, student = (m.logits(batch) / 2 for m in (tiny_classifier, run.learner))
    expected = 4 * kl_div(student.log_softmax(-1), teacher.softmax(-1), reduction="batchmean")
    assert parts_of(run, phase="max")[1]["away"] == pytest.approx(-expected.item(), rel=1e-4)


def test_the_start_is_stationary_and_a_step_away_is_not(begin, parts_of, perturb, kind):
    run = begin(SCRUB(), kind)
    found, values = parts_of(run, phase="max")
    assert values["away"] == pytest.approx(0, abs=1e-5)
    assert max(g.abs().max() for g in found["away"].values()) < 1e-5
    perturb(run)
    assert parts_of(run, phase="max")[1]["away"] < -1e-3


def test_the_teacher_stays_bit_identical_and_shares_nothing(tiny_classifier, digits_request):
    seen = []

    def read(run: Run) -> dict[str, float]:
        seen.append(run.reference_logits(run.batch(run.ids("retain")[:64], "retain")).clone())
        return {}

    run = Run(copied(tiny_classifier), digits_request, SCRUB(), train=TrainConfig(**TRAIN), watch=Watch(40, read))
    run.execute()
    with tiny_classifier.evaluating():
        original = tiny_classifier.logits(
            tiny_classifier.collate(digits_request.dataset, digits_request.ids["retain"][:64])
        )
    assert len(seen) > 3
    for logits in seen:
        assert_close(logits, original, rtol=0, atol=1e-5)
        assert torch.equal(logits, seen[0])


def test_every_max_pass_comes_before_its_min_pass_and_the_run_ends_on_one(begin):
    run = begin(SCRUB(max_epochs=2), **TRAIN)
    phases, rates = [], []
    for step in run.method.batches(run):
        if step.snapshot:
            phases.append([])
            rates.append(set())
        if step.ids:
            phases[-1] += [step.phase] if phases[-1][-1:] != [step.phase] else []
            rates[-1].add(round(step.lr_scale, 9))
            assert set(step.ids) == {"forget" if step.phase == "max" else "retain"}
    assert phases == [["max", "min"]] * 2 + [["min"]] * 8
    assert rates == [{1.0}] * 5 + [{0.1}] * 3 + [{0.01}, {0.001}]


def test_without_any_force_the_weights_do_not_move(begin, kind):
    run = begin(SCRUB(alpha=0, gamma=0, max_epochs=0, init_nudge=0), kind, epochs=2, optimiser="adam")
    before = run.learner.hash()
    assert run.execute().hash() == before


def test_the_nudge_has_its_length_and_raises_the_forget_loss(begin, kind):
    run = begin(SCRUB(init_nudge=0.1), kind)
    before, loss = run.learner.state(), -run.read("forget").mean()
    run.method.nudge(run)
    moved = torch.cat([(t - before[n]).flatten() for n, t in run.learner.state().items()])
    assert moved.norm().item() == pytest.approx(0.1, rel=1e-4)
    assert -run.read("forget").mean() > loss


def test_no_nudge_is_exactly_no_move(begin):
    run = begin(SCRUB(init_nudge=0))
    before = run.learner.hash()
    run.method.nudge(run)
    assert run.learner.hash() == before


def test_a_wrong_way_escape_is_refused_and_the_right_way_is_not(begin):
    run = begin(SCRUB())
    run.method.nudge(run)
    run.method.refuse_wrong_way(run)
    gradient = run.gradient_of("forget")
    with torch.no_grad():
        for name, parameter in run.learner.trainable().items():
            parameter -= 5 * gradient[name]
    with pytest.raises(DivergedError, match="went from") as caught:
        run.method.refuse_wrong_way(run)
    assert "init_nudge=0.1" in caught.value.hint


@dataclass(frozen=True, kw_only=True)
class Remembers(SCRUB):
    """Keeps the snapshots beyond the run."""

    kept: dict = field(default_factory=dict)

    def end(self, run: Run) -> None:
        super().end(run)
        self.kept.update(run.snapshots)


@pytest.mark.parametrize("alpha", [0.001, 0.5])
def test_rewinding_returns_the_snapshot_nearest_to_unseen_data_bit_for_bit(tiny_classifier, with_holdout, alpha):
    method = Remembers(alpha=alpha, rewind=True)
    run = Run(copied(tiny_classifier), with_holdout, method, train=TrainConfig(**TRAIN))
    run.execute()
    chosen = run.log[-1]["rewind"]
    gaps = {name: abs(error - chosen["reference"]) for name, error in chosen["errors"].items()}
    assert set(gaps) == {str(epoch) for epoch in range(11)}
    assert gaps[str(chosen["epoch"])] == min(gaps.values())
    assert chosen["epoch"] == max(int(name) for name, gap in gaps.items() if gap == min(gaps.values()))
    for name, tensor in run.learner.state().items():
        assert torch.equal(tensor, method.kept[str(chosen["epoch"])][name])


def test_of_equal_snapshots_the_later_one_is_taken(tiny_classifier, with_holdout):
    run = Run(copied(tiny_classifier), with_holdout, SCRUB(rewind=True), train=TrainConfig(epochs=2))
    run.snapshot("0")
    run.snapshot("1")
    run.method.end(run)
    assert run.log[-1]["rewind"]["epoch"] == 2


def test_rewinding_needs_unseen_records(begin):
    with pytest.raises(ConfigError, match="holdout"):
        begin(SCRUB(rewind=True))


def test_a_class_is_forgotten_and_the_others_stay(begin, digits_request):
    run = begin(SCRUB(), **TRAIN)
    learner = run.execute()
    assert learner.score(digits_request.dataset, digits_request.ids["forget"])[""]["hit"].mean() <= 0.05
    assert learner.score(digits_request.dataset, digits_request.ids["retain"])[""]["hit"].mean() >= 0.95


def test_swapped_labels_are_resolved(digits_data):
    """Sixty images of each of two classes bear the other's label; forgetting these ends the confusion."""
    first, second = 1, 7
    label, draw = digits_data.columns["label"].copy(), np.random.default_rng(0)
    swapped = []
    for kind in (first, second):
        members = [i for i in digits_data.split("train") if digits_data.columns["label"][digits_data.row_of[i]] == kind]
        swapped += draw.choice(members, 60, replace=False).tolist()
    label[digits_data.rows(swapped)] = first + second - label[digits_data.rows(swapped)]
    data = Dataset("swapped", digits_data.ids, {**digits_data.columns, "label": label})
    request = ForgetRequest(data, forget=swapped).resolve()
    whole = Resolved(data, {"forget": [], "retain": data.split("train")})
    original = Classifier(mlp.build(inputs=64, classes=10))
    train = TrainConfig(epochs=20, lr=2e-3, batch_size=64, optimiser="adam", clip=None)
    Run(original, whole, Retrain(), train=train, seed=1).execute()

    def confusions(learner: Classifier) -> int:
        read = learner.score(data, data.split("test"))[""]["extras"]
        truth, said = read["target"], read["log_probs"].argmax(1)
        return int((((truth == first) & (said == second)) | ((truth == second) & (said == first))).sum())

    method = SCRUB(alpha=0.01, gamma=99.0, temperature=2.0, max_epochs=2, milestones=(5, 6, 9))
    unlearned = Run(copied(original), request, method, train=TrainConfig(**TRAIN)).execute()
    assert confusions(original) >= 20
    assert confusions(unlearned) < 0.25 * confusions(original)


@pytest.mark.parametrize("options", [{"temperature": 0}, {"decay": 0}, {"max_epochs": -1}, {"init_nudge": -0.1}])
def test_values_out_of_range_are_refused_by_name(options):
    with pytest.raises(ConfigError, match=f"scrub: {next(iter(options))} must be"):
        SCRUB(**options)


def test_twenty_steps_give_the_committed_losses(begin, check_trajectory):
    method = SCRUB(max_epochs=2, forget_batch=3, retain_batch=4)
    check_trajectory("scrub", begin(method, "causal_lm", epochs=4, lr=1e-3, stop_at=20))
