"""Acceptance records: written whole, read strictly, and the page made from them."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from expunge import records
from expunge.errors import DataError
from expunge.records import Claim, Record, evidence, load, read

ROOT = Path(__file__).parents[1]
GOOD = Claim("digits, one class: forget accuracy", "≤ 5 %", 1.25, True)
BAD = Claim("retain | test", "≥ 94 %", 81.0, False)
RECORD = Record(
    idea="scrub",
    part="core",
    demanded=(GOOD,),
    n=360,
    seeds=(0, 1),
    commit="0123456789",
    version="0.1.0",
    created="2026-01-01T00:00:00+00:00",
    note="Adam.",
)


def test_a_record_reads_back_as_it_was_written(tmp_path):
    path = RECORD.write(tmp_path)
    assert path == tmp_path / "core" / "scrub.json"
    assert read(path) == RECORD
    assert json.loads(path.read_text())["passed"] is True


def test_a_record_passes_only_when_every_claim_does_and_there_is_one():
    assert RECORD.passed
    assert not replace(RECORD, demanded=(GOOD, BAD)).passed
    assert not replace(RECORD, demanded=()).passed


def test_a_number_that_is_not_finite_is_kept_as_text(tmp_path):
    diverged = replace(RECORD, demanded=(Claim("loss", "< 1", float("nan"), False),))
    assert read(diverged.write(tmp_path)).demanded[0].measured == "nan"


def test_a_failed_write_leaves_the_old_record_and_no_partial_file(tmp_path, monkeypatch):
    path = RECORD.write(tmp_path)

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        replace(RECORD, n=1).write(tmp_path)
    assert read(path) == RECORD
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"passed": False}, "says passed = False, its claims say True"),
        ({"idea": "ssd"}, "holds the record core/ssd"),
        ({"sede": 1}, "not an acceptance record"),
        ({"demanded": [{"claim": "x"}]}, "not an acceptance record"),
    ],
)
def test_a_record_that_was_edited_by_hand_is_refused(tmp_path, change, message):
    path = RECORD.write(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_a_truncated_record_is_refused_by_path(tmp_path):
    path = RECORD.write(tmp_path)
    path.write_text(path.read_text()[:40])
    with pytest.raises(DataError, match=r"scrub\.json is not an acceptance record"):
        read(path)


def test_records_come_in_the_order_of_the_parts(tmp_path):
    for part, idea in (("llm", "npo"), ("audit", "relearn"), ("core", "ssd"), ("core", "gu")):
        replace(RECORD, part=part, idea=idea).write(tmp_path)
    assert [record.idea for record in load(tmp_path)] == ["gu", "ssd", "relearn", "npo"]


def test_a_stamped_record_knows_its_commit_version_and_time():
    record = Record.now("npo", "core", (GOOD,), n=1, seeds=(0,))
    assert record.commit
    assert record.version
    assert record.created.endswith("+00:00")


def test_outside_a_repository_the_commit_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert Record.now("npo", "core", (GOOD,), n=1, seeds=(0,)).commit == "unknown"


def test_the_page_shows_failures_and_survives_a_bar_in_a_claim():
    page = evidence([replace(RECORD, demanded=(GOOD, BAD))])
    assert "0 of 1 ideas pass" in page
    assert "| `scrub` | digits, one class: forget accuracy | ≤ 5 % | 1.25 | 360 | 0, 1 | 0123456789 | pass |" in page
    assert "| `scrub` | retain \\| test | ≥ 94 % | 81 | 360 | 0, 1 | 0123456789 | **fail** |" in page
    assert "- `scrub`: Adam." in page


def test_the_page_without_records_says_so():
    assert "No acceptance has been recorded yet." in evidence([])


def test_the_committed_page_matches_the_committed_records():
    assert (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8") == evidence(load(ROOT / "records"))


def test_check_says_which_command_repairs_a_stale_page(tmp_path, capsys, monkeypatch):
    RECORD.write(tmp_path / "records")
    monkeypatch.setattr(records, "folder", lambda: tmp_path / "records")
    page = tmp_path / "evidence.md"
    assert records._main([str(page)]) == 0
    assert records._main(["--check", str(page)]) == 0
    page.write_text("stale")
    assert records._main(["--check", str(page)]) == 1
    assert "hint: python -m expunge.records" in capsys.readouterr().err
    assert records._main([]) == 2
