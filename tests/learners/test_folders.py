"""Model folders are read by transformers and PEFT alone, never half-written, and run no code."""

import builtins
import errno
import json
import os
import pickle
import resource
import shutil
import signal
from pathlib import Path

import pytest
import torch
from families import LANGUAGE_MODELS
from torch import nn

from expunge.config import TrainConfig
from expunge.errors import DataError, EnvironmentError_, LearnerError, UnsafeFileError
from expunge.learners import CausalLM, Classifier, load
from expunge.registry import find
from expunge.request import Resolved
from expunge.train import Run


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_transformers_alone_reads_a_language_model(make, questions, tmp_path, name):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    learner = make(name)
    learner.save(tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    reader = AutoTokenizer.from_pretrained(tmp_path / "model")
    tokens = torch.tensor([reader("What is thing1 like?")["input_ids"]])
    learner.model.eval()
    assert torch.equal(model.eval()(tokens).logits, learner.model(tokens).logits)
    assert reader.get_vocab() == learner.tokenizer.get_vocab()
    assert (model.lm_head.weight is model.get_input_embeddings().weight) == (name != "llama")


@pytest.mark.parametrize("name", ["vit", "bert"])
def test_transformers_alone_reads_a_classifier(make, data_for, tmp_path, name):
    from transformers import AutoModelForImageClassification, AutoModelForSequenceClassification

    learner, data = make(name), data_for(name)
    learner.save(tmp_path / "model")
    auto = AutoModelForImageClassification if name == "vit" else AutoModelForSequenceClassification
    model = auto.from_pretrained(tmp_path / "model").eval()
    batch = learner.collate(data, data.ids[:3])
    learner.model.eval()
    assert torch.equal(model(**batch.inputs).logits, learner.logits(batch))


@pytest.mark.parametrize("name", ["llama", "mlp"])
def test_peft_alone_reads_an_adapter(make, data_for, tmp_path, name):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    learner, data = make(name), data_for(name)
    base = make(name)
    request = Resolved(data, {"forget": data.ids[:6], "retain": data.ids[6:12]})
    train = TrainConfig(steps=2, batch_size=3)
    Run(
        learner, request, find("methods", "grad_diff")(), modifiers=[find("modifiers", "lora")()], train=train
    ).execute()
    learner.save(tmp_path / "model")
    bare = AutoModelForCausalLM.from_pretrained(tmp_path / "model") if name == "llama" else base.model
    plugged = PeftModel.from_pretrained(bare, str(tmp_path / "model" / "adapter")).eval()
    learner.model.eval()
    inputs = learner.collate(data, data.ids[:2]).inputs
    theirs, ours = plugged(*inputs.values()), learner.model(*inputs.values())
    assert torch.equal(getattr(theirs, "logits", theirs), getattr(ours, "logits", ours))
    assert load(tmp_path / "model").hash() == learner.hash()


def test_a_merged_adapter_is_an_ordinary_model_again(make, questions, tmp_path):
    learner = make("llama")
    request = Resolved(questions, {"forget": questions.ids[:6], "retain": questions.ids[6:12]})
    merge = find("modifiers", "lora")(merge=True)
    Run(learner, request, find("methods", "grad_diff")(), modifiers=[merge], train=TrainConfig(steps=2)).execute()
    learner.save(tmp_path / "model")
    assert not (tmp_path / "model" / "adapter").exists()
    assert learner.state().keys() == make("llama").state().keys()
    assert load(tmp_path / "model").hash() == learner.hash()


def test_a_guard_comes_back_with_its_model(make, questions, tmp_path):
    learner = make("llama")
    request = Resolved(questions, {"forget": questions.ids[:3], "retain": questions.ids[3:]})
    Run(learner, request, find("methods", "refuse")(text="red new")).execute()
    learner.save(tmp_path / "model")
    again = load(tmp_path / "model", CausalLM)
    assert again.hash() == learner.hash()
    assert again.generate(questions, questions.ids[:1]) == ["red new"]
    kept = (tmp_path / "model" / "learner.json").read_text()
    assert questions.columns["question"][0] not in kept


def test_a_model_saved_in_bf16_is_read_in_fp32_unless_asked(make, tmp_path):
    learner = make("llama")
    learner.model.to(torch.bfloat16).save_pretrained(tmp_path / "model")
    learner.tokenizer.save_pretrained(tmp_path / "model")
    assert load(tmp_path / "model", CausalLM).model.dtype == torch.float32
    assert load(tmp_path / "model", CausalLM, dtype=torch.bfloat16).model.dtype == torch.bfloat16


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return builtins.exec, (f"open({str(self.path)!r}, 'w').close()",)


@pytest.mark.parametrize("place", ["pytorch_model.bin", "adapter/adapter_model.bin"])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(make, tmp_path, place):
    folder, trap = tmp_path / "model", tmp_path / "ran"
    make("llama").save(folder)
    if "adapter" not in place:
        (folder / "model.safetensors").unlink()
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_bytes(pickle.dumps({"weight": Malicious(trap)}))
    with pytest.raises(UnsafeFileError, match="could run code") as error:
        load(folder)
    assert "safetensors" in error.value.hint
    assert not trap.exists()


def test_pickled_weights_are_taken_when_the_restricted_reader_takes_them(make, questions, tmp_path):
    learner = make("llama")
    learner.save(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    torch.save(learner.model.state_dict(), tmp_path / "model" / "pytorch_model.bin")
    assert load(tmp_path / "model").hash() == learner.hash()


def test_a_missing_folder_is_refused_with_the_nearest(make, tmp_path, monkeypatch):
    make("mlp").save(tmp_path / "original")
    with pytest.raises(DataError, match="no model folder at") as error:
        load(tmp_path / "orignal", Classifier)
    assert "`original`" in error.value.hint
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="no model folder or hub model") as error:
        load("orignal", CausalLM)
    assert "`original`" in error.value.hint


def test_another_kind_of_learner_is_refused(make, tmp_path):
    make("mlp").save(tmp_path / "model")
    with pytest.raises(LearnerError, match="holds a classifier, not a causal_lm"):
        load(tmp_path / "model", CausalLM)
    make("llama").model.save_pretrained(tmp_path / "bare")
    with pytest.raises(LearnerError, match=r"lacks 1 weights of a classifier, e.g. score.weight"):
        load(tmp_path / "bare", Classifier)
    with pytest.raises(LearnerError, match="holds no tokenizer"):
        load(tmp_path / "bare", CausalLM)


def test_a_head_of_another_size_is_refused(make, tmp_path):
    make("mlp").save(tmp_path / "model")
    manifest = tmp_path / "model" / "learner.json"
    values = json.loads(manifest.read_text())
    values["spec"]["classes"] = 4
    manifest.write_text(json.dumps(values))
    with pytest.raises(LearnerError, match="damaged or of another model"):
        load(tmp_path / "model")
    with pytest.raises(LearnerError, match="of another model"):
        make("mlp").load_state(Classifier(nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 5))).state())


