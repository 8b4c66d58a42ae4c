import numpy as np
import pytest
from answers import answers, spelled
from scipy.stats import hmean

from expunge.errors import ConfigError, DataError
from expunge.metrics import Want
from expunge.metrics.answer_log_probability import AnswerLogProbability
from expunge.metrics.forget_quality import ForgetQuality, kolmogorov_smirnov
from expunge.metrics.model_utility import ModelUtility
from expunge.metrics.probability import Probability
from expunge.metrics.rouge_l_recall import RougeLRecall
from expunge.metrics.truth_ratio import TruthRatio

ANSWER, TRUE, WRONG = (Want("forget", f) for f in ("answer", "paraphrased_answer", "perturbed_answer"))


def figure(metric, blocks, references=()):
    return metric.measure(blocks, references).estimate()[0]


def truth(true, wrong, role="forget", field="paraphrased_answer"):
    """Blocks of several records, from length-normalised probabilities."""
    ids = [f"r{n}" for n in range(len(true))]
    return {
        Want(role, field): answers(ids, -np.log(true)),
        Want(role, "perturbed_answer"): answers([i for i, w in zip(ids, wrong, strict=True) for _ in w],
                                                [-np.log(p) for w in wrong for p in w]),
    }  # fmt: skip


def ratios(values):
    """A model whose truth ratios are `values`: one wrong answer each, the true one at probability e⁻¹."""
    return truth([np.exp(-1)] * len(values), [[v * np.exp(-1)] for v in values])


def test_log_probability_is_a_mean_over_tokens_and_then_over_records():
    blocks = {ANSWER: spelled("ab", [[-1.0, -2.0, -3.0], [-4.0]])}
    assert figure(AnswerLogProbability(), blocks) == pytest.approx(-3.0)


def test_probability_is_the_geometric_mean_of_the_tokens():
    blocks = {ANSWER: spelled("ab", [np.log([0.25, 1.0]), np.log([0.9])])}
    assert figure(Probability(), blocks) == pytest.approx((0.5 + 0.9) / 2)


def test_probability_among_wrong_answers_shares_with_them():
    blocks = truth([0.5], [[0.1, 0.2, 0.2]], "world_facts", "answer")
    assert figure(Probability(role="world_facts", among="perturbed_answer"), blocks) == pytest.approx(0.5)


def test_family_and_label_follow_the_role():
    assert (Probability().family, Probability(role="retain").family) == ("behaviour", "utility")
    assert Probability(role="retain").label == "probability (retain)"
    assert Probability().higher_is == "more memorised"
    assert (TruthRatio().family, TruthRatio(role="retain").family) == ("distribution", "utility")


def test_rouge_reads_generations_only():
    metric = RougeLRecall()
    blocks = {Want("forget", "answer", "generate"): spelled("ab", [[], []], rouge_l_recall=[0.5, 1.0])}
    assert metric.wants() == list(blocks)
    assert figure(metric, blocks) == pytest.approx(0.75)


@pytest.mark.parametrize(("convention", "ratio"), [("geometric", 0.348220), ("arithmetic", 0.4)])
def test_truth_ratio_in_both_conventions(convention, ratio):
    blocks = truth([0.5], [[0.1, 0.2, 0.2, 0.1, 0.4]])
    metric = TruthRatio(convention=convention)
    assert figure(metric, blocks) == pytest.approx(ratio, abs=1e-6)
    assert metric.measure(blocks).parts["mean_log_ratio"] == pytest.approx(np.log(ratio), abs=1e-5)
    kept = truth([0.5], [[0.1, 0.2, 0.2, 0.1, 0.4]], "retain")
    assert figure(TruthRatio(role="retain", convention=convention), kept) == pytest.approx(1 - ratio, abs=1e-6)


def test_truth_ratio_above_one_is_inverted_on_the_forget_set_and_clipped_elsewhere():
    assert figure(TruthRatio(), truth([0.2], [[0.4]])) == pytest.approx(0.5)
    assert figure(TruthRatio(role="retain"), truth([0.2], [[0.4]], "retain")) == 0.0


def test_truth_ratio_survives_answers_of_vanishing_probability():
    blocks = {TRUE: answers("a", [5000.0]), WRONG: answers("aa", [1.0, 9000.0])}
    for convention in ("geometric", "arithmetic"):
        assert np.isfinite(figure(TruthRatio(convention=convention), blocks))


def test_truth_ratio_refuses_a_record_without_wrong_answers_and_names_it():
    blocks = {TRUE: answers("ab", [1.0, 1.0]), WRONG: answers("a", [1.0])}
    with pytest.raises(DataError, match="'b' has no wrong answer"):
        TruthRatio().measure(blocks)
    with pytest.raises(DataError, match="'c' has a wrong answer but no true one"):
        TruthRatio().measure({TRUE: answers("a", [1.0]), WRONG: answers("ac", [1.0, 2.0])})
    with pytest.raises(ConfigError, match="convention"):
        TruthRatio(convention="harmonic")


