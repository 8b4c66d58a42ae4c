"""SalUn: which weights are salient, what stays bit for bit whatever the optimiser, its limit, and a class forgotten."""

from dataclasses import dataclass

import pytest
import torch
from torch.testing import assert_close

from expunge.config import TrainConfig
from expunge.errors import ConfigError, LearnerError
from expunge.methods.random_labels import RandomLabels
from expunge.methods.salun import SalUn, largest
from expunge.modifiers.gu import GU
from expunge.train import Run, copied

TRAIN = {"epochs": 10, "lr": 1e-2, "batch_size": 64, "optimiser": "sgd", "momentum": 0.9, "clip": None}
OPTIMISERS = {
    "sgd": {"optimiser": "sgd", "momentum": 0.9, "weight_decay": 0.1, "lr": 1e-2},
    "adam": {"optimiser": "adam", "weight_decay": 0.1},
    "adamw": {"optimiser": "adamw", "weight_decay": 0.1},
}


@dataclass(frozen=True, kw_only=True)
class WithoutFirstLayer(SalUn):
    """Its mask leaves the first layer out, whatever the gradient."""

    def mask(self, run):
        return {
            n: torch.full_like(p, not n.startswith("1."), dtype=torch.bool) for n, p in run.learner.trainable().items()
        }


def moved(run: Run, before: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {n: p.detach() != before[n] for n, p in run.learner.trainable().items()}


def test_the_largest_are_ranked_over_all_tensors_by_magnitude():
    chosen = largest({"a": torch.tensor([3.0, -1.0]), "b": torch.tensor([[2.0], [-4.0]])}, 0.5)
    assert chosen["a"].tolist() == [True, False]
    assert chosen["b"].tolist() == [[False], [True]]


@pytest.mark.parametrize(("share", "count"), [(1e-9, 1), (0.3, 3), (0.39, 3), (1.0, 10)])
def test_the_share_is_rounded_down_ties_included_but_never_to_nothing(share, count):
    assert sum(int(c.sum()) for c in largest({"a": torch.zeros(4), "b": torch.zeros(2, 3)}, share).values()) == count


def test_the_mask_holds_the_largest_gradients_of_the_forget_set(begin):
    run = begin(SalUn(share=0.2))
    batch = run.batch(run.ids("forget"), "forget")
    gradient = run.learner.gradient(-run.learner.log_likelihood(batch).mean())
    inside = torch.cat([g.abs()[run.artefacts["mask"][n]] for n, g in gradient.items()])
    outside = torch.cat([g.abs()[~run.artefacts["mask"][n]] for n, g in gradient.items()])
    assert len(inside) == int(0.2 * (len(inside) + len(outside)))
    assert inside.min() >= outside.max() * (1 - 1e-4)


@pytest.mark.parametrize("options", OPTIMISERS.values(), ids=OPTIMISERS)
def test_what_is_masked_keeps_every_bit_whatever_the_optimiser(begin, options):
    run = begin(SalUn(), epochs=1, batch_size=100, **options)
    mask, before = run.artefacts["mask"], {n: p.detach().clone() for n, p in run.learner.trainable().items()}
    run.execute()
    for name, changed in moved(run, before).items():
        assert not (changed & ~mask[name]).any()
        assert (changed == mask[name]).all()  # decay moves every other weight


@pytest.mark.parametrize("options", OPTIMISERS.values(), ids=OPTIMISERS)
def test_without_putting_back_the_same_optimisers_would_move_them(begin, options, monkeypatch):
    monkeypatch.setattr(SalUn, "put_back", lambda self, run: None)
    run = begin(SalUn(), epochs=1, batch_size=100, **options)
    mask, before = run.artefacts["mask"], {n: p.detach().clone() for n, p in run.learner.trainable().items()}
    run.execute()
    assert any((changed & ~mask[name]).any() for name, changed in moved(run, before).items())


def test_what_is_masked_stays_under_a_modifier_that_changes_updates(begin, tiny_classifier, digits_request):
    learner = copied(tiny_classifier)
    train = TrainConfig(steps=3, batch_size=50, **OPTIMISERS["sgd"])
    run = Run(learner, digits_request, SalUn(share=0.1), modifiers=(GU(memory=2, retain_batch=50),), train=train)
    before = {n: p.detach().clone() for n, p in learner.trainable().items()}
    run.execute()
    changed = sum(int(c.sum()) for c in moved(run, before).values())
    assert 0 < changed <= int(0.1 * sum(p.numel() for p in before.values()))


def test_with_every_weight_it_is_random_labels_bit_for_bit(begin):
    hashes = [begin(m, epochs=1, **OPTIMISERS["sgd"]).execute().hash() for m in (SalUn(share=1.0), RandomLabels())]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("options", OPTIMISERS.values(), ids=OPTIMISERS)
def test_a_mask_over_a_layer_is_that_layer_frozen(begin, tiny_classifier, digits_request, options):
    masked = begin(WithoutFirstLayer(), steps=8, **options).execute().state()
    frozen = copied(tiny_classifier)
    frozen.model[1].requires_grad_(False)
    run = Run(frozen, digits_request, RandomLabels(), train=TrainConfig(steps=8, **options), seed=0)
    assert_close(masked, run.execute().state(), rtol=1e-4, atol=1e-6)


def test_frozen_weights_are_not_ranked_and_a_model_of_nothing_else_is_refused(tiny_classifier, digits_request):
    learner = copied(tiny_classifier)
    learner.model[1].requires_grad_(False)
    run = Run(learner, digits_request, SalUn())
    run.method.begin(run)
    assert set(run.artefacts["mask"]) == {"3.weight", "3.bias", "5.weight", "5.bias"}
    learner.model.requires_grad_(False)
    with pytest.raises(LearnerError, match="salun: every weight is frozen"):
        run.method.begin(run)


def test_a_class_is_forgotten_and_the_others_stay(begin, digits_request):
    learner = begin(SalUn(), **TRAIN).execute()
    hits = {r: learner.score(digits_request.dataset, digits_request.ids[r])[""]["hit"] for r in ("forget", "retain")}
    assert hits["forget"].mean() <= 0.05
    assert hits["retain"].mean() >= 0.95


@pytest.mark.parametrize("options", [{"share": 0}, {"share": 1.1}, {"order": "both"}])
def test_values_out_of_range_are_refused_by_name(options):
    with pytest.raises(ConfigError, match=rf"salun: {next(iter(options))} must be"):
        SalUn(**options)


def test_twenty_steps_give_the_committed_losses(begin, check_trajectory):
    check_trajectory("salun", begin(SalUn(), steps=20, lr=1e-2, batch_size=100, optimiser="sgd"))
