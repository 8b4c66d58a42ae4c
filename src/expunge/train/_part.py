"""What flows through a step: ids in, batches to the method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from expunge.errors import ConfigError
from expunge.learners import Batch


@dataclass(frozen=True)
class Step:
    """One optimiser step, named call or snapshot, as values: a method's `batches` yields these.

    Args:
        ids: Role to record ids; empty for a step that only calls or takes a snapshot.
        phase: What the method calls this part of its schedule; reaches `loss` as `batch.phase`.
        lr_scale: Factor on the run's learning rate, ≥ 0.
        snapshot: Keep a copy of the weights under this name before the step.
        call: Name of a function of the method, called with the run before the step.
        optimiser: Which of the method's optimisers steps.
    """

    ids: Mapping[str, list[str]] = field(default_factory=dict)
    phase: str = ""
    lr_scale: float = 1.0
    snapshot: str = ""
    call: str = ""
    optimiser: str = "main"


class Batches:
    """A step's batches by role: `batch.forget`, `batch.retain`, …"""

    def __init__(self, by_role: Mapping[str, Batch], phase: str = "") -> None:
        self._by_role = dict(by_role)
        self.phase = phase

    def __getattr__(self, role: str) -> Batch:
        try:
            return self.__dict__["_by_role"][role]
        except KeyError:
            raise ConfigError(
                f"this step has no batch of role {role!r}", hint=f"roles: {', '.join(self._by_role)}"
            ) from None

    def __contains__(self, role: str) -> bool:
        return role in self._by_role
