"""Stored answers are found again only where nothing that shaped them has changed."""

import errno
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
import torch
from safetensors import SafetensorError

from expunge.auditing import Passes
from expunge.data import Dataset
from expunge.errors import EnvironmentError_
from expunge.learners import CausalLM
from expunge.metrics import Want
from expunge.models import llama
from expunge.request import Resolved
from expunge.testing import check_passes, tiny

ANSWER, GENERATED = Want("forget", "answer"), Want("forget", "answer", "generate")


@pytest.mark.parametrize("kind", ["classifier", "causal_lm"])
def test_stored_answers_keep_their_contract(kind):
    check_passes(Passes, *tiny(kind))


def other_tokenizer(learner, request, passes):
    return CausalLM(learner.model, llama.tokenizer(["other words"]), template=learner.template), request, passes


def reworded(learner, request, passes):
    columns = {**request.dataset.columns, "question": [f"{q} " for q in request.dataset.columns["question"]]}
    return learner, replace(request, dataset=Dataset("questions", request.dataset.ids, columns)), passes


def fewer(learner, request, passes):
    return learner, replace(request, ids={**request.ids, "forget": request.ids["forget"][:3]}), passes


def changed(**fields):
    def change(learner, request, passes):
        for name, value in fields.items():
            setattr(learner, name, value)
        return learner, request, passes

    return change


def heavier(learner, request, passes):
    next(learner.model.parameters()).data += 1
    return learner, request, passes


def halved(learner, request, passes):
    learner.model.to(torch.bfloat16)
    return learner, request, passes


@pytest.mark.parametrize(
    "change",
    [
        heavier, halved, other_tokenizer, reworded, fewer,
        changed(template="{question}"), changed(max_length=40), changed(answer="other"), changed(question="other"),
    ],
)  # fmt: skip
def test_the_key_of_an_answer_changes_with_everything_that_shapes_it(change):
    factory, request = tiny("causal_lm")
    learner = factory()
    before = Passes(request).key(learner, ANSWER, learner.hash())
    assert Passes(request).key(factory(), ANSWER, factory().hash()) == before
    learner, request, _ = change(learner, request, None)
    assert Passes(request).key(learner, ANSWER, learner.hash()) != before


def test_the_key_of_a_generated_answer_changes_with_decoding_and_that_of_a_score_does_not():
    factory, request = tiny("causal_lm")
    learner = factory()
    short, long = Passes(request, max_new_tokens=4), Passes(request, max_new_tokens=8)
    assert short.key(learner, GENERATED, "") != long.key(learner, GENERATED, "")
    assert short.key(learner, ANSWER, "") == long.key(learner, ANSWER, "")
    assert short.key(learner, ANSWER, "") != short.key(learner, GENERATED, "")


def test_the_key_of_a_classifiers_answer_changes_with_the_field_that_is_read():
    factory, request = tiny("classifier")
    learner = factory()
    before = Passes(request).key(learner, Want("forget"), "")
    learner.input = "features"
    assert Passes(request).key(learner, Want("forget"), "") != before


def counted(learner, calls):
    for name in ("score", "generate"):
        asked = getattr(learner, name)
        setattr(learner, name, lambda *a, _asked=asked, _name=name, **k: (calls.append(_name), _asked(*a, **k))[1])
    return learner


def test_what_is_stored_is_not_asked_again_and_reads_back_bit_for_bit(tmp_path):
    factory, request = tiny("causal_lm")
    calls = []
    wants = [ANSWER, Want("forget", "perturbed_answer"), ANSWER, GENERATED, Want("retain", "answer")]
    passes = Passes(request, tmp_path, max_new_tokens=4)
    first = passes.read(counted(factory(), calls), wants)
    assert calls == ["score", "generate", "score"]  # fields over the same records are read at once
    again = Passes(request, tmp_path, max_new_tokens=4).read(counted(factory(), calls), wants)
    assert len(calls) == 3
    for want, block in first.items():
        assert again[want].ids == block.ids
        for name in ("offsets", "logp", "hit", "mean", "var"):
            assert np.array_equal(getattr(again[want], name), getattr(block, name))
        assert again[want].extras.keys() == block.extras.keys()


def test_what_is_stored_holds_numbers_and_ids_and_no_text(tmp_path):
    factory, request = tiny("causal_lm")
    Passes(request, tmp_path, max_new_tokens=4).read(factory(), [ANSWER, GENERATED])
    texts = [v for f in ("question", "answer") for v in request.dataset.values(f, request.ids["forget"])]
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert not [t for t in texts if len(t) > 8 and t.encode() in content]


def test_a_stored_answer_that_was_cut_off_is_asked_again(tmp_path):
    factory, request = tiny("classifier")
    want = Want("forget")
    passes = Passes(request, tmp_path)
    kept = passes.read(factory(), [want])[want]
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:20])
    assert np.array_equal(passes.read(factory(), [want])[want].logp, kept.logp)


@pytest.mark.parametrize("error", [SafetensorError("No space left"), OSError(errno.ENOSPC, "No space left on device")])
def test_a_full_disk_is_told_and_leaves_nothing(error, tmp_path, monkeypatch):
    def full(arrays, path, metadata):
        path.write_bytes(b"half")
        raise error

    factory, request = tiny("classifier")
    monkeypatch.setattr(safetensors.numpy, "save_file", full)
    with pytest.raises(EnvironmentError_, match="No space left"):
        Passes(request, tmp_path).read(factory(), [Want("forget")])
    assert not list(tmp_path.iterdir())


def test_a_role_or_field_that_the_data_lack_has_no_records():
    _, request = tiny("causal_lm")
    passes = Passes(request)
    assert passes.ids(Want("nowhere", "answer")) == []
    assert passes.ids(Want("forget", "nothing")) == []
    partly = Dataset("partly", ["a", "b"], {"answer": ["x", None]})
    assert Passes(Resolved(partly, {"forget": ["a", "b"]})).ids(ANSWER) == ["a"]
