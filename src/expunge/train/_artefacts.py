"""Everything derived from data and kept during a run, with the ids it holds, so that forgetting covers it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from expunge.errors import BuriedError, RunError


@dataclass(frozen=True, eq=False)
class Stored:
    """Rows of numbers for each record of a role.

    Args:
        role: Whose batches get them.
        ids: Records, in order.
        values: [sum of lengths, ...].
        offsets: [n + 1] record r owns rows offsets[r]:offsets[r+1].
    """

    role: str
    ids: list[str]
    values: Tensor
    offsets: Tensor

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Place of each id."""
        return {i: n for n, i in enumerate(self.ids)}

    def gather(self, ids: Sequence[str]) -> Tensor:
        """Return the rows of some records, in their order."""
        rows = torch.tensor([self.row_of[i] for i in ids], device=self.values.device)
        if len(self.values) == len(self.ids):
            return self.values[rows]
        starts, stops = self.offsets[rows], self.offsets[rows + 1]
        return torch.cat([self.values[a:b] for a, b in zip(starts.tolist(), stops.tolist(), strict=True)])

    def without(self, gone: set[str]) -> Stored:
        """Return the rows of all records but some."""
        kept = [i for i in self.ids if i not in gone]
        lengths = (self.offsets[1:] - self.offsets[:-1])[[self.row_of[i] for i in kept]]
        offsets = torch.cat([self.offsets[:1], lengths.cumsum(0)])
        values = self.gather(kept) if kept else self.values[:0]
        return Stored(self.role, kept, values, offsets)


class Artefacts:
    """Named artefacts of a run. Values are tensors, numbers, and lists or dictionaries of them, or `Stored`.

    An artefact that holds anything of single records must say which: `Stored` does, others pass `ids`.
    """

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._ids: dict[str, list[str]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            raise RunError(f"the run has no artefact {name!r}", hint=f"artefacts: {', '.join(self._values) or 'none'}")
        return self._values[name]

    def names(self) -> list[str]:
        """Return the names, in order of creation."""
        return list(self._values)

    def put(self, name: str, value: Any, *, ids: Iterable[str] = ()) -> None:
        """Keep a value under a name."""
        self._values[name] = value
        self._ids[name] = list(ids)

    def drop(self, name: str) -> None:
        """Let an artefact go."""
        self._values.pop(name, None)
        self._ids.pop(name, None)

    def ids(self, name: str) -> list[str]:
        """Return the records that an artefact holds anything of."""
        value = self._values[name]
        return value.ids if isinstance(value, Stored) else self._ids[name]

    def stored(self, role: str) -> dict[str, Stored]:
        """Return the stored rows that batches of a role carry."""
        return {n: v for n, v in self._values.items() if isinstance(v, Stored) and v.role == role}

    def purge(self, gone: set[str]) -> list[str]:
        """Take records out of every artefact, drop what cannot lose single records, and return the names changed."""
        changed = []
        for name in self.names():
            if gone.intersection(self.ids(name)):
                value = self._values[name]
                if isinstance(value, Stored):
                    self._values[name] = value.without(gone)
                else:
                    self.drop(name)
                changed.append(name)
        return changed

    def check_free_of(self, gone: set[str]) -> None:
        """Raise BuriedError, naming the artefact, if any still lists a forgotten record."""
        for name in self._values:
            if left := gone.intersection(self.ids(name)):
                raise BuriedError(f"artefact {name!r} still holds {len(left)} forgotten record(s)")

    def state(self) -> dict[str, Any]:
        """Return everything as plain values for a checkpoint."""
        plain = {}
        for name, value in self._values.items():
            if isinstance(value, Stored):
                plain[name] = {
                    "role": value.role,
                    "ids": value.ids,
                    "values": value.values,
                    "offsets": value.offsets,
                    "is_stored": True,
                }
            else:
                plain[name] = {"value": value, "ids": self._ids[name], "is_stored": False}
        return plain

    def load_state(self, plain: dict[str, Any]) -> None:
        """Put a checkpoint's artefacts back."""
        self._values.clear()
        for name, entry in plain.items():
            if entry["is_stored"]:
                self.put(name, Stored(entry["role"], entry["ids"], entry["values"], entry["offsets"]))
            else:
                self.put(name, entry["value"], ids=entry["ids"])