def test_forget_quality_of_disjoint_ratios_has_distance_one_and_the_smallest_p():
    unlearned, retrained = ratios([0.1, 0.2, 0.3, 0.4, 0.5]), ratios([0.6, 0.7, 0.8, 0.9, 1.0])
    measure = ForgetQuality().measure(unlearned, [retrained])
    assert measure.estimate()[0] == pytest.approx(1.0)
    assert measure.parts["p"] == pytest.approx(2 / 252)
    assert measure.parts["log10_p"] == pytest.approx(np.log10(2 / 252))
    assert measure.parts["side"] == 1.0
    assert ForgetQuality().measure(retrained, [unlearned]).parts["side"] == -1.0


def test_forget_quality_of_the_retrained_model_itself_is_p_one():
    same = ratios([0.1, 0.2, 0.3])
    measure = ForgetQuality().measure(same, [same, same])
    assert (measure.estimate()[0], measure.parts["p"]) == (0.0, 1.0)
    assert measure.records == 3
    with pytest.raises(DataError, match="retrained"):
        ForgetQuality().measure(same)


@pytest.mark.parametrize(("n", "smallest"), [(40, 1.86e-23), (200, 1.94e-119), (400, 1.06e-239)])
def test_the_smallest_p_of_the_test_depends_on_n_alone(n, smallest):
    test = kolmogorov_smirnov(np.arange(n), np.arange(n) + n)
    assert test.distance == 1.0
    assert test.p == pytest.approx(smallest, rel=5e-3, abs=0)


def test_log10_p_is_floored_where_p_underflows():
    assert kolmogorov_smirnov(np.arange(700), np.arange(700) + 700).log10_p == pytest.approx(-307.65, abs=0.01)


def utility_blocks(**overrides):
    parts = {"retain": (0.9, 0.8, 0.5), "real_authors": (0.6, 0.7, 0.4), "world_facts": (0.5, 0.9, 0.3)} | overrides
    blocks = {}
    for role, (probability, rouge, kept) in parts.items():
        own, ids = role == "retain", [f"{role}{n}" for n in range(2)]
        blocks[Want(role, "answer", "generate")] = spelled(ids, [[], []], rouge_l_recall=[rouge, rouge])
        true = 0.1 if own else 0.2
        # one wrong answer: among gives p/(p+w), truth ratio w/p; the two cannot differ for short answers
        wrong = true * (1 - kept) if own else true * (1 / probability - 1)
        blocks[Want(role, "answer")] = answers(ids, [-np.log(probability if own else true)] * 2)
        if own:
            blocks[Want(role, "paraphrased_answer")] = answers(ids, [-np.log(true)] * 2)
        blocks[Want(role, "perturbed_answer")] = answers(ids, [-np.log(wrong)] * 2)
    return blocks


def test_model_utility_is_the_harmonic_mean_of_its_nine_parts():
    measure = ModelUtility().measure(utility_blocks())
    expected = {
        "retain/probability": 0.9, "retain/rouge_l_recall": 0.8, "retain/truth_ratio": 0.5,
        "real_authors/probability": 0.6, "real_authors/rouge_l_recall": 0.7, "real_authors/truth_ratio": 1 - 4 / 6,
        "world_facts/probability": 0.5, "world_facts/rouge_l_recall": 0.9, "world_facts/truth_ratio": 0.0,
    }  # fmt: skip
    assert measure.parts == pytest.approx(expected, abs=1e-12)
    assert measure.estimate()[0] == 0.0  # one part is 0
    better = ModelUtility().measure(utility_blocks(world_facts=(0.8, 0.9, None)))
    assert better.estimate()[0] == pytest.approx(hmean(list(better.parts.values())))
    assert len(better.parts) == 9


def test_a_value_that_is_not_finite_stops_with_the_record():
    with pytest.raises(DataError, match=r"probability \(forget\): record 'b' has the value nan"):
        Probability().measure({ANSWER: answers("abc", [1.0, float("nan"), 2.0])})
    with pytest.raises(DataError, match="'b' has no scored position"):
        Probability().measure({ANSWER: spelled("abc", [[-1.0], [], [-1.0]])})
    with pytest.raises(DataError, match="record 'a' has the value nan"):
        TruthRatio().measure({TRUE: answers("a", [1.0]), WRONG: answers("aa", [1.0, float("nan")])})


def test_an_answer_that_was_not_asked_is_named():
    with pytest.raises(DataError, match=r"no stored answer to forget/answer \(score\)"):
        Probability().measure({})
