"""Classifiers: any network that gives one row of class scores for each example."""

from __future__ import annotations

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


class Classifier(NetworkLearner):
    """A plain `nn.Module`, or a transformers image or text classifier.

        learner = Classifier(nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)))

    One scored position an example: its class. `states` are the logits themselves.

    Args:
        model: Takes inputs [B, ...] and returns class scores [B, C], or a transformers model with `.logits`.
        input: Field that holds the inputs; None picks the first of image, features, x, text that the data have.
        target: Field that holds the class, 0 to C - 1.
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

    def targets(self, dataset: Dataset) -> Int[Tensor, " n"]:
        """Return the classes, [n]. Raises DataError when they are no whole numbers."""
        classes = np.asarray(dataset.column(self.target))
        if classes.dtype.kind not in "iub":
            raise DataError(
                f"{dataset.name}: {self.target!r} does not hold whole numbers", hint="number the classes from 0"
            )
        return torch.as_tensor(classes.astype(np.int64))

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
        if lowest < 0:
            raise DataError(f"{dataset.name}: {self.target!r} holds {lowest}", hint="classes are numbered from 0")
        if highest >= classes:
            raise LearnerError(
                f"{dataset.name} has the class {highest}, the model's head only 0 to {classes - 1}",
                hint="is this the right model?",
            )

    def read(self, batch: Batch, logits_NV: Float[Tensor, "N V"]) -> Reading:
        """As the base class, with every class's log-probability and the target."""
        extras = {"log_probs": logits_NV.float().log_softmax(-1).cpu().numpy(), "target": batch.targets.cpu().numpy()}
        return super().read(batch, logits_NV) | {"extras": extras}
