"""IAU: the step and its limits, agreement with retraining to second order, the searched length, and what it forgets."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from torch.autograd.functional import hessian, jacobian
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from expunge.data import Dataset
from expunge.errors import ConfigError
from expunge.learners import Classifier
from expunge.methods.iau import IAU
from expunge.request import ForgetRequest, Resolved
from expunge.train import Run

CLASSES, WIDTH, L2 = 3, 4, 0.05


class Double(Classifier):
    """A classifier in double precision."""

    def collate(self, dataset, ids, role="", field=""):
        batch = super().collate(dataset, ids, role, field)
        batch.inputs["x"] = batch.inputs["x"].double()
        return batch

    def log_prob(self, logits_NV, targets_N):
        return -cross_entropy(logits_NV, targets_N, reduction="none")


def points(count: int, copies: int = 1) -> Dataset:
    """Three noisy classes; the first five records stand there `copies` times, first of all."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(count, WIDTH, generator=generator)
    labels = (features @ torch.randn(WIDTH, CLASSES, generator=generator)).argmax(1)
    labels = torch.where(torch.rand(count, generator=generator) < 0.2, (labels + 1) % CLASSES, labels)
    rows = [*list(range(5)) * copies, *range(5, count - 5 * (copies - 1))]
    columns = {"features": features[rows].numpy(), "label": labels[rows].numpy()}
    return Dataset("points", [str(n) for n in range(count)], columns)


def objective(weights: torch.Tensor, data: Dataset, ids: list[str]) -> torch.Tensor:
    """Mean cross-entropy of a linear classifier without bias, weights [C · D], with its L2 penalty."""
    features, labels = (torch.from_numpy(data.values(name, ids)) for name in ("features", "label"))
    logits = features.double() @ weights.view(CLASSES, WIDTH).T
    return cross_entropy(logits, labels) + L2 / 2 * weights.square().sum()


def minimum(data: Dataset, ids: list[str]) -> torch.Tensor:
    """The minimum of the objective, by Newton's method to rounding."""
    weights = torch.zeros(CLASSES * WIDTH, dtype=torch.float64)
    for _ in range(7):
        slope = jacobian(partial(objective, data=data, ids=ids), weights)
        weights = weights - torch.linalg.solve(hessian(partial(objective, data=data, ids=ids), weights), slope)
    assert slope.norm() < 1e-12
    return weights


