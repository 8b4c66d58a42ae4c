"""Every invariant is held by a plain implementation and by Expunge's own, and broken by a slip of public code."""

from __future__ import annotations

from functools import partial

import plain_figures as figures
import plain_methods as plain
import pytest

from expunge.testing.conformance import Report, check, own, suite, suites
from expunge.testing.conformance._own import OWN

PLAIN = {
    "unlearning": plain.finetune,
    "certified_removal": figures.CertifiedRemoval(),
    **{n: getattr(plain, n) for n in suites() if hasattr(plain, n)},
    **{n: getattr(figures, n) for n in suites() if hasattr(figures, n)},
}
SLIPS = {
    "unlearning": {
        "the_given_model_stays": partial(plain.finetune, slip="in place"),
        "nothing_is_shared": partial(plain.finetune, slip="shared input layer"),
        "the_records_stay": partial(plain.random_labels, slip="relabels in place"),
        "one_seed_gives_one_model": partial(plain.finetune, slip="global generator"),
        "all_is_finite": partial(plain.ssd, slip="0/0"),
        "something_moves": partial(plain.finetune, slip="returns the model"),
        "batch_statistics_are_not_the_forget_sets": partial(plain.gradient_ascent, slip="training mode"),
    },
    "scrub": {
        "the_class_is_forgotten": partial(plain.scrub, slip="shallow teacher"),
        "the_rest_is_kept": partial(plain.scrub, slip="min before max"),
        "the_teacher_is_apart": partial(plain.scrub, slip="shallow teacher"),
        "ascent_comes_first_and_stops": partial(plain.scrub, slip="max passes never stop"),
        "no_objective_moves_nothing": partial(plain.scrub, slip="one max pass too many"),
    },
    "ssd": {
        "no_weight_grows": partial(plain.ssd, slip="turned ratio"),
        "what_is_not_selected_stays": partial(plain.ssd, slip="all are dampened"),
        "the_selected_share_falls": partial(plain.ssd, slip="alpha on the other side"),
        "single_records_have_a_ceiling": partial(plain.ssd, slip="importance of what stays alone"),
        "gradients_are_of_the_given_weights": partial(plain.ssd, slip="fine-tunes after"),
        "some_threshold_forgets_the_class": partial(plain.ssd, slip="alpha on the other side"),
    },
    "salun": {
        "masked_weights_stay": partial(plain.salun, slip="masks gradients alone"),
        "the_mask_is_the_forget_sets": partial(plain.salun, slip="smallest gradients"),
        "the_threshold_is_heeded": partial(plain.salun, slip="fixed threshold"),
        "the_class_is_forgotten": partial(plain.salun, slip="permuted labels"),
        "the_rest_is_kept": partial(plain.salun, slip="retain loader of the forget set"),
    },
    "gradient_ascent": {
        "the_forget_loss_rises": partial(plain.gradient_ascent, slip="descends"),
        "the_retain_set_is_not_read": partial(plain.gradient_ascent, slip="ascends on what stays"),
    },
    "neg_grad_plus": {
        "alpha_weighs_the_retain_set": partial(plain.neg_grad_plus, slip="swapped weights"),
        "the_retain_set_is_read": partial(plain.neg_grad_plus, slip="retain loader of the forget set"),
        "the_class_is_forgotten": partial(plain.neg_grad_plus, slip="retain loader of the forget set"),
        "the_rest_is_kept": partial(plain.neg_grad_plus, slip="unbounded"),
    },
    "bad_teacher": {
        "labels_are_not_read": partial(plain.bad_teacher, slip="cross-entropy beside"),
        "the_retain_set_is_read": partial(plain.bad_teacher, slip="no retain share"),
        "the_class_is_forgotten": partial(plain.bad_teacher, slip="good teacher for all"),
        "the_rest_is_kept": partial(plain.bad_teacher, slip="bad teacher for all"),
    },
    "random_labels": {
        "the_class_is_forgotten": partial(plain.random_labels, slip="permuted labels"),
        "the_rest_is_kept": partial(plain.random_labels, slip="retain loader of the forget set"),
        "the_retain_set_is_read": partial(plain.random_labels, slip="retain loader of the forget set"),
    },
    "l1_sparse": {
        "the_forget_set_is_not_read": partial(plain.l1_sparse, slip="reads all records"),
        "the_norm_falls_with_alpha": partial(plain.l1_sparse, slip="detached penalty"),
        "the_rest_is_kept": partial(plain.l1_sparse, slip="retain loader of the forget set"),
    },
    "delete": {
        "the_retain_set_is_not_read": partial(plain.delete, slip="keeps what stays"),
        "the_masked_answer_is_followed": partial(plain.delete, slip="lowers the class alone"),
        "the_class_is_forgotten": partial(plain.delete, slip="no mask"),
    },
    "gu": {
        "one_step_keeps_the_retain_loss": partial(plain.gu, slip="projects the gradient under Adam"),
        "the_basis_follows_the_weights": partial(plain.gu, slip="basis never refreshed"),
    },
    "laf": {
        "labels_are_not_read": partial(plain.laf, slip="cross-entropy beside"),
        "the_retain_set_is_read": partial(plain.gradient_ascent),
    },
    "retrain": {
        "the_old_weights_do_not_matter": partial(plain.finetune, slip="returns the model"),
        "the_forget_set_is_not_read": partial(plain.retrain, slip="reads all records"),
        "the_rest_is_kept": partial(plain.retrain, slip="stops at once"),
    },
    "iau": {"the_step_is_the_difference_of_means": partial(plain.iau, slip="sign descent")},
    "imu": {
        "the_backbone_stays": partial(plain.imu, slip="all layers"),
        "the_retain_set_is_not_read": partial(plain.imu, slip="keeps what stays"),
    },
    "blindspot": {
        "shapes_are_not_broadcast": partial(plain.blindspot, slip="broadcast"),
        "forget_targets_are_not_read": partial(plain.blindspot, slip="teaches the true targets"),
        "batches_without_a_forgotten_record_work": partial(plain.blindspot, slip="mean of nothing"),
        "answers_come_to_the_retrained_ones": partial(plain.blindspot, slip="teaches the true targets"),
    },
    "min_k": {
        "the_lowest_fifth": partial(figures.min_k, slip="highest"),
        "the_lowest_two": partial(figures.min_k, slip="one too many"),
        "all_is_the_loss": partial(figures.min_k, slip="sum"),
        "short_texts_count": partial(figures.min_k, slip="mean of nothing"),
    },
    "min_k_plus_plus": {
        "one_position": partial(figures.min_k_plus_plus, slip="uniform moments"),
        "an_unlikely_token": partial(figures.min_k_plus_plus, slip="not divided"),
        "even_odds_are_zero": partial(figures.min_k_plus_plus, slip="no clamp"),
        "the_lowest_half": partial(figures.min_k_plus_plus, slip="all positions"),
    },
    "zlib_score": {
        "over_26_bytes": partial(figures.zlib_score, slip="sum"),
        "repetition_is_short": partial(figures.zlib_score, slip="length of the text"),
    },
    "auc": {
        "told_apart": partial(figures.auc, slip="turned"),
        "the_wrong_way_round": partial(figures.auc, slip="no sign"),
        "ties_count_half": partial(figures.auc, slip="ties win"),
        "sets_of_unequal_size": partial(figures.auc, slip="distinct values"),
    },
    "tpr_at_fpr": {
        "one_false_accusation": partial(figures.tpr_at_fpr, slip="quantile"),
        "ties_accuse_all": partial(figures.tpr_at_fpr, slip="ties"),
        "none_may_be_accused": partial(figures.tpr_at_fpr, slip="one more"),
    },
    "u_lira": {
        "at_the_unlearned_mean": partial(figures.u_lira, slip="variance for spread"),
        "between_the_two": partial(figures.u_lira, slip="two-sided"),
        "each_world_has_its_spread": partial(figures.u_lira, slip="one spread"),
    },
    "rmia": {
        "two_of_three": partial(figures.rmia, slip="no prior"),
        "gamma_raises_the_bar": partial(figures.rmia, slip="no gamma"),
        "a_of_1_is_the_shadow_models": partial(figures.rmia, slip="a turned"),
    },
    "modified_entropy": {
        "the_true_class_leads": partial(figures.modified_entropy, slip="true class left out"),
        "a_wrong_class_leads": partial(figures.modified_entropy, slip="log p"),
        "records_are_independent": partial(figures.modified_entropy, slip="all columns"),
        "certainty_is_zero": partial(figures.modified_entropy, slip="smoothed"),
    },
    "extraction_strength": {
        "nothing_right_is_zero": partial(figures.extraction_strength, slip="ends at the last token"),
        "one_wrong_token_is_zero": partial(figures.extraction_strength, slip="ends at the last token"),
        "all_right_is_one": lambda right: 0.0,
        "the_right_ending_counts": figures.share_right,
    },
    "zrf": {
        "equal_answers_give_1": partial(figures.zrf, slip="the divergence itself"),
        "classes_are_summed": partial(figures.zrf, slip="element mean"),
        "records_are_averaged": partial(figures.zrf, slip="summed over records"),
    },
    "tug_of_war": {
        "equal_is_1": partial(figures.tug_of_war, slip="the gaps themselves"),
        "gaps_multiply": partial(figures.tug_of_war, slip="mean of gaps"),
        "better_is_as_far": partial(figures.tug_of_war, slip="signed"),
    },
    "aus": {
        "nothing_lost_nothing_told": partial(figures.aus, slip="accuracy"),
        "both_terms": partial(figures.aus, slip="gap to the original"),
        "the_gap_has_no_sign": partial(figures.aus, slip="signed"),
    },
    "distillation": {
        "the_teacher_comes_first": partial(figures.distillation, slip="direction"),
        "classes_are_summed": partial(figures.distillation, slip="element mean"),
        "the_temperature_squared_is_there": partial(figures.distillation, slip="no T²"),
    },
    "certified_removal": {
        "the_bound_holds": figures.CertifiedRemoval("stale Hessian"),
        "the_step_goes_to_the_refit": figures.CertifiedRemoval("sign"),
        "a_batch_is_bounded": figures.CertifiedRemoval("bound of the mean loss"),
    },
}
"""Suite to invariant to an implementation that breaks it."""
COMMON = set(SLIPS["unlearning"])
PAIRS = [pytest.param(s, i, slip, id=f"{s}-{i}") for s, slips in SLIPS.items() for i, slip in slips.items()]


