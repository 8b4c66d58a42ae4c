"""What a report says of strangers' code, how runs are observed, and what the command answers."""

from __future__ import annotations

import copy
import json
import random
import sys

import numpy as np
import plain_methods as plain
import pytest
import torch
from typer.testing import CliRunner

from expunge.cli._app import app
from expunge.errors import ConfigError
from expunge.testing.conformance import Suite, Trial, check, hand, own, suite
from expunge.testing.conformance._cases import digits
from expunge.testing.conformance._trial import scattered

TWICE = Suite(
    title="Twice",
    source="arithmetic",
    form="twice(x) -> float",
    invariants=(hand("two", "2 for 1.", 1.0, gives=2.0, source="arithmetic"),),
)


def outcome(function) -> tuple[str, str]:
    (finding,) = check(TWICE, function).findings
    return finding.outcome, finding.measured


def test_a_figure_is_compared_with_the_one_by_hand_in_value_and_shape():
    assert outcome(lambda x: 2 * x) == ("passed", "2, by hand 2")
    assert outcome(lambda x: 2 * x + 1e-3)[0] == "failed"
    assert outcome(lambda x: [2 * x])[0] == "failed"
    assert outcome(lambda x: float("nan"))[0] == "failed"


def test_what_an_implementation_raises_is_a_failure_with_its_first_line():
    def breaks(x):
        raise ValueError("no such thing\nand more")

    assert outcome(breaks) == ("failed", "raised ValueError: no such thing")


def test_a_setting_that_is_not_taken_makes_its_checks_not_applicable_and_they_do_not_count_as_held():
    def bare(model, forget, retain, *, seed):
        return plain.finetune(model, forget, retain, seed=seed, epochs=1)

    report = check("scrub", bare, only=["ascent_comes_first_and_stops"])
    (finding,) = report.findings
    assert finding.outcome == "not applicable"
    assert "`msteps`" in finding.measured
    assert not report.failed
    assert not report.passed


def test_something_else_than_a_network_is_refused_by_every_check():
    report = check("unlearning", lambda model, forget, retain, *, seed: model.state_dict())
    assert len(report.failed) == len(report.findings)
    assert "returned a OrderedDict, not a network" in report.failed[0].measured


def test_an_unknown_suite_or_invariant_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="no conformance suite is called 'scrubb'") as refused:
        check("scrubb", plain.scrub)
    assert "`scrub`" in refused.value.hint
    with pytest.raises(ConfigError, match="has no invariant 'the_rest_is_gone'") as refused:
        check("scrub", plain.scrub, only=["the_rest_is_gone"])
    assert "`the_rest_is_kept`" in refused.value.hint
    with pytest.raises(ConfigError, match="a dict cannot be called"):
        check("scrub", {})
    with pytest.raises(ConfigError, match="no implementation of its own for the suite 'nothing'"):
        own("nothing")


def test_equal_runs_are_made_once_and_copies_of_the_network_share_its_log():
    runs = []

    def counted(model, forget, retain, *, seed, epochs=1):
        runs.append(epochs)
        twin = copy.deepcopy(model)
        twin(forget[0][:3])
        with torch.no_grad():
            model(retain[0][:5])
        return twin

    trial = Trial(counted)
    first = trial.run(epochs=2)
    assert trial.run(epochs=2) is first
    assert trial.run(epochs=2, fresh=True) is not first
    assert runs == [2, 2]
    twin, given = first.log.passes
    assert (twin.network, twin.learning, twin.forget, twin.retain) == (0, True, 3, 0)
    assert (given.network, given.learning) == (1, False)
    assert first.log.learnt() == []  # nothing changed


def test_global_generators_stand_where_they_stood_after_a_run():
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    with scattered(7):
        torch.rand(1), random.random(), np.random.rand()
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert np.array_equal(before[2], np.random.get_state()[1])


def test_the_case_is_a_class_that_a_trained_network_knows():
    case = digits()
    assert set(case.forget[1].tolist()) == {3} == set(case.unseen[1].tolist())
    assert 3 not in case.retain[1].tolist() + case.test[1].tolist()
    assert (case.network()(case.unseen[0]).argmax(1) == 3).float().mean() > 0.9


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """A module of somebody else's in the current folder."""
    (tmp_path / "strange_figures.py").write_text(
        "def right(members, others):\n"
        "    return sum((m > o) + (m == o) / 2 for m in members for o in others) / len(members) / len(others)\n"
        "def wrong(members, others):\n"
        "    return max(right(members, others), 1 - right(members, others))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("strange_figures", None)


def said(*words: str):
    return CliRunner().invoke(app, ["conform", *words])


def test_the_command_exits_with_0_1_or_a_usage_error(stranger):
    held, failed = said("auc", "strange_figures:right"), said("auc", "strange_figures:wrong")
    assert (held.exit_code, failed.exit_code) == (0, 1)
    assert "auc: 4 of 4 hold, 0 failed" in held.output
    assert "failed          the_wrong_way_round: 1, by hand 0" in failed.output
    assert said("auc", "strange_figures:wrong", "--only", "told_apart").exit_code == 0
    for words, message in (
        (("auc", "strange_figures"), "is not of the form MODULE:FUNCTION"),
        (("auc", "strange_figure:right"), "strange_figure cannot be imported: ModuleNotFoundError"),
        (("auc", "strange_figures:rihgt"), "strange_figures has no function 'rihgt'"),
        (("aucc",), "no conformance suite is called 'aucc'"),
        (("aus", "expunge"), "Expunge has no implementation of its own for the suite 'aus'"),
    ):
        error = said(*words).exception
        assert isinstance(error, ConfigError)
        assert error.exit_code == 2
        assert message in str(error)
        assert error.hint


def test_the_command_lists_suites_and_shows_one_as_text_and_as_json():
    rows = {row["name"]: row for row in json.loads(said("--json").output)}
    assert rows["scrub"]["invariants"] == len(suite("scrub").invariants)
    assert all(name in said().output for name in rows)
    shown = json.loads(said("scrub", "--json").output)
    assert shown["settings"]["msteps"]
    assert [i["name"] for i in shown["invariants"]] == [i.name for i in suite("scrub").invariants]
    assert shown["invariants"][0]["demand"] in said("scrub").output
    report = json.loads(said("auc", "expunge", "--json").output)
    assert report["passed"]
    assert {f["outcome"] for f in report["findings"]} == {"passed"}