@pytest.mark.parametrize("name", ["mlp", "llama"])
def test_cut_off_weights_are_refused(make, tmp_path, name):
    make(name).save(tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-40])
    with pytest.raises(LearnerError) as error:
        load(tmp_path / "model")
    assert "\n" not in str(error.value)


def test_a_cut_off_manifest_is_refused(make, tmp_path):
    make("mlp").save(tmp_path / "model")
    manifest = tmp_path / "model" / "learner.json"
    manifest.write_text(manifest.read_text()[:-9])
    with pytest.raises(DataError, match="damaged"):
        load(tmp_path / "model")


def test_a_plain_module_without_a_recipe_says_how_to_go_on(tmp_path):
    Classifier(nn.Linear(4, 3)).save(tmp_path / "model")
    with pytest.raises(LearnerError, match="does not say how to build its model") as error:
        load(tmp_path / "model")
    assert "load_state" in error.value.hint


@pytest.mark.parametrize("name", ["mlp", "llama"])
@pytest.mark.parametrize("when", ["weights", "manifest"])
def test_a_full_disk_leaves_the_previous_folder_and_nothing_else(make, tmp_path, monkeypatch, name, when):
    learner = make(name)
    learner.save(tmp_path / "model")
    before = {p.name: p.read_bytes() for p in (tmp_path / "model").iterdir()}
    with torch.no_grad():
        next(learner.model.parameters()).add_(1)
    if when == "manifest":
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        monkeypatch.setattr(Path, "write_text", lambda *a, **k: (_ for _ in ()).throw(full))
        with pytest.raises(EnvironmentError_, match="No space left on device") as error:
            learner.save(tmp_path / "model")
    else:
        with small_files(200), pytest.raises(EnvironmentError_, match="cannot save the model") as error:
            learner.save(tmp_path / "model")
    assert error.value.exit_code == 3
    assert {p.name: p.read_bytes() for p in (tmp_path / "model").iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_an_interrupt_while_saving_leaves_the_previous_folder(make, tmp_path, monkeypatch):
    learner = make("mlp")
    learner.save(tmp_path / "model")
    monkeypatch.setattr(Path, "write_text", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        learner.save(tmp_path / "model")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert load(tmp_path / "model").hash() == learner.hash()


def test_a_place_that_is_no_folder_is_refused(make, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentError_, match="cannot save the model"):
        make("mlp").save(tmp_path / "file" / "model")
    shutil.rmtree(tmp_path / "file", ignore_errors=True)


class small_files:  # noqa: N801
    """The system refuses to write files beyond a size inside the block, as it does on a full disk."""

    def __init__(self, size):
        self.size = size

    def __enter__(self):
        self.signal = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        self.limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.limits[1]))

    def __exit__(self, *_):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.limits)
        signal.signal(signal.SIGXFSZ, self.signal)
