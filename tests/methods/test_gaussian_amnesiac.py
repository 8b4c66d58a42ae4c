"""Gaussian-Amnesiac: what is drawn and for whom, the mean that is minimised, and a group forgotten part of the way."""

import numpy as np
import pytest
import torch
from grouped import blank, error, mixed, original, predicted, request, started, value, wasserstein
from scipy.stats import kstest

from expunge.data import Dataset
from expunge.errors import LearnerError
from expunge.learners import Regressor
from expunge.methods._absolute_error import AbsoluteErrorFit
from expunge.methods.gaussian_amnesiac import GaussianAmnesiac
from expunge.models import mlp
from expunge.request import Resolved
from expunge.testing import tiny
from expunge.train import Run, copied


def many(targets) -> Resolved:
    """As many records as targets, all but one to be forgotten."""
    ids = [str(n) for n in range(len(targets))]
    columns = {"features": np.zeros((len(ids), 2), dtype=np.float32), "target": np.asarray(targets, dtype=np.float32)}
    return Resolved(Dataset("many", ids, columns), {"forget": ids[1:], "retain": ids[:1]})


def drawn(run: Run, ids=None) -> np.ndarray:
    return run.method.targets(run, run.batch(ids or run.ids("forget"), "forget")).numpy()


def test_draws_are_normal_with_mean_and_deviation_of_all_that_was_trained_on():
    targets = np.random.default_rng(0).exponential(2.0, 2001)
    run = started(GaussianAmnesiac(), blank(), many(targets))
    assert kstest(drawn(run), "norm", args=(targets.mean(), targets.std())).pvalue > 0.05
    assert run.artefacts["targets"]["mean"].item() == pytest.approx(targets.mean(), rel=1e-6)
    assert run.artefacts["targets"]["std"].item() == pytest.approx(targets.std(), rel=1e-6)


def test_equal_targets_leave_nothing_to_draw():
    assert (drawn(started(GaussianAmnesiac(), blank(), many([3.0] * 9))) == 3).all()


def test_each_target_has_its_own_mean_and_deviation():
    run = started(GaussianAmnesiac(), blank(3), request(3))
    one, two, three = drawn(run).reshape(-1, 3).T
    mean, std = (run.artefacts["targets"][name].numpy() for name in ("mean", "std"))
    np.testing.assert_allclose(mean, mean[0] * np.array([1, 2, 3]), rtol=1e-6)
    np.testing.assert_allclose(std, std[0] * np.array([1, 2, 3]), rtol=1e-6)
    scores = [(values - m) / s for values, m, s in zip((one, two, three), mean, std, strict=True)]
    assert abs(np.corrcoef(scores) - np.eye(3)).max() < 0.3


def test_a_record_is_taught_the_same_number_whatever_stands_beside_it_and_whenever():
    run = started(GaussianAmnesiac())
    every = drawn(run)
    run.cost.steps = 99
    assert np.array_equal(drawn(run, run.ids("forget")[5:7]), every[5:7])
    assert len(set(every.tolist())) == len(every)
    other = Run(copied(original()), request(), GaussianAmnesiac(), seed=1)
    other.method.begin(other)
    assert not np.intersect1d(drawn(other), every).size


def test_the_loss_is_the_mean_over_both_sets_of_the_absolute_error():
    run = started(GaussianAmnesiac())
    batch = mixed(run, 3, 5)
    off = np.abs(predicted(run.learner, "forget")[:3, 0] - drawn(run)[:3]).tolist()
    truth = batch.retain.targets.numpy()
    off += np.abs(predicted(run.learner, "retain")[:5, 0] - truth).tolist()
    assert value(run.method.loss(run, batch)) == pytest.approx(np.mean(off), rel=1e-5)


@pytest.mark.parametrize(("forget", "retain"), [(4, 0), (0, 4)])
def test_a_batch_of_one_set_alone_has_its_mean(forget, retain):
    run = started(GaussianAmnesiac())
    (part,) = run.method.loss(run, mixed(run, forget, retain)).values()
    assert part.weight == 4
    assert torch.isfinite(part.total)


def test_the_forgotten_targets_are_not_taught():
    run = started(GaussianAmnesiac())
    batch = mixed(run, 4, 0)
    before = value(run.method.loss(run, batch))
    batch.forget.targets.fill_(1e6)
    assert value(run.method.loss(run, batch)) == before


def test_a_group_is_forgotten_further_than_by_fine_tuning_and_the_rest_stays():
    learner = started(GaussianAmnesiac()).execute()
    tuned = started(AbsoluteErrorFit()).execute()
    assert wasserstein(learner) < wasserstein(tuned) < wasserstein(original())
    assert wasserstein(learner) < 0.5 * wasserstein(original())
    assert error(learner) < error(original()) + 0.1


def test_a_network_with_its_own_variances_and_a_classifier_are_refused_before_anything_changes():
    wide = Regressor(mlp.build(inputs=2, classes=2, hidden=[8]))
    with pytest.raises(LearnerError, match="2 numbers for 1 target") as error:
        started(GaussianAmnesiac(), wide)
    assert "likelihood" in error.value.hint
    make, points = tiny("classifier")
    with pytest.raises(LearnerError, match="gaussian_amnesiac: a classifier predicts no numbers"):
        started(GaussianAmnesiac(), make(), points)
