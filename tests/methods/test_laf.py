"""LAF: its bounded errors and distances by hand, the VAEs, no label read, and what each kind of step moves."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import cosine_similarity
from torch.testing import assert_close

from expunge.data import Dataset
from expunge.errors import ConfigError, LearnerError
from expunge.methods._generator import VAE, standard
from expunge.methods.laf import LAF, bounded
from expunge.request import Resolved

QUICK = {"vae_epochs": 2}
FEW = {"steps": 6, "batch_size": 64, "lr": 1e-3, "optimiser": "adam", "clip": None}


def head(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What the last layer holds."""
    return {name: t for name, t in state.items() if name.startswith("5.")}


def fitted(seed: int, epochs: int, **options) -> VAE:
    """A VAE of 200 points near a line in four dimensions."""
    random = torch.Generator().manual_seed(seed)
    points = torch.randn(200, 1, generator=random) * torch.tensor([1.0, -1.0, 2.0, 0.5])
    return VAE.fitted(points, hidden=(16,), latent=2, epochs=epochs, kl=0.025, generator=random, **options)


def test_the_bounded_error_is_1_at_0_tends_to_e_and_keeps_order():
    found = bounded(torch.tensor([0.0, 1.0, 3.0, 1e9]))
    assert_close(found, torch.tensor([1.0, math.exp(0.5), math.exp(0.75), math.e]))


def test_a_number_that_hardly_varies_is_not_blown_up():
    x = torch.tensor([[0.0, 5.0, 1e-6], [2.0, 5.0, 0.0]])
    mean, deviation = standard(x)
    least = 0.1 * math.sqrt(1 / 3)
    assert_close(mean, x.mean(0))
    assert_close(deviation, torch.tensor([1.0, least, least]))


def test_the_vae_s_loss_is_the_error_and_the_divergence_from_a_normal():
    vae = fitted(0, 1)
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    mean, log_variance = vae.encoded(x)
    towards = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1).mean()
    losses = [vae.loss(x, kl, torch.Generator().manual_seed(2)) for kl in (0.0, 3.0)]
    assert_close(losses[0], vae.error(x, torch.Generator().manual_seed(2)).mean())
    assert_close(losses[1] - losses[0], 3 * towards)
    assert_close(vae.error(x), (vae.decoded(mean) - x).square().sum(1))


def test_a_vae_learns_its_records_and_finds_others_unlikely():
    vae = fitted(0, 60)
    line = torch.tensor([[1.0, -1.0, 2.0, 0.5]])
    assert vae.error(line) < 0.2 * fitted(0, 1).error(line)
    assert vae.error(line) < 0.2 * vae.error(torch.tensor([[1.0, 1.0, -2.0, 0.5]]))
    assert_close(vae.sample(3, torch.Generator().manual_seed(1)), vae.sample(3, torch.Generator().manual_seed(1)))


def test_a_sigmoid_decoder_stays_between_0_and_1():
    made = fitted(0, 2, output="sigmoid").sample(50, torch.Generator().manual_seed(1))
    assert made.min() > 0
    assert made.max() < 1


def test_the_align_loss_is_0_and_minus_log_of_the_batch_where_nothing_has_moved(begin, parts_of):
    _, values = parts_of(begin(LAF(**QUICK)), count=6, phase="align")
    assert values["retain"] == pytest.approx(0, abs=1e-6)
    assert values["forget"] == pytest.approx(-math.log(6), abs=1e-5)


def test_the_align_loss_is_that_of_the_paper(begin, parts_of, perturb):
    run = begin(LAF(temperature=2.0, **QUICK))
    before = {r: run.learner.features(run.batch(run.ids(r)[:6], r)).detach() for r in ("forget", "retain")}
    perturb(run)
    found, values = parts_of(run, count=6, phase="align")
    now = {r: run.learner.features(run.batch(run.ids(r)[:6], r)).detach() for r in before}
    c = {r: 1 - cosine_similarity(now[r], before[r]) for r in before}
    paper = sum((ci.exp() / (c["forget"] / 2).exp().sum()).log() for ci in c["retain"]) / 6
    assert values["retain"] + values["forget"] == pytest.approx(paper.item(), abs=1e-5)
    assert all((g == 0).all() for g in head({**found["retain"], **found["forget"]}).values())


