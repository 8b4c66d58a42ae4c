"""What CF-k and EU-k share: which layers are the last k, and learning in those alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from expunge.errors import LearnerError, require
from expunge.learners import Learner
from expunge.methods._frozen import alone, thaw
from expunge.train import Batches, Method, Part, Run

BatchNorm = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True, kw_only=True)
class LastLayers(Method):
    """Learn from the retain set in the last layers alone.

    Args:
        k: How many, ≥ 1.
        layers: Names of the modules to take instead of the last k.

    Raises:
        ConfigError: A value is out of range, or the model has fewer layers.
        LearnerError: No head is found, or no module bears a name.
    """

    k: int = 1
    layers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require(self.k >= 1, f"{self.card.name}: k must be ≥ 1, got {self.k}")

    def parameters(self, run: Run) -> Mapping[str, Mapping[str, nn.Parameter]]:
        chosen = self.chosen(run.learner)
        return {"main": alone(run, inside(run.learner, chosen), f"the layers {', '.join(chosen)}")}

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        chosen = self.chosen(run.learner)
        for name, module in run.learner.model.named_modules():
            if isinstance(module, BatchNorm) and not within(name, chosen):
                module.eval()  # its running statistics are part of what stays
        return {"retain": run.learner.nll(batch.retain)}

    def end(self, run: Run) -> None:
        thaw(run)

    def chosen(self, learner: Learner) -> list[str]:
        """Return the names of the modules that learn, from the bottom up."""
        if self.layers:
            modules = dict(learner.model.named_modules())
            for name in self.layers:
                if name not in modules:
                    hint = f"layers: {', '.join(n for n in modules if n)}"
                    raise LearnerError(f"{self.card.name}: the model has no layer {name!r}", hint=hint)
            return list(self.layers)
        groups = layers_of(learner)
        what = f"{self.card.name}: k must be 1 to {len(groups)}, the layers of this model, got {self.k}"
        require(self.k <= len(groups), what, hint=f"layers: {', '.join(g[0] for g in groups)}")
        return [name for group in groups[-self.k :] for name in group]


def layers_of(learner: Learner) -> list[list[str]]:
    """Return the layers of a network up to its head, from the bottom up, each as the names of its modules.

    The model is opened, as are `Sequential` and `ModuleList` and whatever holds a `ModuleList`, such as an encoder of
    blocks; any other module is one layer. One that holds vectors alone, such as a norm, belongs to the layer before it.

    Raises:
        LearnerError: No head is found.
    """
    head, _ = learner.head_module()
    found: list[list[str]] = []
    for name, module in _opened(learner.model, ""):
        sizes = [p.ndim for p in module.parameters()]
        if not sizes:
            continue
        if found and max(sizes) < 2:
            found[-1].append(name)
        else:
            found.append([name])
        if within(head, [name]):
            break
    return found


def _opened(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    stacks = any(isinstance(m, nn.ModuleList) for m in module.modules())
    if name and not stacks and not isinstance(module, nn.Sequential):
        yield name, module
        return
    for child_name, child in module.named_children():
        yield from _opened(child, f"{name}.{child_name}" if name else child_name)


def inside(learner: Learner, chosen: list[str]) -> dict[str, nn.Parameter]:
    """Return the trainable parameters inside the named modules."""
    return {n: p for n, p in learner.trainable().items() if within(n, chosen)}


def within(name: str, chosen: list[str]) -> bool:
    """Whether a name is that of a chosen module, or lies inside one."""
    return any(name == c or name.startswith(f"{c}.") for c in chosen)
