"""What the README shows runs, and prints what it says."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from expunge.cli import main
from expunge.cli._app import app

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The first code block in a language."""
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found
    return found[1]


def commands() -> list[list[str]]:
    """The commands of the shell block, its loop unrolled."""
    unrolled = []
    for line in block("sh").splitlines():
        loop = re.fullmatch(r"for seed in ([\d ]+); do (.*); done", line)
        unrolled += [loop[2].replace("$seed", seed) for seed in loop[1].split()] if loop else [line]
    return [shlex.split(line)[1:] for line in unrolled]


def test_the_python_example_runs_on_the_models_that_the_commands_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EXPUNGE_CACHE", str(tmp_path / "cache"))
    for command in commands():
        name, recipe, *rest = command
        result = CliRunner().invoke(app, [name, recipe, "train.epochs=8", *rest])  # 60 as written
        assert result.exit_code == 0, result.output
    exec(compile(block("python"), "README.md", "exec"), {})
    said = capsys.readouterr().out
    assert said.splitlines()[0] in ("inconclusive", "not-forgotten")
    assert "accuracy (test, TA)" in said
    assert (tmp_path / "unlearned" / "learner.json").is_file()


def test_a_mistake_is_answered_as_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    shown = re.search(r"\$ (expunge .*)\n((?:error|hint): .*\n(?:hint: .*\n)?)", README)
    assert shown
    monkeypatch.setattr(sys, "argv", shlex.split(shown[1]))
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert capsys.readouterr().err == shown[2]


def test_every_command_shown_exists():
    shown = set(re.findall(r"^expunge (\w+)", README, re.MULTILINE))
    assert shown <= {command.name for command in app.registered_commands}
