"""Multi-GAN: its inversions by hand, its loss as fine-tuning's limit, what look-alikes are, and a class forgotten."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from expunge.errors import ConfigError, LearnerError
from expunge.methods._generator import GAN, VAE
from expunge.methods.multi_gan import MultiGAN
from expunge.request import Resolved

QUICK = {"generator_epochs": 2, "confidence": 0.0}
LOGITS = torch.tensor([[3.0, 1.0, 2.0, 0.0], [0.0, 5.0, 1.0, 2.0]])
LABELS = torch.tensor([0, 3])


def hits(learner, request, role: str) -> float:
    """Accuracy on a role."""
    return float(learner.score(request.dataset, request.ids[role])[""]["hit"].mean())


@pytest.mark.parametrize(("inversion", "expected"), [("next", [1, 0]), ("least_likely", [3, 0]), ("second", [2, 1])])
def test_inversions_are_those_worked_out_by_hand(begin, inversion, expected):
    run = begin(MultiGAN(inversion=inversion, **QUICK))
    batch = run.batch(run.ids("forget")[:2], "forget")
    assert run.method.inverted(run, batch, LOGITS, LABELS).tolist() == expected


def test_the_least_likely_class_is_never_the_label_itself(begin):
    run = begin(MultiGAN(inversion="least_likely", **QUICK))
    batch = run.batch(run.ids("forget")[:2], "forget")
    assert run.method.inverted(run, batch, LOGITS, torch.tensor([3, 0])).tolist() == [1, 2]


def test_random_inversion_is_never_the_label_the_same_for_a_record_and_about_uniform(begin):
    run = begin(MultiGAN(**QUICK))
    ids = run.ids("forget")
    batch = run.batch(ids, "forget")
    logits = torch.zeros(len(ids), 10)
    drawn = run.method.inverted(run, batch, logits, batch.targets)
    assert (drawn != batch.targets).all()
    half = run.batch(ids[70:], "forget")
    assert torch.equal(run.method.inverted(run, half, logits[70:], half.targets), drawn[70:])
    counts = drawn.bincount(minlength=10)
    assert counts.count_nonzero() == 9
    expected = len(ids) / 9
    assert ((counts[counts > 0] - expected) ** 2 / expected).sum() < 26.1  # χ² of 8 degrees, p = .001


def test_the_loss_is_the_mean_over_the_union_of_all_four_sets(begin, parts_of):
    run = begin(MultiGAN(**QUICK))
    _, values = parts_of(run, count=6)
    expected = 0.0
    for role in ("forget", "retain"):
        batch = run.batch(run.ids(role)[:6], role)
        label = batch.stored["label/forget"] if role == "forget" else batch.targets
        pairs = ((batch.inputs["x"], label), (batch.stored[f"made/{role}"], batch.stored[f"made label/{role}"]))
        for inputs, labels in pairs:
            expected += torch.nn.functional.cross_entropy(run.learner.model(inputs), labels, reduction="sum").item()
    assert sum(values.values()) == pytest.approx(expected / 24, rel=1e-5)


def test_a_set_that_is_left_out_is_no_part(begin, parts_of):
    _, values = parts_of(begin(MultiGAN(real_retain=False, synthetic_forget=False, **QUICK)))
    assert set(values) == {"forget", "made retain"}


def test_look_alikes_stay_in_range_and_are_no_records(begin):
    run = begin(MultiGAN(**QUICK))
    for role in ("forget", "retain"):
        made, real = run.artefacts[f"made/{role}"].values, run.batch(run.ids(role), role).inputs["x"]
        assert made.shape == real.shape
        assert made.min() >= real.min()
        assert made.max() <= real.max()
        assert torch.cdist(made, real).min() > 0.1


def test_the_retain_look_alikes_are_sure_and_none_is_of_the_class_that_goes(begin):
    run = begin(MultiGAN(generator_epochs=10, confidence=0.9))
    made, label = (run.artefacts[f"{what}/retain"].values for what in ("made", "made label"))
    found = run.learner.model(made).softmax(-1).max(1)
    assert_close(found.indices, label)
    assert found.values.min() >= 0.9
    assert not (label == 3).any()
    row = run.log[0]
    assert row["classes_gone"] == [3]
    assert 0 < row["passed"] <= 1
    assert row["generators"] == "destroyed"


def test_no_generator_is_kept_only_what_it_made_with_the_records_that_this_is_of(begin):
    run = begin(MultiGAN(**QUICK))
    assert set(run.artefacts.names()) == {"label/forget"} | {
        f"{what}/{role}" for what in ("made", "made label") for role in ("forget", "retain")
    }
    for name in run.artefacts.names():
        assert run.artefacts.ids(name) == run.ids(name.partition("/")[2])


def test_random_records_leave_no_class_gone(begin, digits_request):
    ids = digits_request.ids["retain"]
    some = Resolved(digits_request.dataset, {"forget": ids[:50], "retain": ids[50:]})
    assert begin(MultiGAN(**QUICK), "classifier", some).log[0]["classes_gone"] == []


def test_a_gan_s_records_come_to_lie_where_the_true_ones_do():
    random = torch.Generator().manual_seed(0)
    x = torch.randn(256, 2, generator=random) * 0.3 + torch.tensor([2.0, -1.0])
    made = [GAN.fitted(x, hidden=(16,), latent=2, epochs=e, generator=random).sample(256, random) for e in (1, 60)]
    apart = [(m.mean(0) - x.mean(0)).norm().item() for m in made]
    assert apart[1] < 0.3 * apart[0]
    assert made[1].std(0).min() > 0.05


def test_a_vae_s_records_have_the_mean_and_most_of_the_spread_of_the_true_ones():
    random = torch.Generator().manual_seed(0)
    x = torch.randn(256, 1, generator=random) * torch.tensor([1.0, -1.0, 0.5])
    made = VAE.fitted(x, hidden=(16,), latent=2, epochs=60, kl=0.2, generator=random).sample(1000, random)
    assert_close(made.mean(0), x.mean(0), atol=0.2, rtol=0)
    assert (made.std(0) > 0.5 * x.std(0)).all()
    assert np.corrcoef(made.T)[0, 1] < -0.8


def test_a_class_is_forgotten_with_and_without_real_records(begin, digits_request):
    train = {"epochs": 2, "lr": 1e-3, "batch_size": 64, "optimiser": "adam", "clip": None}
    for real in (True, False):
        run = begin(MultiGAN(real_retain=real, generator_epochs=6), **train)
        learner = run.execute()
        assert run.log[0]["taken_for_forgotten"] >= 0.8
        assert hits(learner, digits_request, "forget") <= 0.05
        assert hits(learner, digits_request, "retain") >= (0.95 if real else 0.85)


def test_where_the_model_is_sure_of_no_look_alike_it_is_refused(begin):
    run = begin(MultiGAN(**QUICK))
    with torch.no_grad():
        for weight in run.learner.model.parameters():
            weight.zero_()
    with pytest.raises(LearnerError, match="sure of none"):
        begin_again(run, MultiGAN(generator_epochs=1, confidence=0.9))


def begin_again(run, method) -> None:
    """Begin another method on a run's learner."""
    method.begin(type(run)(run.learner, run.request, method, train=run.train, seed=0))


def test_a_language_model_is_refused(begin):
    with pytest.raises(LearnerError, match="a causal_lm predicts no class"):
        begin(MultiGAN(**QUICK), "causal_lm")


@pytest.mark.parametrize(
    "options",
    [
        {"generator": "flow"},
        {"inversion": "previous"},
        {"confidence": 1.0},
        {"latent": 0},
        {"hidden": (0,)},
        {"generator_epochs": 0},
        {"real_retain": False, "synthetic_retain": False},
    ],
)
def test_values_out_of_range_are_refused_by_name(options):
    with pytest.raises(ConfigError, match=rf"multi_gan: .*{next(iter(options))}"):
        MultiGAN(**options)
