"""Certified removal: what bounds bound, what a budget is, exactness where the loss is squared, and the ledger."""

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from expunge.data import Dataset
from expunge.errors import ConfigError, LearnerError, RequestError, RunError
from expunge.learners import Classifier, Regressor, load
from expunge.methods._certified import (
    Rows,
    bounds,
    budget,
    fit,
    jacobian_gap,
    newton_step,
    with_unit_length,
)
from expunge.methods._certified_ledger import Ledger, digest
from expunge.methods.certified_removal import CertifiedRemoval
from expunge.models import mlp
from expunge.request import Resolved
from expunge.train import Run, copied

N = 80


def random_rows(n: int = N, features: int = 6, columns: int = 3, l2: float = 1e-2, seed: int = 0) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    x = with_unit_length(torch.randn(n, features, dtype=torch.float64, generator=generator))
    y = torch.where(x[:, :columns] + torch.randn(n, columns, generator=generator) / 4 > 0, 1.0, -1.0).double()
    return Rows(x, y, l2)


def noise(rows: Rows, sigma: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(9)
    return sigma * torch.randn(rows.y.shape[1], rows.x.shape[1], dtype=torch.float64, generator=generator)


def some(rows: Rows, kept: slice) -> Rows:
    return replace(rows, x=rows.x[kept], y=rows.y[kept])


@pytest.fixture
def points() -> Dataset:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(N, 4)).astype(np.float32)
    label = (x[:, :3] + generator.normal(size=(N, 3)) / 3).argmax(1)
    columns = {"features": x, "label": label, "target": (x[:, 0] - 2 * x[:, 1] + label).astype(np.float32)}
    return Dataset("points", [f"points/{n}" for n in range(N)], columns)


@pytest.fixture
def kept(tmp_path) -> str:
    return str(tmp_path / "private" / "ledger")


def linear(classes: int = 3, **options) -> Classifier:
    torch.manual_seed(0)
    spec = {"inputs": 4, "classes": classes, "hidden": []}
    return Classifier(mlp.build(**spec), spec={"name": "mlp", **spec}, **options)


def trained(method: CertifiedRemoval, data: Dataset, learner=None):
    return method.train(learner or linear(), data, data.ids)


def remove(learner, data: Dataset, forget: list[int], gone: int, method: CertifiedRemoval, seed: int = 0) -> Run:
    """Remove some records; the first `gone` are out already."""
    ids = {"forget": [data.ids[k] for k in forget], "retain": [data.ids[k] for k in range(gone, N) if k not in forget]}
    run = Run(copied(learner), Resolved(data, ids), method, seed=seed)
    run.execute()
    return run


def certificate(run: Run) -> dict:
    return run.log[-1]["certificate"]


# The mathematics -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("epsilon", "exact", "published"), [(0.1, 24.5, 43.9), (1, 3.19, 4.39), (3, 1.22, 1.46)])
def test_the_exact_calibration_needs_less_noise_than_the_published_one(epsilon, exact, published):
    assert 1 / budget(1.0, epsilon, 1e-4, "analytic") == pytest.approx(exact, abs=0.01)
    assert 1 / budget(1.0, epsilon, 1e-4, "paper") == pytest.approx(published, abs=0.05)


def test_at_the_budget_the_gaussian_mechanism_has_exactly_the_asked_delta():
    def normal(z: float) -> float:
        return 0.5 * math.erfc(-z / math.sqrt(2))

    beta, epsilon = budget(2.0, 0.7, 1e-3, "analytic") / 2.0, 0.7
    found = normal(beta / 2 - epsilon / beta) - math.exp(epsilon) * normal(-beta / 2 - epsilon / beta)
    assert found == pytest.approx(1e-3, rel=1e-6)


def test_the_published_calibration_is_refused_where_it_masks_too_little():
    CertifiedRemoval(calibration="paper", epsilon=8.0)
    with pytest.raises(ConfigError, match="calibration 'paper' is wrong at epsilon 9"):
        CertifiedRemoval(calibration="paper", epsilon=9.0)


@pytest.mark.parametrize("sigma", [0.0, 1.0, 100.0])
@pytest.mark.parametrize("squared", [False, True])
def test_after_a_fit_no_gradient_is_left_in_sums(sigma, squared):
    rows = replace(random_rows(), squared=squared)
    assert (rows.gradient(fit(rows, noise(rows, sigma))) + noise(rows, sigma)).norm() < 1e-8


