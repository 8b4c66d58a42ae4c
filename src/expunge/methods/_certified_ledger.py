"""The ledger of a certified head: its secret, the terms it was fitted on, and what removals have spent since."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from expunge.errors import ConfigError, EnvironmentError_, RequestError, RunError


@dataclass(frozen=True, kw_only=True)
class State:
    """Where a head stands.

    Args:
        removed: Ids taken out since the fit.
        spent: Bound on ‖∇L_b‖ over the rows that are left, by column: what has to be masked.
        jacobian_gap: See `_certified.jacobian_gap`, since the fit; None where it is not known.
    """

    removed: list[str]
    spent: list[float]
    jacobian_gap: float | None = 0.0

    @property
    def total(self) -> float:
        """Root of the sum of squares over the columns, whose secrets are drawn independently."""
        return float(torch.tensor(self.spent, dtype=torch.float64).norm())


@dataclass(frozen=True, kw_only=True, eq=False)
class Ledger:
    """One fit, and every head that removals made of it, by digest.

    Args:
        terms: What was fixed before the fit.
        source: Digest of the head that the fit took the place of; the same fit, interrupted, is known again by it.
        ids: Records that it was fitted on.
        secret: b, [K, D].
        states: Digest of a head to where it stands.
    """

    terms: dict[str, float]
    source: str
    ids: list[str]
    secret: Tensor
    states: dict[str, State] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all, for its owner's eyes only.

        Raises:
            EnvironmentError_: The place cannot be written.
        """
        facts = {"terms": self.terms, "source": self.source, "ids": self.ids}
        facts |= {"states": {digest: asdict(state) for digest, state in self.states.items()}}
        partial = path.with_name(f".{path.name}-{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.touch(mode=0o600)
            save_file({"secret": self.secret.contiguous()}, partial, {"ledger": json.dumps(facts)})
            partial.chmod(0o600)
            partial.replace(path)
        except (OSError, SafetensorError) as error:
            raise EnvironmentError_(
                f"cannot write the ledger {path}: {error}", hint="method.ledger names it"
            ) from error
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: Path) -> Ledger:
        """Read the file. Raises RunError when it is damaged or no ledger."""
        try:
            with safe_open(path, framework="pt") as kept:
                facts: dict[str, Any] = json.loads(kept.metadata()["ledger"])
                states = {digest: State(**state) for digest, state in facts.pop("states").items()}
                return cls(**facts, secret=kept.get_tensor("secret"), states=states)
        except (OSError, SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
            why = (str(error).splitlines() or ["empty"])[0]
            hint = "name a file that does not exist, and the head is fitted anew"
            raise RunError(f"{path} is no ledger of a certified head: {why}", hint=hint) from None

    def refuse_other_terms(self, terms: dict[str, float], path: str) -> None:
        """Raise ConfigError for terms that are not those of the fit, by name."""
        for name, fitted in self.terms.items():
            if terms[name] != fitted:
                what = f"certified_removal: {name} is {terms[name]:g}, and {path} was fitted with {fitted:g}"
                raise ConfigError(what, hint="the terms are fixed before the fit; name a new ledger to fit anew")

    def refuse_other_records(self, state: State, forget: list[str], retain: list[str]) -> None:
        """Raise RequestError unless these are the records on which the head stands: to be removed, and to be left."""
        there = set(self.ids).difference(state.removed)
        hint = "forget and retain together must be exactly the records that the head stands on"
        if again := set(forget).intersection(state.removed):
            raise RequestError(f"certified_removal: record {min(again)!r} was removed before", hint=hint)
        if unknown := {*forget, *retain}.difference(there):
            what = f"certified_removal: the head was not fitted on {len(unknown)} of the records, e.g. {min(unknown)!r}"
            raise RequestError(what, hint=hint)
        if missing := there.difference(forget, retain):
            what = f"certified_removal: {len(missing)} records of the fit are in no set, e.g. {min(missing)!r}"
            raise RequestError(what, hint=hint)


def digest(head: nn.Linear) -> str:
    """Return a SHA-256 of the head's weights, hex."""
    found = hashlib.sha256()
    for tensor in head.state_dict().values():
        found.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
