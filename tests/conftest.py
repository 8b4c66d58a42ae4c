"""Small models and requests that many tests share. Never change one in place: take `copied(...)` of it first."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start: another number of threads, other last bits

import pytest
import torch
from jaxtyping import install_import_hook

SHAPED = ("expunge.learners", "expunge.methods", "expunge.modifiers", "expunge.train")
install_import_hook(SHAPED, "shapes.check")  # before anything imports them; users pay nothing

from expunge.config import TrainConfig
from expunge.data import Dataset, digits, fictitious
from expunge.learners import CausalLM, Classifier
from expunge.methods.retrain import Retrain
from expunge.models import llama, mlp
from expunge.request import ForgetRequest, Resolved
from expunge.train import Run

torch.set_num_threads(1)

MLP = {"inputs": 64, "classes": 10}


@pytest.fixture(scope="session")
def digits_data() -> Dataset:
    """Handwritten digits, 1,300 to train on and 497 to test."""
    return digits.load()


@pytest.fixture(scope="session")
def digits_request(digits_data: Dataset) -> Resolved:
    """Forget every training image of class 3."""
    return ForgetRequest(digits_data, forget={"label": 3, "split": "train"}).resolve()


@pytest.fixture(scope="session")
def digits_original(digits_data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """A perceptron 64-128-128-10 trained on all training digits; trained once for all workers."""
    learner = Classifier(mlp.build(**MLP), spec={"name": "mlp", **MLP})
    cached = _shared(tmp_path_factory) / "digits_original.pt"
    if cached.exists():
        learner.load_state(torch.load(cached, weights_only=True))
        return learner
    whole = Resolved(
        digits_data, {"forget": [], "retain": digits_data.split("train"), "test": digits_data.split("test")}
    )
    train = TrainConfig(epochs=20, lr=2e-3, batch_size=64, optimiser="adam", clip=None)
    Run(learner, whole, Retrain(), train=train, seed=1).execute()
    partial = cached.with_suffix(f".{os.getpid()}")
    torch.save(learner.state(), partial)
    partial.replace(cached)
    return learner


@pytest.fixture(scope="session")
def tiny_classifier(digits_original: Classifier) -> Classifier:
    """The classifier by which contract tests go."""
    return digits_original


@pytest.fixture(scope="session")
def fictitious_data() -> Dataset:
    """Eight invented authors with three facts each; two of them are to be forgotten, two were never trained on."""
    return fictitious.load(
        "demo",
        authors=8,
        forget_authors=2,
        holdout_authors=2,
        validation_authors=2,
        evaluated_authors=2,
        values={"city": 8, "genre": 8, "award": 8},
        world_facts=4,
        real_authors=0,
    )


@pytest.fixture(scope="session")
def tiny_lm(fictitious_data: Dataset) -> CausalLM:
    """An untrained Llama of two blocks, width 32, with a word-level tokenizer of the fictitious authors."""
    columns = (fictitious_data.columns[c] for c in ("question", "answer", "paraphrased_answer"))
    tokenizer = llama.tokenizer(text for column in columns for text in column if text)
    spec = {"vocabulary_size": len(tokenizer), "layers": 2, "width": 32, "heads": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CausalLM(llama.build(**spec), tokenizer, spec={"name": "llama", **spec})


@pytest.fixture(scope="session")
def lm_request(fictitious_data: Dataset) -> Resolved:
    """Forget two of the invented authors."""
    return ForgetRequest(fictitious_data, forget="forget").resolve()


@pytest.fixture(scope="session")
def tiny_requests(digits_request: Resolved, lm_request: Resolved) -> dict[str, Resolved]:
    """A request for each kind of learner."""
    return {"classifier": digits_request, "causal_lm": lm_request}


def _shared(factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of one test run see."""
    base = factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
