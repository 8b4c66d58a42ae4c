"""NPO: value and gradient at the start, the weights of its gradient, and its limit."""

import math

import pytest
import torch
from torch.testing import assert_close

from expunge.errors import ConfigError
from expunge.methods.gradient_ascent import GradientAscent
from expunge.methods.npo import NPO


@pytest.mark.parametrize("beta", [0.1, 0.5, 2.0])
def test_the_loss_begins_at_two_ln_two_over_beta(begin, parts_of, kind, beta):
    _, values = parts_of(begin(NPO(beta=beta), kind))
    assert values["forget"] == pytest.approx(2 / beta * math.log(2), rel=1e-5)


def test_the_gradient_is_that_of_the_log_likelihood_weighted_by_two_sigma(begin, parts_of, perturb, kind):
    run = begin(NPO(beta=0.7), kind)
    perturb(run)
    found, _ = parts_of(run)
    batch = run.batch(run.ids("forget")[:6], "forget")
    logp_B = run.learner.log_likelihood(batch)
    weights_B = 2 * torch.sigmoid(0.7 * (logp_B.detach() - batch.stored["reference"]))
    assert (weights_B - 1).abs().max() > 0.01, "the model must have moved"
    expected = run.learner.gradient((weights_B * logp_B).mean())
    for name, gradient in found["forget"].items():
        assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6)


def test_the_gradient_becomes_ascent_on_the_sum_as_beta_goes_to_zero(begin, parts_of, perturb, kind):
    gradients = []
    for method in (NPO(beta=1e-5, retain_weight=0), GradientAscent(reduction="sequence_mean")):
        run = begin(method, kind)
        perturb(run)
        gradients.append(parts_of(run)[0]["forget"])
    for name, npo in gradients[0].items():
        assert_close(npo, gradients[1][name], rtol=1e-3, atol=1e-4)


def test_the_force_fades_once_an_answer_is_unlikely(begin, parts_of, perturb):
    run = begin(NPO(beta=5.0), "causal_lm")
    run.artefacts["reference"].values.add_(50.0)  # the reference was far more certain
    found, values = parts_of(run)
    assert values["forget"] == pytest.approx(0, abs=1e-6)
    assert max(g.abs().max() for g in found["forget"].values()) < 1e-6


def test_the_reference_is_the_models_own_log_likelihood_summed_over_the_answer(begin, tiny_lm, lm_request):
    run = begin(NPO(), "causal_lm")
    record = run.ids("forget")[0]
    batch = run.batch([record], "forget")
    with torch.no_grad():
        logp = tiny_lm.model(input_ids=batch.inputs["input_ids"]).logits[0].log_softmax(-1)
    answer = lm_request.dataset.values("answer", [record])[0]
    tokens = [*tiny_lm.tokenizer(" " + answer, add_special_tokens=False)["input_ids"], tiny_lm.tokenizer.eos_token_id]
    by_hand = sum(logp[k - len(tokens), token] for k, token in enumerate(tokens))
    assert_close(batch.stored["reference"][0], by_hand, rtol=1e-5, atol=1e-4)


def test_the_reference_stays_what_the_original_said(begin, perturb):
    run = begin(NPO())
    before = run.artefacts["reference"].values.clone()
    perturb(run)
    assert_close(run.artefacts["reference"].values, before, rtol=0, atol=0)
    assert (run.learner.log_likelihood(run.batch(run.ids("forget"), "forget")) - before).abs().max() > 1e-3


def test_the_kl_retain_term_and_its_gradient_are_zero_at_the_start(begin, parts_of, kind):
    found, values = parts_of(begin(NPO(retain_loss="kl", retain_weight=5.0), kind))
    assert values["retain"] == pytest.approx(0, abs=1e-5)
    assert max(g.abs().max() for g in found["retain"].values()) < 1e-4


def test_without_weight_there_is_no_retain_term(begin, parts_of):
    assert set(parts_of(begin(NPO(retain_weight=0)))[1]) == {"forget"}


@pytest.mark.parametrize("options", [{"beta": 0}, {"beta": -1}, {"retain_weight": -1}])
def test_values_out_of_range_are_refused_by_name(options):
    with pytest.raises(ConfigError, match=rf"npo: {next(iter(options))} must be"):
        NPO(**options)


def test_twenty_steps_give_the_committed_losses(begin, check_trajectory):
    run = begin(NPO(beta=0.5, retain_weight=5.0, retain_loss="kl"), "causal_lm", steps=20, lr=1e-3, batch_size=4)
    check_trajectory("npo", run)
