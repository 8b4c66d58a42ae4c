"""Retrain: new weights, and not one look at the forget set."""

import torch

from expunge.config import TrainConfig
from expunge.methods.retrain import Retrain
from expunge.train import Run, copied


def retrained(learner, request, seed, monkeypatch=None, **options):
    run = Run(copied(learner), request, Retrain(), train=TrainConfig(epochs=1, batch_size=64), seed=seed, **options)
    return run.execute()


def test_it_never_reads_a_forget_record(tiny_classifier, digits_request, monkeypatch):
    read = set()
    collate = type(tiny_classifier).collate

    def spy(self, dataset, ids, *rest, **options):
        read.update(ids)
        return collate(self, dataset, ids, *rest, **options)

    monkeypatch.setattr(type(tiny_classifier), "collate", spy)
    retrained(tiny_classifier, digits_request, 1)
    assert read >= set(digits_request.ids["retain"])
    assert not read & set(digits_request.ids["forget"])


def test_its_weights_do_not_depend_on_the_original(tiny_classifier, digits_request, perturb):
    other = copied(tiny_classifier)
    with torch.no_grad():
        for parameter in other.model.parameters():
            parameter.mul_(3)
    assert retrained(other, digits_request, 1).hash() == retrained(tiny_classifier, digits_request, 1).hash()
    assert retrained(tiny_classifier, digits_request, 2).hash() != retrained(tiny_classifier, digits_request, 1).hash()


def test_it_starts_from_the_base_that_it_is_given(tiny_lm, lm_request):
    base = copied(tiny_lm)
    run = Run(copied(tiny_lm), lm_request, Retrain(), train=TrainConfig(steps=1, lr=1e-12), seed=1, start=base)
    with torch.no_grad():
        next(run.learner.model.parameters()).zero_()
    for name, tensor in run.execute().state().items():
        torch.testing.assert_close(tensor, base.state()[name], rtol=0, atol=1e-9)
