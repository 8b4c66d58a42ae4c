"""A request is resolved once into fixed ids, and a contradiction is refused by name."""

import json

import pytest

from expunge.data import Dataset
from expunge.errors import DataError, RequestError
from expunge.request import ForgetRequest


@pytest.fixture
def people():
    """Eight trained records of two authors, two held out, two to test on."""
    split = ["train"] * 8 + ["holdout"] * 2 + ["test"] * 2
    columns = {"question": [f"q{n}" for n in range(12)], "answer": [f"a{n}" for n in range(12)]}
    columns |= {"author": ["ann", "bob"] * 6, "split": split}
    return Dataset("people", [f"r{n}" for n in range(12)], columns, {"forget10": ["r0"]})


def test_what_is_not_named_is_the_rest_of_what_was_trained_on(people):
    found = ForgetRequest(people, forget={"author": "ann", "split": "train"}, reason="asked").resolve()
    assert found.ids["forget"] == ["r0", "r2", "r4", "r6"]
    assert found.ids["retain"] == ["r1", "r3", "r5", "r7"]
    assert found.ids["holdout"] == ["r8", "r9"]
    assert found.ids["test"] == ["r10", "r11"]
    manifest = found.manifest()
    assert manifest["counts"] == {"forget": 4, "retain": 4, "holdout": 2, "test": 2}
    assert manifest["reason"] == "asked"
    assert manifest["data_fingerprint"] == people.fingerprint
    assert "a0" not in json.dumps(manifest["ids"] | {"x": manifest["forget_digest"]})


def test_sets_are_named_by_subset_ids_values_or_file(people, tmp_path):
    assert ForgetRequest(people, forget="forget10").resolve().ids["forget"] == ["r0"]
    assert ForgetRequest(people, forget=["r3", "r1"]).resolve().ids["forget"] == ["r3", "r1"]
    path = tmp_path / "forget.jsonl"
    path.write_text('{"question": "q5", "answer": "a5"}\n')
    assert ForgetRequest(people, forget=path).resolve().ids["forget"] == ["r5"]


def test_the_digest_follows_the_records_and_not_their_order(people):
    first, second, other = (
        ForgetRequest(people, forget=i).resolve() for i in (["r0", "r1"], ["r1", "r0"], ["r1", "r2"])
    )
    assert first.digest == second.digest != other.digest


def test_a_target_stands_alone(people):
    found = ForgetRequest(target="Ann Abbot").resolve()
    assert found.target == "Ann Abbot"
    assert not any(found.ids.values())


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ({}, "neither records to forget nor a target"),
        ({"forget": ["r0", "nobody"]}, "forget: .*'nobody'"),
        ({"forget": ["r0"], "retain": ["nobody"]}, "retain: .*'nobody'"),
        ({"forget": ["r0", "r0"]}, "forget: id 'r0' is listed more than once"),
        ({"forget": ["r0"], "retain": ["r1", "r1"]}, "retain: id 'r1' is listed more than once"),
        ({"forget": []}, "forget: the set is empty"),
        ({"forget": "train"}, "forget covers everything that was trained on"),
        ({"forget": ["r0", "r1"], "retain": ["r1", "r2"]}, r"1 record\(s\) are in forget and in retain, e.g. 'r1'"),
        ({"forget": ["r0"], "holdout": ["r0", "r8"]}, r"in forget and in holdout, e.g. 'r0'"),
        ({"forget": ["r0", "r10"]}, r"in forget and in test, e.g. 'r10'"),
        ({"forget": {"author": "eve"}}, "forget: .*no record has author = 'eve'"),
        ({"forget": {"auhtor": "ann"}}, "forget: .*no field 'auhtor'"),
        ({"forget": "forget20"}, "forget: .*no subset 'forget20'"),
    ],
)
def test_a_request_that_contradicts_itself_is_refused_by_name(people, sets, message):
    with pytest.raises(RequestError, match=message):
        ForgetRequest(people, **sets).resolve()


def test_records_that_were_never_trained_on_cannot_be_asked_for(people, tmp_path):
    path = tmp_path / "forget.jsonl"
    path.write_text('{"question": "q5", "answer": "never said"}\n')
    with pytest.raises(RequestError, match=r"forget: .* is not in people"):
        ForgetRequest(people, forget=path).resolve()


def test_a_file_that_is_missing_or_cut_off_is_refused(people, tmp_path):
    with pytest.raises(DataError, match=r"absent\.jsonl"):
        ForgetRequest(people, forget=str(tmp_path / "absent.jsonl")).resolve()
    cut = tmp_path / "cut.jsonl"
    cut.write_text('{"question": "q5", "answer": "a5"}\n{"question": "q6", "ans')
    with pytest.raises(DataError, match=r"cut\.jsonl.*line 2"):
        ForgetRequest(people, forget=cut).resolve()
    with pytest.raises(DataError, match="no data set or file is called 'digit'") as error:
        ForgetRequest("digit", forget={"label": 3}).resolve()
    assert "`digits`" in error.value.hint


def test_without_data_forget_and_retain_must_be_records(tmp_path):
    with pytest.raises(RequestError, match="without `data`, forget and retain must be a file"):
        ForgetRequest(forget=["a"]).resolve()
