"""A few steps on some of the forgotten facts bring the others back, or do not."""

from functools import cache

import numpy as np
import pytest
import torch
from learned import locked, original, people, retrained, trial
from lookup import case

from expunge.attacks._base import nearness
from expunge.attacks.relearning import Relearning
from expunge.config import TrainConfig
from expunge.data import Dataset
from expunge.errors import ConfigError, DivergedError, NothingToMeasure
from expunge.learners import Learner, Regressor
from expunge.methods.finetune import Finetune
from expunge.metrics import Block
from expunge.models import mlp
from expunge.request import Resolved
from expunge.train import Run, copied

FEW = (1, 2, 5, 10)


def judged_forgotten(found):
    return found.mean(people().ids["forget"]).tolist()


def test_no_fact_that_is_judged_is_taught(monkeypatch):
    taught = []
    execute = Run.execute
    monkeypatch.setattr(Run, "execute", lambda run: (taught.extend(run.ids("retain")), execute(run))[1])
    found = Relearning(steps=(1,)).run(original(), trial())
    facts = {
        side: set(people().dataset.values("value", ids)) for side, ids in (("taught", taught), ("judged", found.ids))
    }
    assert taught
    assert facts["taught"].isdisjoint(facts["judged"])
    assert {*taught, *found.ids} == {*people().ids["forget"], *people().ids["holdout"]}


def test_before_the_first_step_it_is_the_model():
    learner, case = retrained(), trial()
    before = learner.hash()
    found = Relearning(steps=(1,)).run(learner, case)
    assert found.turns == (0.0, 1.0)
    assert found.values[0] == pytest.approx(case.probability(learner, ids=found.ids).values)
    assert not (found.values[1] == found.values[0]).all()
    assert learner.hash() == before


def test_relearning_the_original_does_not_lower_it():
    curve = judged_forgotten(Relearning(steps=FEW).run(original(), trial()))
    assert min(curve) > curve[0] - 0.02


def test_what_was_only_hidden_comes_back_and_what_was_never_known_does_not():
    hidden = judged_forgotten(Relearning(steps=FEW, lr=3e-3).run(locked(), trial()))
    never = judged_forgotten(Relearning(steps=FEW, lr=3e-3).run(retrained(), trial()))
    assert max(hidden) - hidden[0] > 0.2
    assert max(hidden) - max(never) > 0.3


def test_retained_records_teach_for_all_of_the_forgotten_ones():
    found = Relearning(on="retained", steps=(1,)).run(original(), trial())
    assert found.ids == trial().ids
    case = trial()
    object.__setattr__(case, "request", Resolved(people().dataset, people().ids | {"retain": []}))
    assert "no retained records" in Relearning(on="retained").lacks(original(), case)
    assert Relearning().lacks(original(), case) == ""


def numbers(truth, prediction) -> Block:
    """A regressor's stored answers, [n, K], up to what nearness does not read."""
    truth, zeros = np.array(truth, dtype=float), np.zeros(np.size(truth))
    return Block(
        ids=[f"r{n}" for n in range(len(truth))],
        offsets=np.arange(len(truth) + 1) * truth.shape[1],
        **{name: zeros for name in ("logp", "mean", "var")},
        hit=zeros > 0,
        extras={"truth": truth, "prediction": np.array(prediction, dtype=float)},
    )


def test_nearness_is_a_gaussian_of_the_error_in_deviations_of_the_target():
    one = numbers([[0], [2], [4]], [[0], [2.5], [3]])
    np.testing.assert_allclose(nearness(one, np.array(0.5)), np.exp([0, -0.5, -2]))
    two = numbers([[1, 1], [1, 1]], [[1, 1], [3, 2]])
    np.testing.assert_allclose(nearness(two, np.array([2.0, 0.0])), np.exp([0, -0.5]))


@cache
def group() -> Resolved:
    """300 records of two numbers; of a fifth, to be forgotten, no other tells that their targets lie 6 higher."""
    draw = np.random.default_rng(0)
    x = draw.uniform(-1, 1, (300, 2)).astype(np.float32)
    inside = x[:, 1] > 0.6
    columns = {"features": x, "target": (np.sin(3 * x[:, 0]) + 6 * inside).astype(np.float32)}
    ids = [str(n) for n in range(300)]
    sets = {r: [ids[n] for n in np.flatnonzero(rows)] for r, rows in (("forget", inside), ("retain", ~inside))}
    return Resolved(Dataset("group", ids, columns), sets)


def taught(learner: Learner, ids, epochs: float, seed: int) -> Learner:
    """A copy after some passes over some records."""
    train = TrainConfig(epochs=epochs, lr=1e-2, batch_size=50, optimiser="adam", clip=None)
    request = Resolved(group().dataset, {"retain": ids})
    return Run(copied(learner), request, Finetune(), train=train, seed=seed).execute()


def test_a_group_comes_back_in_a_regressor_that_knew_it_and_in_a_retrained_one_as_in_another():
    forget, retain = group().ids["forget"], group().ids["retain"]
    torch.manual_seed(0)
    blanks = [Regressor(mlp.build(inputs=2, classes=1, hidden=[32])) for _ in range(3)]
    known = taught(blanks[0], forget + retain, 20, 0)
    hidden, *never = taught(known, retain, 0.8, 1), *(taught(b, retain, 20, n) for n, b in enumerate(blanks[1:]))
    attack, trial_ = Relearning(steps=(2, 5, 10)), case(group())
    assert attack.lacks(known, trial_) == ""
    read = [attack.run(learner, trial_) for learner in (known, hidden, *never)]
    original_, hidden_, first, second = (outcome.mean(forget) for outcome in read)
    excess, control = ((of - first) / (original_ - first) for of in (hidden_, second))
    assert excess.max() > 0.3
    assert abs(control).max() < attack.limit(known)
    assert all(((o.values >= 0) & (o.values <= 1)).all() for o in read)


def test_a_model_that_diverges_is_not_measured(monkeypatch):
    def diverge(run):
        raise DivergedError("the loss is not finite at step 3")

    monkeypatch.setattr(Run, "execute", diverge)
    with pytest.raises(NothingToMeasure, match="diverge") as error:
        Relearning().run(retrained(), trial())
    assert "lr" in error.value.hint


def test_every_step_on_a_record_counts_three_readings():
    case = trial()
    assert Relearning(steps=(1, 4), batch_size=8).cost(case) == 3 * 4 * 8 + 3 * len(case.ids)


@pytest.mark.parametrize(
    "wrong", [{"on": "all"}, {"share": 0.0}, {"lr": 0.0}, {"steps": ()}, {"steps": (5, 2)}, {"batch_size": 0}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match="relearning"):
        Relearning(**wrong)
