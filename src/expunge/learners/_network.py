"""What classifiers and regressors share: a network that reads one field and gives one row of numbers an example."""

from __future__ import annotations

import weakref
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from expunge.data import Dataset
from expunge.errors import DataError, LearnerError
from expunge.learners import _folder
from expunge.learners._base import Learner
from expunge.learners._batch import Batch

INPUTS = ("image", "features", "x", "text")


class NetworkLearner(Learner):
    """A plain `nn.Module`, or a transformers image or text model with a head; a subclass gives `targets`.

    Args:
        model: Takes inputs [B, ...] and returns one row an example, or a transformers model with `.logits`.
        input: Field that holds the inputs; None picks the first of image, features, x, text that the data have.
        target: Field that holds the target.
        tokenizer: For text inputs.
        max_length: Longest text, tokens.
        head_layer: Name of the module that gives the output from the features; "" is the last linear one.
        spec: How to build the same architecture anew, see `expunge.models`.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        input: str | None = None,
        target: str,
        tokenizer: Any = None,
        max_length: int = 512,
        head_layer: str = "",
        spec: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(model, spec=spec)
        self.head_layer = head_layer
        self.input = input
        self.target = target
        self.tokenizer = tokenizer
        self.max_length = max_length
        self._resident: weakref.WeakKeyDictionary[Dataset, tuple[Any, Tensor]] = weakref.WeakKeyDictionary()

    @abstractmethod
    def targets(self, dataset: Dataset) -> Tensor:
        """Return the targets of all records, [n] or [n, K]. Raises DataError when they are none."""

    def collate(self, dataset: Dataset, ids: Sequence[str], role: str = "", field: str = "") -> Batch:
        """Read records into a batch; arrays live on the device whole and are only indexed here."""
        inputs, targets = self._read(dataset)
        rows = torch.from_numpy(dataset.rows(ids))
        if isinstance(inputs, list):
            encoded = self.tokenizer(
                [inputs[r] for r in rows.tolist()],
                padding=True,
                truncation=True,
                max_length=self.max_length,
                return_tensors="pt",
            )
            named = dict(encoded)
        else:
            named = {"pixel_values" if self._is_transformers else "x": inputs[rows.to(inputs.device)]}
        chosen = targets[rows.to(targets.device)].flatten()
        places = torch.arange(len(chosen), device=targets.device)
        owner = places // max(1, len(chosen) // max(1, len(ids)))
        return Batch(list(ids), role, dataset, named, chosen, owner, places)

    def output(self, batch: Batch) -> Float[Tensor, "B ..."]:
        """Return the network's own output, one row an example. Raises LearnerError where the inputs do not fit it."""
        try:
            output = self.model(batch.inputs["x"]) if "x" in batch.inputs else self.model(**batch.inputs)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, IndexError) as error:
            shapes = {k: tuple(v.shape) for k, v in batch.inputs.items()}
            raise LearnerError(
                f"the model does not take inputs of shape {shapes}: {str(error).splitlines()[0]}",
                hint="check the data's image shape",
            ) from error
        return getattr(output, "logits", output)

    def head(self, states_ND: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
        """Return the logits, which the states are: the cheapest whole-distribution reference is the output itself."""
        return states_ND

    def features(self, batch: Batch, layer: str = "") -> Float[Tensor, "B D"]:
        """Return what the named module gives for each example, flattened, [B, D]; "" is what the head reads.

        Raises:
            LearnerError: No module bears the name, or no head is found.
        """
        if layer:
            return self.activations(batch, [layer])[1][layer].flatten(1)
        caught: list[Tensor] = []
        hook = self.head_module()[1].register_forward_pre_hook(lambda _m, inputs: caught.append(inputs[0]))
        try:
            self.output(batch)
        finally:
            hook.remove()
        return caught[-1].flatten(1)

    def activations(self, batch: Batch, layers: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the network's output and what each named module gave on the way, [B, ...]; gradients flow.

        Raises:
            LearnerError: No module bears a name.
        """
        modules, caught = dict(self.model.named_modules()), dict[str, Tensor]()
        for layer in layers:
            if layer not in modules:
                raise LearnerError(
                    f"the model has no layer {layer!r}", hint=f"layers: {', '.join(n for n in modules if n)}"
                )

        def keep(name: str, output: Any) -> None:
            caught[name] = output[0] if isinstance(output, tuple) else output

        hooks = [modules[n].register_forward_hook(lambda _m, _i, out, n=n: keep(n, out)) for n in layers]
        try:
            output = self.output(batch)
        finally:
            for hook in hooks:
                hook.remove()
        return output, caught

    def head_module(self) -> tuple[str, nn.Module]:
        """Return name and module of the head: the one that `head_layer` names, else the last linear one.

        Raises:
            LearnerError: No module bears the name, or none is linear.
        """
        modules = dict(self.model.named_modules())
        if self.head_layer and self.head_layer not in modules:
            hint = f"layers: {', '.join(n for n in modules if n)}"
            raise LearnerError(f"the model has no layer {self.head_layer!r} to be its head", hint=hint)
        linear = [self.head_layer] if self.head_layer else [n for n, m in modules.items() if isinstance(m, nn.Linear)]
        if not linear:
            hint = f"name what scores the classes: `head_layer=`; layers: {', '.join(n for n in modules if n)}"
            raise LearnerError("the model has no linear layer to be its head", hint=hint)
        return linear[-1], modules[linear[-1]]

    def options(self) -> dict[str, Any]:
        """Return what `learner.json` keeps beside the weights: the constructor's further arguments."""
        named = {"head_layer": self.head_layer} if self.head_layer else {}
        return {"input": self.input, "target": self.target, "max_length": self.max_length, **named}

    def save(self, folder: Path) -> None:
        """Write the weights (safetensors), the configuration and `learner.json`."""
        _folder.save(self, folder, self.options(), tokenizer=self.tokenizer)

    @classmethod
    def from_pretrained(cls, source: str | Path, **options: Any) -> Self:
        """Load a saved folder or a transformers model (image, else text) by path or hub id."""
        return _folder.load(source, cls, **options)

    @property
    def _is_transformers(self) -> bool:
        return hasattr(self.model, "config") and hasattr(self.model.config, "model_type")

    def _initialised(self) -> nn.Module:
        return _folder.initialised(self.model) if self._is_transformers else super()._initialised()

    def _read(self, dataset: Dataset) -> tuple[Any, Tensor]:
        """Inputs and targets of the whole data set, on the device, read once."""
        if dataset not in self._resident:
            field = self.input or next((f for f in INPUTS if f in dataset.columns), None)
            if field is None:
                raise DataError(
                    f"{dataset.name} has none of the input fields {', '.join(INPUTS)}", hint="name it: `input=`"
                )
            column = dataset.column(field)
            targets = self.targets(dataset)
            if isinstance(column, np.ndarray) and column.dtype.kind in "fiub":
                values = finite(dataset, field, column)
                self._resident[dataset] = (torch.from_numpy(values).to(self.device), targets.to(self.device))
            elif self.tokenizer is None:
                raise LearnerError(
                    f"{dataset.name}: {field!r} is text and the model came without a tokenizer",
                    hint="pass `tokenizer=`",
                )
            else:
                self._resident[dataset] = (list(column), targets)
        return self._resident[dataset]


def finite(dataset: Dataset, field: str, column: np.ndarray) -> Float[np.ndarray, "n ..."]:
    """Return a column in fp32. Raises DataError, naming the first record, for a number that is not finite."""
    values = column.astype(np.float32)
    lost = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(1))
    if len(lost):
        raise DataError(
            f"{dataset.name}: record {dataset.ids[lost[0]]!r} holds a number that is not finite in {field!r}"
        )
    return values