def test_the_unlearn_loss_lies_between_its_bounds_and_gives_the_head_no_gradient(begin, parts_of):
    found, values = parts_of(begin(LAF(**QUICK)), phase="unlearn")
    assert 1 <= values["retain"] <= math.e
    assert -math.e <= values["forget"] <= -1
    assert all((g == 0).all() for part in found.values() for g in head(part).values())
    assert any((g != 0).any() for g in found["forget"].values())


def test_labels_are_never_read(begin, digits_request):
    data = digits_request.dataset
    blank = Dataset(data.name, data.ids, {**data.columns, "label": np.zeros(len(data.ids), dtype=np.int64)})
    requests = (digits_request, Resolved(blank, digits_request.ids))
    states = [begin(LAF(**QUICK), "classifier", request, **FEW).execute().hash() for request in requests]
    assert states[0] == states[1]


def test_the_two_kinds_of_step_alternate_and_forgotten_records_are_cycled(begin):
    run = begin(LAF(align_scale=2, **QUICK), epochs=1, batch_size=100)
    steps = list(run.method.batches(run))
    assert [s.phase for s in steps] == [s.optimiser for s in steps] == ["unlearn", "align"] * 12  # 1,162 retained
    assert [s.lr_scale for s in steps[:2]] == [1, 2]
    pairs = list(zip(steps[::2], steps[1::2], strict=True))
    assert all(a.ids == b.ids for a, b in pairs)
    forgotten = [i for a, _ in pairs for i in a.ids["forget"]]
    whole = len(run.ids("forget"))
    assert all(set(forgotten[k : k + whole]) == set(run.ids("forget")) for k in (0, whole))


def test_the_head_stays_and_repair_moves_it_alone(begin):
    run = begin(LAF(**QUICK), **FEW)
    before = run.learner.state()
    plain = run.execute().state()
    repaired = begin(LAF(repair=0.1, **QUICK), **FEW).execute().state()
    for name, t in plain.items():
        in_head = name in head(plain)
        assert torch.equal(t, before[name]) == in_head
        assert torch.equal(repaired[name], t) != in_head


def test_repair_reads_no_more_labels_than_its_share(begin):
    run = begin(LAF(repair=0.1, repair_epochs=3, **QUICK), **FEW)
    steps = [s for s in run.method.batches(run) if s.phase == "repair"]
    assert all(set(s.ids) == {"retain"} for s in steps)
    assert len({i for s in steps for i in s.ids["retain"]}) == 116
    assert sum(len(s.ids["retain"]) for s in steps) == 3 * 116


def test_without_align_steps_there_are_none(begin):
    run = begin(LAF(align_scale=0, **QUICK), epochs=1)
    assert {s.phase for s in run.method.batches(run)} == {"unlearn"}


def test_a_class_is_forgotten_the_others_stay_and_its_features_are_unlikely(begin, digits_request):
    run = begin(LAF(vae_epochs=10), epochs=6, lr=1e-3, batch_size=64, optimiser="adam", clip=None)
    learner = run.execute()
    hits = {r: learner.score(digits_request.dataset, digits_request.ids[r])[""]["hit"] for r in ("forget", "retain")}
    assert hits["forget"].mean() <= 0.1
    assert hits["retain"].mean() >= 0.93
    start, *_, end = (row for row in run.log if "moved" in row)
    assert end["r_forget"] > 10 * start["r_forget"]
    assert start["moved"] == pytest.approx(0, abs=1e-6)
    assert end["moved"] > 0.5


def test_where_nothing_below_the_head_learns_it_is_refused(begin):
    run = begin(LAF(**QUICK))
    for name, weight in run.learner.model.named_parameters():
        weight.requires_grad_(name.startswith("5."))
    with pytest.raises(LearnerError, match="no weight below the head learns"):
        run.execute()


@pytest.mark.parametrize(
    "options",
    [
        {"align_scale": -1},
        {"temperature": 0},
        {"latent": 0},
        {"vae_epochs": 0},
        {"density": "forget"},
        {"decoder": "tanh"},
        {"repair": 1.5},
        {"repair_epochs": 0},
    ],
)
def test_values_out_of_range_are_refused_by_name(options):
    with pytest.raises(ConfigError, match=rf"laf: {next(iter(options))} must be"):
        LAF(**options)
