"""Bad input gets one clear line and a hint, the right exit code, and leaves nothing that could be taken for a run."""

import errno
import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from entry_point import DIGITS, done, expunge
from transformers import AutoTokenizer

from expunge.models import llama
from expunge.run_folder import RunFolder


def refused(said, message, hint="", code=2):
    """One line that says what is wrong, one that says what to do, and nothing else but talk."""
    assert (said.code, said.out) == (code, "")
    assert "Traceback" not in said.err
    *_, error, told = said.err.strip().splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert told.startswith("hint: ")
    assert hint in told


def nothing_made(out):
    """There is no run, and what is there instead is not taken for one."""
    assert not out.exists()
    for command in ("audit", "report", "validate"):
        assert expunge(command, out).code == 2
        assert expunge(command, out.with_name(f".{out.name}.partial")).code == 2


# Settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        ("train.optimizer=adam", "train.optimizer is not a field of TrainConfig (epochs, steps,", "`optimiser`"),
        ("method.alfa=1", "method.alfa is not a field of scrub (", "`alpha`"),
        ("trian.lr=1", "trian is not a field of Recipe (original, request,", "`train`"),
        ("method=scrubb", "no method is called 'scrubb' (", "`scrub`"),
        ("modifiers=[{name: guu}]", "no modifier is called 'guu'", "`gu`"),
        ("train.lr=fast", "train.lr: input should be a valid number", ""),
        ("train.lr=0", "train.lr must be > 0, got 0", ""),
        ("train.lr=[1", "the value is not valid YAML", ""),
        ("train.lr", "is not of the form path.to.field=value", ""),
        ("seed.inner=1", "seed is not a block of settings", ""),
        ("audit.suite=tfou", "no suite is called 'tfou'", "`tofu`"),
        ("audit.suite=tofu", "is not for a classifier", "classifier"),
        ("retrained.seeds=3", "retrained.seeds must be a list of whole numbers, got 3", ""),
        ("retrained.seeds=[1, 1]", "names one more than once", ""),
        ("retrained.sedes=[1]", "retrained.sedes is not a field (seeds, paths)", "`seeds`"),
        ("retrained.paths=[./nowhere]", "no model folder at ./nowhere", ""),
        ("original=./nowhere", "no model folder at ./nowhere", ""),
        ("original.train.learner.model.name=mpl", "no model is called 'mpl' (", "`mlp`"),
        ("original.train.learner.model={inputs: 64}", "learner.model is missing or has no name", ""),
        ("original.train.learner.model.inptus=64", "cannot be built: build() got an unexpected keyword", ""),
        ("original.train.learner.kind=causal_lm", "a causal_lm of mlp cannot be built", ""),
        ("original.train.learner.model.inputs=10", "does not take inputs of shape", "shape"),
        ("original.train.learner.model.classes=3", "has the class 9, the model's head only 0 to 2", ""),
        ("original.train.data=digit", "no data set or file is called 'digit'", "`digits`"),
        ("original.train.data={name: digits, preset: x}", "data 'digits': load() got an unexpected", ""),
        ("request.forgett=x", "request.forgett is not a field of a request", "`forget`"),
        ("request.reason=[x]", "request.reason must be text", ""),
        ("request={}", "names neither records to forget nor a target", "`forget=`"),
        ("request={target: the digit 3}", "scrub needs forget records and the request has none", ""),
        ("request.forget=5", "forget: 5 names no records", ""),
        ("request.forget=[nobody]", "forget: digits: no record has the id 'nobody'", ""),
        ("request.forget=[digits/1, digits/1]", "forget: id 'digits/1' is listed more than once", ""),
        ("request.forget=random11", "forget: digits has no subset 'random11'", "`random10`"),
        ("request.forget={label: 11}", "no record has label = 11", ""),
        ("request.forget={label: 3, split: [train, test]}", "are in forget and in test", ""),
        ("request.forget=train", "forget covers everything that was trained on", ""),
        ("request.retain=train", "are in forget and in retain", ""),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_what_is_allowed(change, message, hint, tmp_path):
    said = expunge("forget", *DIGITS, change, "--out", tmp_path / "run")
    assert message in said.err
    if hint:
        assert hint in said.err.partition("\nhint: ")[2]
    assert said.err.strip().splitlines()[-1].startswith(("error: ", "hint: "))
    assert (said.code, said.out) == (2, "")
    nothing_made(tmp_path / "run")


