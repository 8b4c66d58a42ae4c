"""Gradient restriction: its value and gradient by hand, its limit, and that it lowers what it penalises."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from expunge.data import Dataset
from expunge.errors import ConfigError
from expunge.learners import Classifier, Regressor
from expunge.methods.finetune import Finetune
from expunge.methods.gradient_restriction import GradientRestriction
from expunge.request import Resolved
from expunge.train import Batches, Run, gradients_by_part


def scalar(weight: float, points: list[tuple[float, float]], alpha: float) -> Run:
    """y = w x with unit Gaussian noise: ℓ = mean (w x − y)² / 2 + constant, ℓ' = mean x (w x − y), ℓ'' = mean x²."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, weight)
    columns = {"x": np.array([[x] for x, _ in points], np.float32), "target": np.array([y for _, y in points])}
    ids = [str(n) for n in range(len(points))]
    request = Resolved(Dataset("line", ids, columns), {"forget": [], "retain": ids})
    return Run(Regressor(model, sigma=1.0), request, GradientRestriction(alpha=alpha))


def parts(run: Run, records: int | None = None):
    batch = run.batch(run.ids("retain")[:records], "retain")
    return gradients_by_part(run, [Batches({"retain": batch})])


def test_the_penalty_is_the_size_of_the_mean_gradient_and_pulls_by_the_curvature():
    run = scalar(0.5, [(1.0, 2.0), (2.0, 3.0)], alpha=0.1)
    slope = (1 * (0.5 - 2) + 2 * (1 - 3)) / 2
    found, values = parts(run)
    assert values["restriction"] == pytest.approx(0.1 * abs(slope), rel=1e-6)
    assert_close(found["retain"]["weight"], torch.tensor([[slope]]))
    assert_close(found["restriction"]["weight"], torch.tensor([[0.1 * -1 * (1 + 4) / 2]]))


def test_at_a_minimum_the_penalty_has_a_slope_and_it_is_zero():
    found, values = parts(scalar(2.0, [(1.0, 2.0), (2.0, 4.0)], alpha=1.0))
    assert values["restriction"] == pytest.approx(1e-6)
    assert found["restriction"]["weight"].item() == 0


def test_the_norms_of_tensors_are_summed_and_their_gradient_is_that_of_differences(digits_data):
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Tanh(), nn.Linear(6, 10))
    run = Run(
        Classifier(model),
        Resolved(digits_data, {"forget": [], "retain": digits_data.ids[:20]}),
        GradientRestriction(alpha=2.0),
    )
    found, values = parts(run)
    norms = [g.norm() for g in run.gradient_of("retain").values()]
    assert len(norms) == 4
    assert values["restriction"] == pytest.approx(2 * float(sum(norms)), rel=1e-5)
    towards = {n: torch.randn(p.shape, generator=generator) for n, p in run.learner.trainable().items()}
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            for name, weight in run.learner.trainable().items():
                weight += sign * 1e-2 * towards[name]
        ends.append(parts(run)[1]["restriction"])
        with torch.no_grad():
            for name, weight in run.learner.trainable().items():
                weight -= sign * 1e-2 * towards[name]
    along = sum((found["restriction"][n] * towards[n]).sum().item() for n in towards)
    assert (ends[0] - ends[1]) / 2e-2 == pytest.approx(along, rel=1e-2)


def test_without_a_penalty_it_is_fine_tuning_bit_for_bit(begin, kind):
    hashes = [
        begin(m, kind, steps=5, batch_size=6).execute().hash() for m in (GradientRestriction(alpha=0), Finetune())
    ]
    assert hashes[0] == hashes[1]


def test_training_with_it_leaves_smaller_gradients_than_training_without(begin):
    runs = [begin(method, steps=40, batch_size=128, lr=1e-3) for method in (GradientRestriction(alpha=0.3), Finetune())]
    sizes = []
    for run in runs:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            run.learner.load_state(run.learner.fresh(1).state())
        run.execute()
        sizes.append(sum(g.norm().item() for g in run.gradient_of("retain").values()))
    assert sizes[0] < 0.8 * sizes[1]


def test_a_batch_that_would_be_split_is_refused(begin):
    run = begin(GradientRestriction(), batch_size=8, micro_batch_size=4)
    with pytest.raises(ConfigError, match="gradient_restriction couples the examples of a batch"):
        run.execute()


def test_a_negative_alpha_is_refused():
    with pytest.raises(ConfigError, match="gradient_restriction: alpha must be ≥ 0, got -1"):
        GradientRestriction(alpha=-1)


def test_frozen_weights_take_no_part(begin):
    run = begin(GradientRestriction(alpha=1.0), steps=2, lr=1e-2)
    frozen = "1.weight"
    dict(run.learner.model.named_parameters())[frozen].requires_grad_(False)
    before = run.learner.state()
    after = run.execute().state()
    assert {n for n in after if torch.equal(after[n], before[n])} == {frozen}
