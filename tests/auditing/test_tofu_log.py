import json
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import hmean

from expunge.auditing.tofu_log import score_log
from expunge.errors import DataError

ROOT = Path(__file__).parents[2]
LOGS = Path(os.environ.get("EXPUNGE_DATA", ROOT / "../shared/data")) / "tofu" / "reference_eval"
published = pytest.mark.skipif(not LOGS.is_dir(), reason="EXPUNGE_DATA holds no tofu/reference_eval")

SECTIONS = (
    "eval_log.json", "eval_real_author_wo_options.json", "eval_real_world_wo_options.json", "eval_log_forget.json",
)  # fmt: skip


def small_log():
    """Twelve items a section; item k answers at loss k + 1, so that text order (10 before 2) shows."""
    order = sorted(map(str, range(12)))
    section = {
        "avg_gt_loss": {k: int(k) + 1 for k in order},
        "avg_paraphrased_loss": {k: -np.log(0.5) for k in order},
        "average_perturb_loss": {k: list(-np.log([0.1, 0.2, 0.2, 0.1, 0.4])) for k in reversed(order)},
        "rougeL_recall": {k: 0.5 for k in order},
    }
    return {name: json.loads(json.dumps(section)) for name in SECTIONS}


def written(tmp_path, log, name="log.json"):
    path = tmp_path / name
    path.write_text(json.dumps(log))
    return path


def test_a_small_log_scores_as_by_hand(tmp_path):
    path = written(tmp_path, small_log())
    found = score_log(path, path)
    geometric, arithmetic = found["geometric"], found["arithmetic"]
    assert geometric["forget_truth_ratio"] == pytest.approx(0.348220, abs=1e-6)
    assert arithmetic["forget_truth_ratio"] == pytest.approx(0.4)
    p = np.exp(-np.arange(1, 13.0))
    assert geometric["parts"]["retain/probability"] == pytest.approx(p.mean())
    assert geometric["parts"]["world_facts/probability"] == pytest.approx((p / (p + 1.0)).mean())
    assert geometric["parts"]["retain/truth_ratio"] == pytest.approx(0.651780, abs=1e-6)
    assert geometric["model_utility"] == pytest.approx(hmean(list(geometric["parts"].values())))
    assert geometric["forget_quality"] == {
        "distance": 0.0, "sign": geometric["forget_quality"]["sign"], "p": 1.0, "log10_p": 0.0,
        "items": 12, "reference_items": 12, "same_items": True,
    }  # fmt: skip
    assert score_log(path)["geometric"]["forget_quality"] is None


def edit_section(log):
    del log["eval_log_forget.json"]


def edit_field(log):
    del log["eval_log.json"]["rougeL_recall"]


def edit_item(log):
    del log["eval_log_forget.json"]["average_perturb_loss"]["3"]


def edit_nan(log):
    log["eval_log_forget.json"]["avg_paraphrased_loss"]["7"] = float("nan")


def edit_name(log):
    log["eval_log.json"]["avg_gt_loss"]["seven"] = log["eval_log.json"]["avg_gt_loss"].pop("7")


def edit_list(log):
    log["eval_log.json"]["avg_gt_loss"]["2"] = [1.0, 2.0]


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (edit_section, "eval_log_forget.json: this section is missing"),
        (edit_field, "the field rougeL_recall is missing"),
        (edit_item, "average_perturb_loss and avg_gt_loss list different items, such as 3"),
        (edit_nan, r"avg_paraphrased_loss\[7\]: expected finite numbers, got nan"),
        (edit_name, "the item 'seven' is no number"),
        (edit_list, r"avg_gt_loss\[2\]: expected one number"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_log_is_refused_with_its_place(tmp_path, edit, complaint):
    log = small_log()
    edit(log)
    with pytest.raises(DataError, match=complaint):
        score_log(written(tmp_path, log))


def test_a_file_that_is_no_log_is_refused(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        score_log(tmp_path / "absent.json")
    (tmp_path / "text.json").write_text("no")
    with pytest.raises(DataError, match="not JSON"):
        score_log(tmp_path / "text.json")
    with pytest.raises(DataError, match="expected sections"):
        score_log(written(tmp_path, []))


@published
@pytest.mark.parametrize(
    ("model", "distance", "p_geometric", "p_arithmetic"),
    [("llama2-7b", 0.396667, 1.834066e-21, 6.0319e-23), ("phi", 0.346667, 2.194274e-16, 2.4311e-17)],
)
def test_published_full_models_have_not_forgotten(model, distance, p_geometric, p_arithmetic):
    found = score_log(LOGS / f"{model}_full.json", LOGS / f"{model}_retain90.json")
    quality = found["geometric"]["forget_quality"]
    assert quality["distance"] == pytest.approx(distance, abs=1e-6)
    assert quality["p"] == pytest.approx(p_geometric, rel=1e-6, abs=0)
    assert quality["log10_p"] == pytest.approx(np.log10(p_geometric), abs=1e-6)
    assert quality["sign"] == 1
    assert found["arithmetic"]["forget_quality"]["p"] == pytest.approx(p_arithmetic, rel=1e-4, abs=0)
    if model == "llama2-7b":
        assert found["arithmetic"]["forget_quality"]["distance"] == pytest.approx(0.41, abs=1e-6)
        assert quality["p"] != pytest.approx(8.497e-22, rel=0.1, abs=0)  # the asymptotic method's


@published
@pytest.mark.parametrize(
    ("log", "geometric", "arithmetic"),
    [
        ("llama2-7b_full", 0.622677, 0.585886), ("llama2-7b_retain90", 0.613745, 0.575240),
        ("phi_full", 0.522074, 0.503353), ("phi_retain90", 0.531991, 0.513001),
    ],
)  # fmt: skip
def test_published_logs_give_their_model_utility(log, geometric, arithmetic):
    found = score_log(LOGS / f"{log}.json")
    assert found["geometric"]["model_utility"] == pytest.approx(geometric, abs=1e-6)
    assert found["arithmetic"]["model_utility"] == pytest.approx(arithmetic, abs=1e-6)


@published
def test_published_llama_log_gives_its_nine_parts():
    parts = score_log(LOGS / "llama2-7b_full.json")["geometric"]["parts"]
    expected = [0.9895, 0.9857, 0.4747, 0.4555, 0.9330, 0.5962, 0.4186, 0.8825, 0.5390]
    assert list(parts.values()) == pytest.approx(expected, abs=5e-5)


@published
def test_two_retrained_models_cannot_be_told_apart():
    quality = score_log(LOGS / "llama2-7b_retain95.json", LOGS / "llama2-7b_retain90.json")["geometric"][
        "forget_quality"
    ]
    assert quality["p"] == pytest.approx(0.988, abs=5e-4)
    assert (quality["items"], quality["reference_items"], quality["same_items"]) == (200, 300, False)