def test_the_message_about_an_unknown_key_names_the_recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("original: model\nrequest: {forget: f}\nmetod: {name: npo}\n")
    refused(expunge("forget", path), f"{path}: metod is not a field of Recipe (", "`method`")
    path.write_text("original: model\nrequest: {forget: f}\n")
    refused(expunge("forget", path), f"{path}: method is missing", "")
    refused(expunge("forget", "authors", "--with", tmp_path / "absent.yaml"), "no recipe at", "recipe.yaml")


def test_a_target_alone_is_taken_by_a_method_that_needs_no_records(lm_folder, tmp_path):
    words = ("forget", "--model", lm_folder, "--out", tmp_path / "run", "request.target=Ann Abbot")
    for method in ("npo", "gradient_ascent", "finetune"):
        said = expunge(*words, "--method", method)
        refused(said, f"{method} needs {'retain' if method == 'finetune' else 'forget'} records", "")
        nothing_made(tmp_path / "run")
    done(*words, "--method", "do_nothing")
    assert RunFolder.open(tmp_path / "run").read("audit.json")["verdict"]["slug"] == "not-forgotten"


# Files of records -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def records(fictitious_data):
    """Questions and answers that the model was trained on, as plain rows."""
    ids = fictitious_data.split("train")
    values = [fictitious_data.values(f, ids) for f in ("question", "answer")]
    return [{"question": q, "answer": a} for q, a in zip(*values, strict=True)]


@pytest.fixture
def sets(records, tmp_path):
    """`forget.jsonl` and `retain.jsonl`."""
    write(tmp_path / "forget.jsonl", records[:4])
    write(tmp_path / "retain.jsonl", records[4:16])
    return tmp_path


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def forget(model, folder, *words, ending="jsonl"):
    sets = ("--forget", folder / f"forget.{ending}", "--retain", folder / f"retain.{ending}")
    return expunge("forget", "--model", model, *sets, "--out", folder / "run", "train.epochs=1", *words)


def test_a_language_model_forgets_one_file_and_keeps_another(lm_folder, sets, monkeypatch):
    said = forget(lm_folder, sets, "--method", "grad_diff", "audit.max_new_tokens=4", "audit.replicates=100")
    assert said.code == 0, said.err
    view = json.loads((sets / "run" / "view.json").read_text())
    assert view["request"]["counts"] == {"forget": 4, "retain": 12}
    assert view["reference"]["kind"] == "none"
    assert "surrogate-reference" in view["verdict"]["flags"]
    monkeypatch.chdir("/")
    assert (
        json.loads(done("audit", sets / "run", "--json").out)["verdict"]
        == json.loads((sets / "run" / "audit.json").read_text())["verdict"]
    )


def test_a_classifier_forgets_one_file_and_keeps_another(classifier_folder, digits_data, tmp_path):
    save_digits(tmp_path, digits_data)
    said = forget(classifier_folder, tmp_path, "--method", "npo", ending="npz")
    assert said.code == 0, said.err
    assert RunFolder.open(tmp_path / "run").read("request.json")["counts"] == {
        "forget": 20, "retain": 60, "holdout": 0, "test": 0,
    }  # fmt: skip


def save_digits(folder, data, *, shape=None, label=None):
    inputs = next(f for f in ("image", "features", "x") if f in data.columns)
    ids = data.split("train")
    for name, chosen in (("forget", ids[:20]), ("retain", ids[20:80])):
        values, labels = data.values(inputs, chosen), data.values("label", chosen).copy()
        if shape is not None:
            values = np.random.default_rng(len(chosen)).random((len(chosen), *shape), dtype=np.float32)
        if label is not None:
            labels[-1] = label
        np.savez(folder / f"{name}.npz", **{inputs: values, "label": labels})


