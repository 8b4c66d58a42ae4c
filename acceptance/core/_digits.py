"""What the digits checks share: originals, requests, the four accuracies, and claims over seeds.

Setting of the sheets: 1,300 images to train on and 497 to test, perceptron 64-128-128-10, Adam 1e-3, 60 epochs. They
leave the batch size open: 64, which reproduces their retain loss. `split` is the seed of the split, `seed` that of
weights and order.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from expunge.config import TrainConfig
from expunge.data import Dataset, digits
from expunge.learners import Classifier, Learner
from expunge.methods.retrain import Retrain
from expunge.models import mlp
from expunge.records import Claim
from expunge.request import ForgetRequest, Resolved
from expunge.train import Method, Modifier, Run, copied

CLASS = 3
SPEC: dict[str, Any] = {"inputs": 64, "classes": 10}
TRAINING = TrainConfig(epochs=60, lr=1e-3, batch_size=64, optimiser="adam", clip=None)
WITHOUT_DEMAND = "none: measured"


@dataclass(frozen=True)
class Case:
    """A request, the model that it concerns, and the seed of both."""

    request: Resolved
    original: Classifier
    seed: int

    @property
    def data(self) -> Dataset:
        """All records."""
        return self.request.dataset


@dataclass(frozen=True)
class Accuracy:
    """Accuracies in percent; of the test set, `unseen` is the forgotten class's part, `test` all the rest of it."""

    forget: float
    retain: float
    unseen: float
    test: float

    def __str__(self) -> str:
        return f"{self.forget:.1f}/{self.retain:.1f}/{self.test:.1f}"


@cache
def one_class(seed: int, *, split: int = 0) -> Case:
    """Forget every training image of class 3. The holdout set is the test images of that class."""
    data = _digits(split)
    label = dict(zip(data.ids, data.columns["label"].tolist(), strict=True))
    unseen = [i for i in data.split("test") if label[i] == CLASS]
    test = [i for i in data.split("test") if label[i] != CLASS]
    forget = {"label": CLASS, "split": "train"}
    return Case(ForgetRequest(data, forget=forget, holdout=unseen, test=test).resolve(), original(data, seed), seed)


@cache
def random_tenth(seed: int, *, split: int = 0) -> Case:
    """Forget 130 random training images. The holdout set is 130 random images of the test set, the rest stays test."""
    data = _digits(split)
    draw = random.Random(seed)
    forget, holdout = draw.sample(data.split("train"), 130), draw.sample(data.split("test"), 130)
    test = [i for i in data.split("test") if i not in set(holdout)]
    return Case(ForgetRequest(data, forget=forget, holdout=holdout, test=test).resolve(), original(data, seed), seed)


@cache
def original(data: Dataset, seed: int) -> Classifier:
    """A model trained on everything."""
    everything = Resolved(data, {"forget": [], "retain": data.split("train")})
    return Run(_untrained(), everything, Retrain(), train=TRAINING, seed=seed).execute()  # type: ignore[return-value]


@cache
def retrained(case: Case) -> Classifier:
    """A model trained as the original was, from other weights, without the forget set."""
    return Run(_untrained(), case.request, Retrain(), train=TRAINING, seed=case.seed + 100).execute()  # type: ignore[return-value]


def forget(case: Case, method: Method, *modifiers: Modifier, train: TrainConfig) -> Run:
    """Run a method on a copy of the original; the unlearned model is the run's learner."""
    run = Run(copied(case.original), case.request, method, modifiers=modifiers, train=train, seed=case.seed)
    run.execute()
    return run


def accuracy(case: Case, learner: Learner) -> Accuracy:
    """Read the four accuracies, guards included."""
    ids = case.request.ids
    return Accuracy(*(hits(learner, case.data, ids[role]) for role in ("forget", "retain", "holdout", "test")))


def hits(learner: Learner, data: Dataset, ids: Sequence[str]) -> float:
    """Accuracy in percent."""
    return 100 * float(learner.score(data, ids, batch_size=2000)[""]["hit"].mean())


def retain_floor(cases: Sequence[Case], points: float) -> float:
    """Mean test accuracy of the retrained models without the forgotten class, less some points."""
    return float(np.mean([accuracy(case, retrained(case)).test for case in cases])) - points


def every(claim: str, demanded: str, values: Sequence[float], holds: Callable[[float], bool]) -> Claim:
    """Claim that every value holds; all of them are shown."""
    return Claim(claim, demanded, ", ".join(f"{value:.4g}" for value in values), all(map(holds, values)))


def shown(claim: str, measured: Sequence[object]) -> Claim:
    """Show figures of which nothing is demanded."""
    return Claim(claim, WITHOUT_DEMAND, ", ".join(map(str, measured)), True)


def sampling_error(share: float, images: int) -> float:
    """Two standard errors of an accuracy in percent over so many images, in points."""
    return 2 * math.sqrt(share * (100 - share) / images)


@cache
def _digits(split: int) -> Dataset:
    return digits.load(seed=split)


def _untrained() -> Classifier:
    return Classifier(mlp.build(**SPEC), spec={"name": "mlp", **SPEC})
