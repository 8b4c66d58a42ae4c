"""Classifiers: any network that gives one row of class scores for each example."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from expunge.data import Dataset
from expunge.errors import DataError, LearnerError
from expunge.learners._base import Reading
from expunge.learners._batch import Batch
from expunge.learners._network import NetworkLearner
from expunge.learners._unlabelled import refusal

UNLABELLED = -1


class Classifier(NetworkLearner):
    """A plain `nn.Module`, or a transformers image or text classifier.

        learner = Classifier(nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)))

    One scored position an example: its class. `states` are the logits themselves.

    Args:
        model: Takes inputs [B, ...] and returns class scores [B, C], or a transformers model with `.logits`.
        input: Field that holds the inputs; None picks the first of image, features, x, text that the data have.
        target: Field that holds the class, 0 to C - 1; −1, NaN or None is a record without one, as are all records of
            data that lack the field. Methods whose card needs no labels forget them all the same.
        tokenizer: For text inputs.
        max_length: Longest text, tokens.
        head_layer: Name of the module that gives the output from the features; "" is the last linear one.
        spec: How to build the same architecture anew, see `expunge.models`.
    """

    kind: ClassVar[str] = "classifier"
    name: ClassVar[str] = "classifier"

    def __init__(
        self,
        model: nn.Module,
        *,
        input: str | None = None,
        target: str = "label",
        tokenizer: Any = None,
        max_length: int = 512,
        head_layer: str = "",
        spec: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            model,
            input=input,
            target=target,
            tokenizer=tokenizer,
            max_length=max_length,
            head_layer=head_layer,
            spec=spec,
        )
        self._lacking: weakref.WeakKeyDictionary[Dataset, frozenset[str]] = weakref.WeakKeyDictionary()

    def targets(self, dataset: Dataset) -> Int[Tensor, " n"]:
        """Return the classes, [n], −1 where a record has none. Raises DataError when they are no whole numbers."""
        column = dataset.columns.get(self.target, [UNLABELLED] * len(dataset))
        if not isinstance(column, np.ndarray):
            column = np.asarray([UNLABELLED if value is None else value for value in column])
        if column.dtype.kind == "f":
            column = np.where(np.isnan(column), UNLABELLED, column)
            column = column.astype(np.int64) if np.isfinite(column).all() and (column % 1 == 0).all() else column
        if column.dtype.kind not in "iub":
            raise DataError(
                f"{dataset.name}: {self.target!r} does not hold whole numbers", hint="number the classes from 0"
            )
        return torch.as_tensor(column.astype(np.int64))

    def unlabelled(self, dataset: Dataset, ids: Sequence[str]) -> list[str]:
        """Return the ids of records without a class: of −1, NaN or None, or all where the data have no such field."""
        if dataset not in self._lacking:
            rows = (self._read(dataset)[1] == UNLABELLED).nonzero().flatten().tolist()
            self._lacking[dataset] = frozenset(dataset.ids[row] for row in rows)
        lacking = self._lacking[dataset]
        return [i for i in ids if i in lacking] if lacking else []

    def target_log_probs(self, batch: Batch) -> Float[Tensor, " B"]:
        """Return log p(class) of each example, [B], nats, ≤ 0. Raises LearnerError where a record has none."""
        self._refuse_unlabelled(batch, "this loss")
        return super().target_log_probs(batch)

    def answering(self, batch: Batch, answers: Sequence[int]) -> Batch:
        """Return the same inputs with other classes, one an example."""
        return replace(batch, targets=torch.as_tensor(answers, device=batch.targets.device), stored={})

    def states(self, batch: Batch) -> Float[Tensor, "B C"]:
        """Return the class scores [B, C]: a classifier's cheapest whole-distribution reference is its logits."""
        return self.output(batch)

    def check(self, dataset: Dataset, ids: Sequence[str]) -> None:
        """Raise when classes exceed the head or the input shape does not fit.

        Raises:
            DataError: A field is missing.
            LearnerError: More classes in the data than the head has, or another input shape.
        """
        if not ids:
            return
        with self.evaluating():
            batch = self.collate(dataset, ids[:1]).to(self.device)
            classes = self.states(batch).shape[-1]
        lowest, highest = (int(t) for t in self._read(dataset)[1].aminmax())
        if lowest < UNLABELLED:
            hint = f"classes are numbered from 0; {UNLABELLED} is none"
            raise DataError(f"{dataset.name}: {self.target!r} holds {lowest}", hint=hint)
        if highest >= classes:
            raise LearnerError(
                f"{dataset.name} has the class {highest}, the model's head only 0 to {classes - 1}",
                hint="is this the right model?",
            )

    def read(self, batch: Batch, logits_NV: Float[Tensor, "N V"]) -> Reading:
        """As the base class, with every class's log-probability and the target.

        Raises:
            LearnerError: A record has no class.
        """
        self._refuse_unlabelled(batch, "scoring")
        extras = {"log_probs": logits_NV.float().log_softmax(-1).cpu().numpy(), "target": batch.targets.cpu().numpy()}
        return super().read(batch, logits_NV) | {"extras": extras}

    def _refuse_unlabelled(self, batch: Batch, who: str) -> None:
        lacking = self.unlabelled(batch.dataset, batch.ids)
        if lacking and bool((batch.targets < 0).any()):
            raise refusal(who, batch.dataset, lacking, self.kind)