def test_inputs_and_classes_that_do_not_fit_the_model_are_refused(classifier_folder, digits_data, tmp_path):
    save_digits(tmp_path, digits_data, shape=(3, 5))
    refused(forget(classifier_folder, tmp_path, ending="npz"), "does not take inputs of shape", "shape")
    save_digits(tmp_path, digits_data, label=12)
    refused(forget(classifier_folder, tmp_path, ending="npz"), "has the class 12, the model's head only 0 to 9", "")
    save_digits(tmp_path, digits_data, label=-1)
    refused(
        forget(classifier_folder, tmp_path, ending="npz"),
        "reads labels, and 1 record(s) of forget+retain have none",
        "bad_teacher",
    )
    nothing_made(tmp_path / "run")


def long(rows):
    return [{**r, "answer": " ".join([r["answer"]] * 600)} for r in rows]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path, rows: path.unlink(), "forget.jsonl: no such file"),
        (lambda path, rows: path.write_text(path.read_text()[:-30]), "forget.jsonl, line 4: not valid JSON"),
        (lambda path, rows: write(path, [*rows, {"question": "q"}]), "line 5: field 'answer' is missing"),
        (lambda path, rows: write(path, [{**r, "answer": ""} for r in rows]), "line 1: answer is empty"),
        (lambda path, rows: write(path, [{**r, "answer": 3} for r in rows]), "line 1: answer is a number, not text"),
        (lambda path, rows: write(path, [{"q": r["question"], "a": "x"} for r in rows]), "the columns a, q"),
        (lambda path, rows: path.write_text("[1, 2]"), "a number, not an object"),
        (lambda path, rows: path.write_text(""), "holds no records"),
        (lambda path, rows: write(path, long(rows)), "answers are cut off by max_length 512"),
        (lambda path, rows: shutil.copy(path.with_name("retain.jsonl"), path), "of forget are in retain too"),
        (lambda path, rows: write(path, [{**r, "id": "same"} for r in rows]), "id 'same' occurs more than once"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused(spoil, message, lm_folder, sets, records):
    spoil(sets / "forget.jsonl", records[:4])
    said = forget(lm_folder, sets)
    assert message in said.err.splitlines()[-2 if "\nhint: " in said.err else -1]
    assert (said.code, said.out) == (2, "")
    nothing_made(sets / "run")


def test_the_same_ids_in_two_files_are_an_overlap_and_the_same_file_names_are_none(lm_folder, sets, records):
    write(sets / "forget.jsonl", [{**r, "id": f"r{n}"} for n, r in enumerate(records[:4])])
    write(sets / "retain.jsonl", [{**r, "id": f"r{n + 3}"} for n, r in enumerate(records[4:16])])
    refused(forget(lm_folder, sets), "1 record(s) are in forget and in retain, e.g. 'r3'", "")
    for name, rows in (("a", records[:4]), ("b", records[4:16])):
        (sets / name).mkdir()
        write(sets / name / "data.jsonl", rows)
    words = ("--forget", sets / "a" / "data.jsonl", "--retain", sets / "b" / "data.jsonl", "--out", sets / "run")
    done("forget", "--model", lm_folder, *words, "--method", "do_nothing", "audit.max_new_tokens=2")


# Models -----------------------------------------------------------------------------------------------------------


class Evil:
    def __reduce__(self):
        return os.system, ("true",)


def test_a_model_folder_that_is_damaged_or_unsafe_is_refused(lm_folder, sets, tmp_path):
    def changed(name):
        return Path(shutil.copytree(lm_folder, tmp_path / name))

    refused(forget(tmp_path / "absent", sets), f"no model folder at {tmp_path / 'absent'}", "")
    pickled = changed("pickled")
    (pickled / "model.safetensors").unlink()
    (pickled / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()))
    refused(forget(pickled, sets), "is a pickle that could run code when loaded", "safetensors")
    cut = changed("cut")
    weights = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    refused(forget(cut, sets), "cannot be read as a causal_lm", "")
    foreign = changed("foreign")
    llama.tokenizer(f"word{n}" for n in range(3000)).save_pretrained(foreign)
    assert len(AutoTokenizer.from_pretrained(foreign)) > 3000
    refused(forget(foreign, sets), "the model", "another model's tokenizer")
    none = changed("none")
    for path in none.glob("tokenizer*"):
        path.unlink()
    refused(forget(none, sets), "holds no tokenizer", "save the tokenizer beside the model")
    damaged = changed("damaged")
    (damaged / "learner.json").write_text("{")
    refused(forget(damaged, sets), "learner.json is damaged", "")
    nothing_made(sets / "run")


