"""The installed command answers at once, talks on stderr and keeps stdout for data."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from entry_point import done, expunge

SCRIPT = Path(sys.executable).with_name("expunge")


def called(*words, **environment):
    return subprocess.run(
        [SCRIPT, *words], capture_output=True, text=True, env={**os.environ, **environment}, timeout=60
    )


def test_importing_the_package_and_asking_for_help_load_neither_torch_nor_numpy():
    code = """
import sys, expunge
sys.argv = ["expunge", "--help"]
try:
    from expunge.cli import main
    main()
finally:
    print(sorted({"torch", "numpy", "transformers"} & sys.modules.keys()), file=sys.stderr)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.stderr.strip() == "[]"
    assert "forget" in found.stdout


def test_help_answers_within_400_ms_of_cpu():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = called("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert found.returncode == 0
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.4


def test_the_installed_command_lists_65_systems_as_json_on_stdout_alone():
    found = called("ls", "systems", "--json", NO_COLOR="1")
    assert (found.returncode, found.stderr) == (0, "")
    systems = json.loads(found.stdout)
    assert len(systems) == 65
    assert {s["status"] for s in systems} <= {"works", "reconstructed", "built", "planned"}
    assert {"name", "title", "year", "arxiv", "group"} <= systems[0].keys()


def test_a_mistake_is_one_line_and_a_hint_without_colour_or_traceback():
    found = called("forget", "digit_class", NO_COLOR="1", FORCE_COLOR="1")
    assert (found.returncode, found.stdout) == (2, "")
    error, hint = found.stderr.splitlines()
    assert error.startswith("error: no recipe is called 'digit_class'")
    assert hint == "hint: did you mean `digits_class` or `mnist_class`?"


def test_help_of_every_command_is_readable_without_colour():
    for command in ("forget", "audit", "train", "ls", "show", "report", "validate", "score", "demo"):
        said = done(command, "--help")
        assert "\x1b" not in said.out
        assert said.err == ""
        assert "Usage: " in said.out


@pytest.mark.parametrize("words", [("nothing",), ("ls",), ("ls", "methods", "--jsn"), ("forget", "--seed", "x")])
def test_a_wrong_command_line_exits_with_2(words):
    said = expunge(*words)
    assert (said.code, said.out) == (2, "")
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("kind", "some"),
    [
        ("methods", {"do_nothing", "retrain", "npo", "scrub", "ssd", "refuse"}),
        ("modifiers", {"gu", "lora"}),
        ("metrics", {"truth_ratio", "model_utility", "loss_attack"}),
        ("attacks", set()),
        ("learners", {"causal_lm", "classifier"}),
        ("data", {"digits", "fictitious", "tofu"}),
        ("models", {"llama", "mlp", "resnet"}),
        ("recipes", {"digits_class", "digits_random", "authors"}),
        ("systems", {"SCRUB"}),
    ],
)
def test_every_kind_is_listed_for_people_and_for_programs(kind, some):
    said = done("ls", kind, "--json")
    rows = json.loads(said.out)
    assert some <= {r["name"] for r in rows}
    assert said.err == ""
    shown = done("ls", kind).out
    assert all(r["name"] in shown for r in rows)


def test_show_gives_equation_fields_and_card_of_an_idea():
    facts = json.loads(done("show", "npo", "--json").out)
    assert facts["card"]["source"] == "arXiv:2404.05868"
    assert {"beta", "retain_weight"} <= {f["name"] for f in facts["fields"]}
    assert "softplus" in facts["doc"]
    shown = done("show", "npo").out
    assert "beta = 0.1" in shown
    assert "Source: Zhang" in shown


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("ls", "method"), "nothing is listed under 'method'", "`methods`"),
        (("show", "npoo"), "nothing is called 'npoo'", "`npo`"),
        (("score", "tofuu", "log.json"), "no log format is called 'tofuu'", "tofu"),
        (("score", "tofu", "absent.json"), "absent.json", ""),
        (("train", "original_digit"), "no recipe is called 'original_digit'", "`original_digits`"),
        (("train", "original_digits", "learnre=1"), "learnre is not a field", "`learner`"),
        (("validate", "nowhere.yaml"), "no recipe at nowhere.yaml", ""),
        (("audit", "nowhere"), "no run folder at", ""),
        (("audit", "nowhere", "--fail-on", "failed"), "no verdict is called 'failed'", "inconclusive"),
        (("report", "nowhere"), "no run folder at", ""),
        (("forget",), "there is neither a recipe nor a model", "`expunge ls recipes`"),
    ],
)
def test_a_name_that_is_not_there_is_refused_with_the_nearest(words, message, hint):
    said = expunge(*words)
    assert (said.code, said.out) == (2, "")
    assert message in said.err.splitlines()[0]
    assert said.err.startswith("error: ")
    assert hint in said.err.partition("\nhint: ")[2]
