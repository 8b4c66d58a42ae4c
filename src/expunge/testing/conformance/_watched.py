"""A network that notes who runs it: which copy, on which records, learning or not, with which weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One forward pass.

    Args:
        network: Number of the copy that ran, in the order of their first passes.
        learning: Whether a gradient could be taken; what follows is noted only then.
        forget: Forgotten records in the batch.
        retain: Retained records in the batch.
        weights: Sum that changes with any weight.
    """

    network: int
    learning: bool
    forget: int = 0
    retain: int = 0
    weights: float = 0.0


@dataclass
class Log:
    """The passes of a network and of all its copies, in order; copies share it.

    Args:
        roles: Bytes of a record's input to "forget" or "retain".
        networks: Every copy that ran.
        first: Their weights at their first pass.
        passes: What ran.
    """

    roles: dict[bytes, str]
    networks: list[nn.Module] = field(default_factory=list)
    first: list[dict[str, Tensor]] = field(default_factory=list)
    passes: list[Pass] = field(default_factory=list)

    def __deepcopy__(self, memo: dict[int, Any]) -> Log:
        return self

    def note(self, network: nn.Module, x: Tensor) -> None:
        """Note one pass."""
        place = next((k for k, known in enumerate(self.networks) if known is network), None)
        if place is None:
            place = len(self.networks)
            self.networks.append(network)
            self.first.append(state(network))
        if not (torch.is_grad_enabled() and any(p.requires_grad for p in network.parameters())):
            self.passes.append(Pass(network=place, learning=False))
            return
        roles = [self.roles.get(row.tobytes()) for row in x.detach().cpu().numpy()]
        weights = sum(k * float(p.detach().sum()) for k, p in enumerate(network.parameters(), 1))
        counts = {"forget": roles.count("forget"), "retain": roles.count("retain")}
        self.passes.append(Pass(network=place, learning=True, weights=weights, **counts))

    def learnt(self) -> list[Pass]:
        """Return the passes from which weights were learnt: with a gradient, of copies that changed meanwhile."""
        last = [state(n) for n in self.networks]
        moved = {k for k, (a, b) in enumerate(zip(self.first, last, strict=True)) if not same(a, b)}
        return [p for p in self.passes if p.learning and p.network in moved]


class Watched(nn.Sequential):
    """Layers in a row, with a log where one was given."""

    log: Log | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Note the pass, and return what the layers give."""
        if self.log is not None:
            self.log.note(self, x)
        output: Tensor = super().forward(x)
        return output


def state(network: nn.Module) -> dict[str, Tensor]:
    """Return copies of weights and buffers."""
    return {name: t.detach().clone() for name, t in network.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Whether two states are equal bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def storages(network: nn.Module) -> set[int]:
    """Return the addresses of all weights and buffers."""
    tensors = network.state_dict(keep_vars=True).values()
    return {t.untyped_storage().data_ptr() for t in tensors if t.numel()}