# Run folders ------------------------------------------------------------------------------------------------------


def test_a_run_folder_is_never_written_over(digits_run, tmp_path):
    before = {p: p.stat().st_mtime_ns for p in digits_run.rglob("*")}
    refused(expunge("forget", *DIGITS, "--out", digits_run), f"{digits_run} exists already", "--out")
    assert {p: p.stat().st_mtime_ns for p in digits_run.rglob("*")} == before
    (tmp_path / "empty").mkdir()
    refused(expunge("audit", tmp_path / "empty"), "is not a run folder: it has no run.json", "")


def test_a_damaged_run_folder_is_told(digits_run, tmp_path):
    for name, text, message in (
        ("run.json", "{", "run.json is damaged"),
        ("request.json", "", "request.json is damaged"),
        ("view.json", "{}", "view.json is damaged or of another version"),
        ("audit.json", None, "has no audit.json"),
    ):
        copy = tmp_path / name.partition(".")[0]
        shutil.copytree(digits_run, copy)
        (copy / name).unlink() if text is None else (copy / name).write_text(text)
        command = "report" if name == "view.json" else "validate"
        said = expunge(command, copy)
        assert (said.code, said.out) == (2, "")
        assert message in said.err


def fails(error):
    def raising(*_, **__):
        raise error

    return raising


FULL = OSError(errno.ENOSPC, "No space left on device")
STOPPED = KeyboardInterrupt()


@pytest.mark.parametrize(
    ("owner", "name", "error"),
    [
        (safetensors.torch, "save_model", FULL),
        (safetensors.torch, "save_model", STOPPED),
        (safetensors.torch, "save_model", safetensors.SafetensorError("I/O error: No space left on device")),
        (safetensors.numpy, "save_file", safetensors.SafetensorError("I/O error: No space left on device")),
        (safetensors.numpy, "save_file", STOPPED),
        (torch, "save", FULL),
        (os, "fsync", FULL),
        (Path, "rename", FULL),
        (RunFolder, "finish", STOPPED),
    ],
    ids=str,
)
def test_a_full_disk_or_an_interrupt_leaves_a_run_that_the_same_command_finishes(
    owner, name, error, digits_run, tmp_path, monkeypatch
):
    words = ("forget", *DIGITS, "train.checkpoint_every=3", "--out", tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fails(error))
        said = expunge(*words)
    message = "interrupted" if error is STOPPED else "No space" if owner is not os else "the disk is full"
    refused(said, message, "", code=3)
    assert {p.name for p in tmp_path.iterdir()} == {".run.partial"}
    nothing_made(tmp_path / "run")
    done(*words)
    assert {p.name for p in tmp_path.iterdir()} == {"run"}
    assert {p.name for p in (tmp_path / "run").iterdir()} == {p.name for p in digits_run.iterdir()}
    done("validate", tmp_path / "run")


def test_a_place_that_cannot_be_written_is_told_before_anything_is_trained(tmp_path, cache):
    (tmp_path / "file").write_text("")
    models = set((cache / "models").glob("*"))
    said = expunge("forget", *DIGITS, "original.train.seed=77", "--out", tmp_path / "file" / "run")
    refused(said, "cannot make", "writable", code=3)
    assert set((cache / "models").glob("*")) == models


def test_a_run_whose_data_changed_meanwhile_begins_anew(lm_folder, sets, records, monkeypatch):
    words = ("--method", "do_nothing", "audit.max_new_tokens=2")
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "finish", fails(STOPPED))
        assert forget(lm_folder, sets, *words).code == 3
    (sets / ".run.partial" / "old.json").write_text("{}")
    write(sets / "retain.jsonl", records[4:12])
    said = forget(lm_folder, sets, *words)
    assert said.code == 0
    assert "the data have changed since this run was begun: it begins anew" in said.err
    assert RunFolder.open(sets / "run").read("request.json")["counts"]["retain"] == 8
    assert not (sets / "run" / "old.json").exists()
