"""SSD: importances by hand, what is selected and dampened, and the no-op that is refused."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from expunge.data import Dataset
from expunge.errors import ConfigError
from expunge.learners import Classifier
from expunge.methods.ssd import SSD
from expunge.request import ForgetRequest, Resolved
from expunge.train import Run, copied


def importances(run: Run, method: SSD) -> tuple[dict, dict]:
    forget, retain = (set(run.ids(role)) for role in ("forget", "retain"))
    everything = [i for i in run.request.dataset.ids if i in forget | retain]
    return method.importances(run, everything), method.importances(run, run.ids("forget"))


def selected(begin, alpha: float, **options) -> tuple[float, dict, dict]:
    run = begin(SSD(alpha=alpha, **options))
    before = run.learner.state()
    after = run.execute().state()
    return run.log[-1]["selected"], before, after


@pytest.fixture
def by_hand():
    """Zero weights, so that every class has 1/2: the gradient is (p - onehot) x, at x = 1, 3 and 2."""
    data = Dataset(
        "hand",
        ["a", "b", "c"],
        {"x": np.array([[1.0], [3.0], [2.0]], np.float32), "label": np.array([0, 1, 0])},
    )
    model = nn.Linear(1, 2)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    return Run(Classifier(model), ForgetRequest(data, forget=["c"]).resolve(), SSD())


def test_the_batch_mean_importance_is_the_square_of_the_mean(by_hand):
    found = SSD(batch_size=2).importances(by_hand, ["a", "b"])
    assert_close(found["weight"], torch.full((2, 1), ((-0.5 * 1 + 0.5 * 3) / 2) ** 2))
    assert_close(found["bias"], torch.zeros(2))


def test_the_per_sample_importance_is_the_mean_of_the_squares(by_hand):
    found = SSD(importance="per_sample").importances(by_hand, ["a", "b"])
    assert_close(found["weight"], torch.full((2, 1), (0.25 * 1 + 0.25 * 9) / 2))
    assert_close(found["bias"], torch.full((2,), 0.25))


def test_batches_mix_roles_and_are_near_equal(by_hand):
    found = SSD(batch_size=2).importances(by_hand, ["a", "b", "c"])  # batches (a, b) and (c)
    assert_close(found["weight"], torch.full((2, 1), (0.5**2 + (0.5 * 2) ** 2) / 2))
    whole = SSD(batch_size=3).importances(by_hand, ["a", "b", "c"])
    assert_close(whole["weight"], torch.full((2, 1), ((-0.5 * 1 + 0.5 * 3 - 0.5 * 2) / 3) ** 2))


def test_the_loss_free_importance_is_the_absolute_slope_of_the_mean_squared_length_of_the_logits(by_hand):
    with torch.no_grad():
        by_hand.learner.model.weight.copy_(torch.tensor([[2.0], [-1.0]]))
    found = SSD(importance="loss_free", batch_size=2).importances(by_hand, ["a", "b", "c"])  # batches (a, b) and (c)
    slopes = torch.tensor([[[2 * 2 * (1 + 9) / 2], [-2 * (1 + 9) / 2]], [[2 * 2 * 4], [-2 * 4.0]]])  # 2 z x
    assert_close(found["weight"], slopes.abs().mean(0))
    assert_close(found["bias"], torch.tensor([(2 * 2 * 2 + 2 * 4) / 2, (2 * 2 + 2 * 2) / 2]))


def test_loss_free_with_a_threshold_forgets_records_without_labels_alike(begin, digits_request):
    data = digits_request.dataset
    blind = Dataset("digits without labels", data.ids, {"image": data.columns["image"]})
    request = Resolved(blind, {role: digits_request.ids[role] for role in ("forget", "retain")})
    runs = [begin(SSD(importance="loss_free"), "classifier", r) for r in (digits_request, request)]
    before = runs[0].learner.hash()
    assert runs[0].execute().hash() == runs[1].execute().hash() != before
    assert runs[1].log[-1].keys() == {"step", "alpha", "selected"}


def test_with_a_loss_or_a_sweep_labels_are_needed():
    for method in (SSD(), SSD(importance="loss_free", alpha="sweep")):
        assert "labels" in method.card.needs
    assert SSD.card.needs == {"forget", "retain", "labels"}


def test_loss_free_a_class_is_forgotten_and_the_others_stay(begin, digits_request):
    learner = begin(SSD(importance="loss_free", alpha="sweep")).execute()
    hits = {r: learner.score(digits_request.dataset, digits_request.ids[r])[""]["hit"] for r in ("forget", "retain")}
    assert hits["forget"].mean() <= 0.05
    assert hits["retain"].mean() >= 0.9


def test_weights_beyond_the_threshold_are_scaled_by_the_ratio_and_others_stay(by_hand):
    method = SSD(dampening=0.5)
    original = {"weight": torch.tensor([[2.0], [2.0]]), "bias": torch.tensor([4.0, 4.0])}
    of_all = {"weight": torch.tensor([[1.0], [1.0]]), "bias": torch.tensor([0.0, 1.0])}
    of_forget = {"weight": torch.tensor([[8.0], [4.0]]), "bias": torch.tensor([0.0, 40.0])}
    share = method.dampen(by_hand, original, of_all, of_forget, alpha=4.0)
    assert share == 0.5
    assert_close(by_hand.learner.state()["weight"], torch.tensor([[2.0 / 16], [2.0]]))
    assert_close(by_hand.learner.state()["bias"], torch.tensor([4.0, 4.0 * 0.5 / 40]))


def test_fewer_weights_are_selected_as_alpha_grows(begin):
    shares = [selected(begin, alpha)[0] for alpha in (2.0, 5.0, 10.0, 20.0, 50.0)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1]


@pytest.mark.parametrize("alpha", [2.0, 10.0])
def test_nothing_grows_and_what_is_not_selected_keeps_every_bit(begin, alpha):
    share, before, after = selected(begin, alpha)
    assert all((after[n].abs() <= before[n].abs()).all() for n in before)
    changed = sum(int((after[n] != before[n]).sum()) for n in before)
    assert 0 < changed <= round(share * sum(t.numel() for t in before.values()))


def test_with_per_sample_gradients_no_ratio_exceeds_that_of_the_sizes(begin):
    method = SSD(importance="per_sample", alpha=5.0)
    run = begin(method)
    of_all, of_forget = importances(run, method)
    ratio = 1 + len(run.ids("retain")) / len(run.ids("forget"))
    for name, everywhere in of_all.items():
        assert (of_forget[name] <= ratio * everywhere * (1 + 1e-4)).all()
    before = {n: p.detach().clone() for n, p in run.learner.trainable().items()}
    assert method.dampen(run, before, of_all, of_forget, 1.001 * ratio) == 0


def test_a_threshold_that_selects_nothing_is_refused_with_the_ratio(begin, digits_request):
    ratio = 1 + len(digits_request.ids["retain"]) / len(digits_request.ids["forget"])
    with pytest.raises(ConfigError, match=f"selects nothing, as it is ≥ .*= {ratio:.2f}"):
        begin(SSD(importance="per_sample", alpha=ratio)).execute()


def test_a_second_application_dampens_again(begin, tiny_classifier, digits_request):
    once = begin(SSD(alpha=10.0)).execute()
    twice = Run(copied(once), digits_request, SSD(alpha=10.0)).execute()
    first, second = (sum(t.square().sum() for t in learner.state().values()) for learner in (once, twice))
    assert second < first


def test_the_sweep_stops_at_the_largest_threshold_that_forgets(begin):
    run = begin(SSD(alpha="sweep", target=0.03))
    run.execute()
    tried = [(row["alpha"], row["accuracy_forget"]) for row in run.log]
    assert [alpha for alpha, _ in tried] == list(SSD().sweep[: len(tried)])
    assert all(accuracy > 0.03 for _, accuracy in tried[:-1])
    assert tried[-1][1] <= 0.03


def test_each_try_of_the_sweep_starts_from_the_original(begin):
    run = begin(SSD(alpha="sweep", sweep=(50.0, 10.0), target=0.0))
    run.execute()
    alone = begin(SSD(alpha=run.log[-1]["alpha"])).execute()
    assert run.learner.hash() == alone.hash()


def test_it_runs_on_language_models_whose_answers_have_many_positions(begin):
    run = begin(SSD(alpha=2.0), "causal_lm")
    run.execute()
    assert 0 < run.log[-1]["selected"] < 1


@pytest.mark.parametrize("options", [{"alpha": 0}, {"dampening": 0}, {"batch_size": 0}, {"sweep": (1.0, 2.0)}])
def test_values_out_of_range_are_refused_by_name(options):
    with pytest.raises(ConfigError, match=f"ssd: {next(iter(options))} must"):
        SSD(**options)