def linear(data: Dataset, weights: torch.Tensor, forget: list[str], method: IAU) -> Run:
    model = torch.nn.Linear(WIDTH, CLASSES, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(weights.view(CLASSES, WIDTH))
    return Run(Double(model), ForgetRequest(data, forget=forget).resolve(), method)


def test_preconditioned_by_the_inverse_hessian_it_agrees_with_retraining_to_second_order():
    data = points(400, copies=4)
    original = minimum(data, data.ids)
    curvature = hessian(partial(objective, data=data, ids=data.ids), original)
    errors, distances = [], []
    for count in (20, 10, 5):  # 4, 2 and 1 copies of the same five records, so that their mean gradient is one
        run = linear(data, original, data.ids[:count], IAU())
        towards = IAU().direction(run)["weight"].flatten()
        unlearned = original - count / len(data) * torch.linalg.solve(curvature, towards)
        retrained = minimum(data, data.ids[count:])
        errors.append((unlearned - retrained).norm().item())
        distances.append((original - retrained).norm().item())
    for k in (0, 1):
        assert 3.5 <= errors[k] / errors[k + 1] <= 5
        assert 1.8 <= distances[k] / distances[k + 1] <= 2.5
    assert errors[-1] < 0.1 * distances[-1]


def test_a_step_is_eta_times_the_retain_gradient_less_the_forget_gradient():
    data = points(150)  # more than are read at once
    start = torch.linspace(-1, 1, CLASSES * WIDTH).double()
    run = linear(data, start, data.ids[:70], IAU(step=1.5))
    moved = run.execute().state()["weight"].flatten()

    def mean_loss(weights, ids):
        return objective(weights, data, ids) - L2 / 2 * weights.square().sum()

    retain, forget = (jacobian(partial(mean_loss, ids=ids), start) for ids in (data.ids[70:], data.ids[:70]))
    assert_close(moved, start - 1.5 * (retain - forget), rtol=0, atol=1e-12)


@pytest.mark.parametrize("step", [0.5, "search"])
def test_equal_gradients_move_nothing_and_warn(step):
    data = Dataset("twice", list("abcd"), {
        "features": np.array([[1, 0, 0, 1], [0, 1, 0, 0]] * 2, np.float32), "label": np.array([0, 1] * 2),
    })  # fmt: skip
    start = torch.arange(CLASSES * WIDTH).double() / 10
    run = linear(data, start, ["a", "b"], IAU(step=step))
    with pytest.warns(UserWarning, match="less than 5%: the step forgot nothing"):
        moved = run.execute().state()["weight"].flatten()
    assert torch.equal(moved, start)


def test_the_sign_step_is_the_first_step_of_a_fresh_adam(begin):
    run = begin(IAU(step=1e-3, optimiser="adam_sign"))
    original = run.learner.state()
    retain, forget = run.gradient_of("retain"), run.gradient_of("forget")
    moved = run.execute().state()
    for name, before in original.items():
        weight = torch.nn.Parameter(before.clone())
        weight.grad = retain[name] - forget[name]
        torch.optim.Adam([weight], lr=1e-3).step()
        assert_close(moved[name], weight.detach(), rtol=0, atol=1e-7)


def test_a_step_that_changes_the_forget_loss_by_less_than_a_twentieth_warns_and_a_longer_one_does_not(begin):
    with pytest.warns(UserWarning, match="iau: the forget loss went from"):
        begin(IAU(step=1e-5, optimiser="adam_sign")).execute()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        begin(IAU(step=1e-2, optimiser="adam_sign")).execute()


@pytest.mark.parametrize("optimiser", ["sgd", "adam_sign"])
def test_the_searched_step_is_the_longest_that_the_slack_allows(begin, optimiser):
    run = begin(IAU(slack=0.05, optimiser=optimiser))
    before = -run.read("retain").mean().item()
    step = run.execute() and run.log[-1]["eta"]
    assert 0 < run.log[-1]["retain"] - before <= 0.05
    further = begin(IAU(step=1.1 * step, optimiser=optimiser))
    further.execute()
    assert further.log[-1]["retain"] - before > 0.05


def test_a_larger_slack_gives_a_longer_step_that_forgets_more(begin):
    runs = [begin(IAU(slack=slack)) for slack in (0.0, 0.1)]
    for run in runs:
        run.execute()
    for column in ("eta", "forget"):
        assert runs[0].log[-1][column] < runs[1].log[-1][column]


def test_the_loss_of_random_records_grows_far_more_than_that_of_the_others_who_stay_known(begin, digits_data):
    request = ForgetRequest(digits_data, forget=digits_data.split("train")[::10]).resolve()
    run = begin(IAU(), "classifier", request)
    before = {role: -run.read(role).mean().item() for role in ("forget", "retain")}
    run.execute()
    growth = {role: run.log[-1][role] / before[role] for role in before}
    assert growth["forget"] > 4
    assert growth["retain"] < 2
    assert run.learner.score(digits_data, request.ids["retain"])[""]["hit"].mean() >= 0.98


def test_a_class_is_forgotten_by_one_step_of_searched_length_and_not_by_the_published_one(begin, digits_request):
    hits = {}
    for name, method in (("searched", IAU(slack=0.05)), ("published", IAU(step=1e-3, optimiser="adam_sign"))):
        learner = begin(method).execute()
        sets = {role: digits_request.ids[role] for role in ("forget", "retain")}
        hits[name] = {r: learner.score(digits_request.dataset, ids)[""]["hit"].mean() for r, ids in sets.items()}
    assert hits["searched"]["forget"] <= 0.05
    assert hits["searched"]["retain"] >= 0.95
    assert hits["published"]["forget"] >= 0.9


def test_without_anything_to_keep_it_refuses(begin, digits_request):
    nothing = Resolved(digits_request.dataset, {**digits_request.ids, "retain": []})
    with pytest.raises(ConfigError, match="iau needs retain records"):
        begin(IAU(), "classifier", nothing).execute()


@pytest.mark.parametrize("options", [{"step": 0}, {"slack": -1}, {"optimiser": "lbfgs"}])
def test_values_out_of_range_are_refused_by_name(options):
    with pytest.raises(ConfigError, match=rf"iau: {next(iter(options))} must be"):
        IAU(**options)