def particular(name: str) -> list[str]:
    """A suite's own invariants; those of every method are looked at once, in the suite `unlearning`."""
    return [i.name for i in suite(name).invariants if i.name not in COMMON or name == "unlearning"]


def told(report: Report) -> str:
    return "\n".join(f"{f.name}: {f.measured}" for f in report.failed) or str(report)


@pytest.mark.parametrize("name", suites())
def test_a_plain_implementation_holds_every_invariant(name: str):
    report = check(name, PLAIN[name], only=particular(name))
    assert {f.outcome for f in report.findings} == {"passed"}, told(report)
    assert report.passed


@pytest.mark.parametrize("name", sorted(OWN))
def test_expunge_holds_every_invariant(name: str):
    report = check(name, own(name), only=particular(name))
    assert report.passed, told(report)
    skipped = {f.name for f in report.findings if f.outcome == "not applicable"}
    assert skipped <= {"the_teacher_is_apart"}  # SCRUB keeps the teacher's answers, not the teacher


@pytest.mark.parametrize(("name", "broken", "slip"), PAIRS)
def test_a_slip_of_public_code_fails_its_invariant(name: str, broken: str, slip):
    (finding,) = check(name, slip, only=[broken]).findings
    assert finding.outcome == "failed", finding.measured


@pytest.mark.parametrize("name", suites())
def test_no_invariant_is_without_a_slip_that_fails_it(name: str):
    known = {i.name for i in suite(name).invariants}
    assert known - COMMON | (COMMON if name == "unlearning" else set()) == set(SLIPS[name])
    assert len(known) == len(suite(name).invariants)


@pytest.mark.parametrize("name", suites())
def test_every_invariant_says_what_it_demands_and_where_that_comes_from(name: str):
    found = suite(name)
    assert found.title
    assert found.source
    for one in found.invariants:
        assert one.demand.endswith(".")
        assert one.source
    assert "->" in found.form