def test_the_noise_stands_beside_a_sum_and_not_a_mean():
    rows = random_rows()
    twice = replace(rows, x=torch.cat([rows.x, rows.x]), y=torch.cat([rows.y, rows.y]))
    assert_close(fit(twice, 2 * noise(rows)), fit(rows, noise(rows)), rtol=0, atol=1e-9)


@pytest.mark.parametrize("squared", [False, True])
def test_gradient_hessian_and_twist_are_the_derivatives_of_the_loss(squared):
    rows = replace(random_rows(n=12, columns=1), squared=squared)
    w = 3 * noise(rows)
    assert_close(rows.gradient(w), torch.func.grad(lambda v: rows.loss(v).sum())(w))
    second = torch.func.jacrev(lambda v: rows.gradient(v[None])[0])
    assert_close(rows.hessian(w[0]), second(w[0]))
    along = noise(rows, 0.5)[0]
    assert_close(rows.twist(w[0], along), torch.func.jvp(rows.hessian, (w[0],), (along,))[1])


@pytest.mark.parametrize("sigma", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("l2", [1e-3, 1e-2])
def test_after_every_step_the_residual_is_below_the_sharp_and_that_below_the_loose_bound(l2, sigma):
    rows = random_rows(l2=l2)
    b = noise(rows, sigma)
    w = fit(rows, b)
    spent = {name: (rows.gradient(w) + b).norm(dim=1) for name in ("sharp", "data_dependent", "worst")}
    for k in range(20):
        left = some(rows, slice(k + 1, None))
        v = newton_step(left, some(rows, slice(k, k + 1)).gradient(w), w)
        w = w + v
        for name, bound in bounds(left, v, 1, b).items():
            spent[name] = spent[name] + bound
        actual = (left.gradient(w) + b).norm(dim=1)
        assert (actual <= spent["sharp"]).all()
        assert (spent["sharp"] <= spent["data_dependent"]).all()
        assert (spent["data_dependent"] <= spent["worst"]).all()
    distance = (w - fit(left, b)).norm(dim=1)
    assert (distance <= actual / (l2 * len(left)) * (1 + 1e-6) + 1e-9).all()


def test_many_rows_at_once_are_bounded_too():
    rows = random_rows()
    b = noise(rows)
    w, left = fit(rows, b), some(rows, slice(30, None))
    v = newton_step(left, some(rows, slice(30)).gradient(w), w)
    found = bounds(left, v, 30, b)
    actual = (left.gradient(w + v) + b).norm(dim=1)
    assert (0.01 * found["sharp"] < actual).all()
    assert (actual <= found["sharp"] + 1e-9).all()
    assert (found["sharp"] <= found["data_dependent"]).all()
    assert (found["data_dependent"] <= found["worst"]).all()


def test_a_hessian_kept_from_the_fit_breaks_the_bound():
    rows = random_rows()
    b = noise(rows)
    w = at_fit = fit(rows, b)
    spent = (rows.gradient(w) + b).norm(dim=1)
    for k in range(30):
        gone, left = some(rows, slice(k, k + 1)), some(rows, slice(k + 1, None))
        pull = gone.gradient(w)
        v = torch.stack([torch.linalg.solve(rows.hessian(at_fit[c]), pull[c]) for c in range(len(w))])
        spent, w = spent + bounds(left, v, 1, b)["sharp"], w + v
    assert ((left.gradient(w) + b).norm(dim=1) > spent).all()


def test_a_step_of_the_squared_loss_is_exact_and_spends_nothing():
    rows = replace(random_rows(), squared=True)
    b = noise(rows)
    w, left = fit(rows, b), some(rows, slice(30, None))
    v = newton_step(left, some(rows, slice(30)).gradient(w), w)
    assert (left.gradient(w + v) + b).norm() < 1e-9
    assert_close(w + v, fit(left, b), rtol=0, atol=1e-9)
    assert all((bound == 0).all() for bound in bounds(left, v, 30, b).values())


def test_the_jacobian_gap_is_that_of_the_residual_over_the_noise():
    rows = random_rows(n=14, features=3, columns=1, l2=1e-2)
    b = noise(rows)

    def after_two(b_D: torch.Tensor) -> tuple[torch.Tensor, float]:
        w, gap = fit(rows, b_D[None]), 0.0
        for k in range(2):
            before, left = some(rows, slice(k, None)), some(rows, slice(k + 1, None))
            v = newton_step(left, some(rows, slice(k, k + 1)).gradient(w), w)
            gap += jacobian_gap(before, left, w, v)
            w = w + v
        return -left.gradient(w)[0], gap

    step = 1e-5
    moved = [
        (after_two(b[0] + step * e)[0] - after_two(b[0] - step * e)[0]) / (2 * step) for e in torch.eye(3).double()
    ]
    expected = torch.linalg.slogdet(torch.stack(moved)).logabsdet.item()
    assert abs(expected) > 1e-4
    assert after_two(b[0])[1] == pytest.approx(expected, rel=1e-4)


# The method ------------------------------------------------------------------------------------------------------


def test_requests_one_after_another_go_on_with_the_ledger_through_saved_folders(points, kept, tmp_path):
    method = CertifiedRemoval(ledger=kept)
    learner, spent = trained(method, points), [0.0]
    for k in range(5):
        run = remove(learner, points, [k], k, method)
        found = certificate(run)
        assert found["actual"] <= found["spent"]
        assert found["sharp"] <= found["data_dependent"] <= found["worst"]
        assert found["left"] == N - k - 1
        spent.append(found["spent"])
        run.learner.save(tmp_path / "model")
        learner = load(tmp_path / "model")
    assert spent == sorted(set(spent))
    state = Ledger.read(tmp_path / "private" / "ledger").states[digest(learner.head_module()[1])]
    assert state.removed == points.ids[:5]
    assert state.total == pytest.approx(math.sqrt(sum(s**2 for s in state.spent)))
    assert state.total == pytest.approx(spent[-1])
    assert len(state.spent) == 3


def test_what_comes_out_is_the_refit_with_the_same_noise_up_to_what_is_left(points, kept):
    method = CertifiedRemoval(ledger=kept)
    learner = trained(method, points)
    run = remove(learner, points, list(range(5)), 0, method)
    x = np.hstack([points.columns["features"], np.ones((N, 1))])[5:]
    y = np.where(points.columns["label"][5:, None] == np.arange(3), 1.0, -1.0)
    left = Rows(torch.tensor(x / np.linalg.norm(x, axis=1, keepdims=True)), torch.tensor(y), method.l2)
    refit = fit(left, Ledger.read(Path(kept)).secret)
    before, after = ((columns(m) - refit).norm() for m in (learner, run.learner))
    assert (left.gradient(columns(run.learner)) + Ledger.read(Path(kept)).secret).norm() == pytest.approx(
        certificate(run)["actual"], abs=1e-6
    )
    assert after <= certificate(run)["actual"] / (method.l2 * len(left)) + 1e-6
    assert after < 0.1 * before


def columns(learner) -> torch.Tensor:
    """The head's weights and biases, [K, D]."""
    head = learner.head_module()[1]
    return torch.cat([head.weight, head.bias[:, None]], dim=1).detach().double()


def test_beyond_the_budget_it_refuses_and_changes_nothing(points, kept):
    method = CertifiedRemoval(ledger=kept, sigma=0.05)
    learner = trained(method, points)
    before, ledger = learner.hash(), Path(kept).read_bytes()
    with pytest.raises(ConfigError, match=r"20 more records would spend .* of the 0.0157 that ε 1, δ 0.0001") as error:
        remove(learner, points, list(range(20)), 0, method)
    assert "when_spent=refit" in error.value.hint
    assert (learner.hash(), Path(kept).read_bytes()) == (before, ledger)


def test_beyond_the_budget_it_fits_anew_with_fresh_noise_where_that_is_asked(points, kept):
    method = CertifiedRemoval(ledger=kept, sigma=0.05, when_spent="refit")
    learner = trained(method, points)
    secret = Ledger.read(Path(kept)).secret
    run = remove(learner, points, list(range(20)), 0, method)
    assert certificate(run)["removed"] is None
    assert certificate(run)["actual"] == certificate(run)["spent"] < 1e-6 * N
    assert not torch.isclose(Ledger.read(Path(kept)).secret, secret).any()
    assert Ledger.read(Path(kept)).ids == points.ids[20:]


def test_without_noise_no_removal_is_certified(points, kept):
    method = CertifiedRemoval(ledger=kept, sigma=0.0)
    learner = trained(method, points)
    with pytest.raises(ConfigError, match="1 more records would spend"):
        remove(learner, points, [0], 0, method)


def test_ridge_regression_forgets_exactly_even_without_noise(points, kept):
    method = CertifiedRemoval(ledger=kept, sigma=0.0)
    torch.manual_seed(0)
    learner = trained(method, points, Regressor(nn.Linear(4, 1)))
    run = remove(learner, points, list(range(30)), 0, method)
    x = np.hstack([points.columns["features"], np.ones((N, 1))]).astype(float)[30:]
    y = points.columns["target"][30:].astype(float)
    closed = np.linalg.solve(x.T @ x + method.l2 * len(x) * np.eye(5), x.T @ y)
    assert_close(columns(run.learner)[0], torch.tensor(closed), rtol=0, atol=1e-6)
    assert certificate(run)["budget"] is None
    assert certificate(run)["sharp"] == 0


@pytest.mark.parametrize(
    ("forget", "left_out", "message"),
    [
        ([0, 1], 0, "'points/0' was removed before"),
        ([1, 2], 7, "1 records of the fit are in no set, e.g. 'points/7'"),
    ],
)
def test_a_record_that_is_gone_or_missing_is_named(points, kept, forget, left_out, message):
    method = CertifiedRemoval(ledger=kept)
    learner = remove(trained(method, points), points, [0], 0, method).learner
    retain = [i for k, i in enumerate(points.ids) if k not in (0, *forget, left_out)]
    request = Resolved(points, {"forget": [points.ids[k] for k in forget], "retain": retain})
    with pytest.raises(RequestError, match=message):
        Run(learner, request, method).execute()


def test_a_record_that_was_never_fitted_on_is_named(points, kept):
    method = CertifiedRemoval(ledger=kept)
    learner = method.train(linear(), points, points.ids[:50])
    for forget, retain in ([50], range(50)), ([0], range(1, 51)):
        ids = {"forget": [points.ids[k] for k in forget], "retain": [points.ids[k] for k in retain]}
        with pytest.raises(RequestError, match=r"not fitted on 1 of the records, e\.g\. 'points/50'"):
            Run(copied(learner), Resolved(points, ids), method).execute()


def test_a_head_that_the_ledger_does_not_know_is_refused(points, kept):
    method = CertifiedRemoval(ledger=kept)
    learner = trained(method, points)
    with torch.no_grad():
        learner.head_module()[1].bias += 0.1
    with pytest.raises(RunError, match="does not know the weights of this head"):
        remove(learner, points, [0], 0, method)


def test_changed_records_are_noticed(points, kept):
    method = CertifiedRemoval(ledger=kept)
    learner = trained(method, points)
    label = points.columns["label"].copy()
    label[40] = (label[40] + 1) % 3
    other = Dataset("points", points.ids, {**points.columns, "label": label})
    with pytest.raises(RunError, match="the gradient of the head is"):
        remove(learner, other, [0], 0, method)


def test_other_terms_than_those_of_the_fit_are_refused_by_name(points, kept):
    learner = trained(CertifiedRemoval(ledger=kept), points)
    with pytest.raises(ConfigError, match=r"epsilon is 2, and .* was fitted with 1"):
        remove(learner, points, [0], 0, CertifiedRemoval(ledger=kept, epsilon=2.0))


def test_an_interrupted_run_begun_again_ends_with_the_same_weights(points, kept):
    method = CertifiedRemoval(ledger=kept, secret=True)
    first, again = (remove(linear(), points, [0, 1], 0, method).learner for _ in range(2))  # the first fits
    assert first.hash() == again.hash()
    second, once_more = (remove(first, points, [2], 2, method).learner for _ in range(2))
    assert second.hash() == once_more.hash() != first.hash()


def test_secret_noise_is_drawn_anew_and_other_noise_from_the_seed(points):
    fits = [remove(linear(), points, [0], 0, CertifiedRemoval(secret=s), seed=3).learner for s in (True, True)]
    assert fits[0].hash() != fits[1].hash()
    fits = [remove(linear(), points, [0], 0, CertifiedRemoval(), seed=s).learner for s in (3, 3, 4)]
    assert fits[0].hash() == fits[1].hash() != fits[2].hash()


def test_without_a_ledger_the_head_is_that_of_the_retained_rows_alone(points):
    run = remove(linear(), points, [0, 1], 0, CertifiedRemoval())
    moved = Dataset("points", points.ids, {**points.columns, "features": points.columns["features"].copy()})
    moved.columns["features"][:2] += 10
    assert run.learner.hash() == remove(linear(), moved, [0, 1], 0, CertifiedRemoval()).learner.hash()
    assert certificate(run)["removed"] is None


def test_the_self_correcting_step_leaves_less_and_what_it_leaves_does_not_add_up(points, kept, tmp_path):
    left = {}
    for step in ("newton", "corrected"):
        method = CertifiedRemoval(ledger=kept + step, step=step)
        learner = trained(method, points)
        for k in range(6):
            run = remove(learner, points, [k], k, method)
            learner = run.learner
        left[step] = certificate(run)
    assert left["corrected"]["actual"] < 0.5 * left["newton"]["actual"]
    assert left["corrected"]["spent"] == left["corrected"]["actual"]


def test_refit_uses_fresh_noise_at_every_request(points, kept):
    method = CertifiedRemoval(ledger=kept, step="refit")
    learner = trained(method, points)
    secrets = [Ledger.read(Path(kept)).secret]
    for k in range(2):
        learner = remove(learner, points, [k], k, method).learner
        secrets.append(Ledger.read(Path(kept)).secret)
    assert not any(torch.isclose(a, b).any() for a, b in pairwise(secrets))
    with pytest.raises(RequestError, match="not fitted on 1 of the records"):
        remove(learner, points, [1], 1, method)


def test_the_noise_is_kept_from_others_and_not_saved_with_the_model(points, kept, tmp_path):
    method = CertifiedRemoval(ledger=kept)
    trained(method, points).save(tmp_path / "model")
    assert Path(kept).stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == ["learner.json", "model.safetensors"]
    manifest = json.loads((tmp_path / "model" / "learner.json").read_text())
    assert "points/" not in json.dumps(manifest)


def test_two_classes_share_one_column_and_the_better_score_is_its_sign(points, kept):
    two = Dataset("points", points.ids, {**points.columns, "label": (points.columns["label"] > 0).astype(int)})
    method = CertifiedRemoval(ledger=kept)
    learner = trained(method, two, linear(2))
    run = remove(learner, two, [0, 1], 0, method)
    w = columns(run.learner)
    assert_close(w[0], -w[1], rtol=0, atol=0)
    assert Ledger.read(Path(kept)).secret.shape == (1, 5)
    assert run.learner.score(two, two.ids)[""]["hit"].mean() > 0.75


def test_a_head_without_bias_has_no_constant_feature(points, kept):
    method = CertifiedRemoval(ledger=kept)
    learner = trained(method, points, Classifier(nn.Linear(4, 3, bias=False)))
    assert Ledger.read(Path(kept)).secret.shape == (3, 4)
    assert certificate(remove(learner, points, [0], 0, method))["actual"] < 0.1


def test_a_class_of_digits_is_forgotten_by_the_head_of_a_network_whose_other_weights_stay(begin, digits_request):
    run = begin(CertifiedRemoval())
    before = run.learner.state()
    learner = run.execute()
    name = learner.head_module()[0]
    changed = {n for n, t in learner.state().items() if not torch.equal(t, before[n])}
    assert changed == {f"{name}.weight", f"{name}.bias"}
    assert certificate(run)["below"] == sum(t.numel() for n, t in before.items() if not n.startswith(name))
    hits = {r: learner.score(digits_request.dataset, digits_request.ids[r])[""]["hit"] for r in ("forget", "retain")}
    assert hits["forget"].mean() <= 0.05
    assert hits["retain"].mean() >= 0.9


def test_a_frozen_head_and_one_that_is_not_linear_are_refused(points):
    frozen = linear()
    frozen.head_module()[1].weight.requires_grad_(False)
    network = nn.Sequential(nn.Linear(4, 3), nn.Softplus())
    for learner, message in ((frozen, "is frozen"), (Classifier(network, head_layer="1"), "is no linear layer")):
        with pytest.raises(LearnerError, match=message):
            remove(learner, points, [0], 0, CertifiedRemoval())


def test_a_regressor_that_gives_its_own_variance_is_refused(points):
    with pytest.raises(LearnerError, match=r"a head of 2 numbers for 1 target"):
        remove(Regressor(nn.Linear(4, 2)), points, [0], 0, CertifiedRemoval())


def test_a_damaged_ledger_is_refused_and_a_fit_never_overwrites_one(points, kept):
    Path(kept).parent.mkdir()
    Path(kept).write_text("damaged")
    with pytest.raises(RunError, match="is no ledger of a certified head"):
        remove(linear(), points, [0], 0, CertifiedRemoval(ledger=kept))
    with pytest.raises(ConfigError, match="there is a ledger at"):
        trained(CertifiedRemoval(ledger=kept), points)
    with pytest.raises(ConfigError, match="a fit without a ledger cannot be gone on with"):
        trained(CertifiedRemoval(), points)


@pytest.mark.parametrize("options", [{"l2": 0}, {"sigma": -1}, {"epsilon": 0}, {"delta": 1}])
def test_values_out_of_range_are_refused_by_name(options):
    with pytest.raises(ConfigError, match=f"certified_removal: {next(iter(options))} must"):
        CertifiedRemoval(**options)
