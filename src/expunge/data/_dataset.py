"""Records with stable ids, held as columns, whatever they are: text, images, tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from expunge.data._kinds import bounded
from expunge.errors import DataError
from expunge.registry import did_you_mean

Selector = str | Mapping[str, Any] | Sequence[str]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Columns of equal length, one stable id a row, and named subsets.

    A column is a numpy array [n, ...] or a list. The optional column `split` says what each record was for: `train`
    (the model was trained on it), `holdout` (drawn alike, never trained on), `test` and any further evaluation set.
    Without it every record counts as `train`.

    Args:
        name: What it is called in reports, e.g. "tofu".
        ids: One string a record, all different.
        columns: Field name to values.
        subsets: Names for lists of ids, e.g. TOFU's `forget10`.
        numbered: Whether the ids were made up by a reader; then they do not tell that two records are the same.

    Raises:
        DataError: Columns of unequal length, duplicate ids, a subset with an unknown id.
    """

    name: str
    ids: list[str]
    columns: dict[str, Any]
    subsets: dict[str, list[str]] = field(default_factory=dict)
    numbered: bool = False

    def __post_init__(self) -> None:
        for column, values in self.columns.items():
            if len(values) != len(self.ids):
                raise DataError(f"{self.name}: column {column!r} has {len(values)} values for {len(self.ids)} ids")
        if len(self.row_of) != len(self.ids):
            seen: set[str] = set()
            twice = next(i for i in self.ids if i in seen or seen.add(i))  # type: ignore[func-returns-value]
            raise DataError(f"{self.name}: id {twice!r} occurs more than once", hint="ids must be unique")
        for subset, ids in self.subsets.items():
            unknown = next((i for i in ids if i not in self.row_of), None)
            if unknown is not None:
                raise DataError(f"{self.name}: subset {subset!r} lists the unknown id {unknown!r}")

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Row number of each id."""
        return {i: n for n, i in enumerate(self.ids)}

    def rows(self, ids: Iterable[str]) -> np.ndarray:
        """Return row numbers [n] of ids, in their order. Raises DataError for an unknown id."""
        try:
            return np.fromiter((self.row_of[i] for i in ids), dtype=np.int64)
        except KeyError as error:
            raise DataError(f"{self.name}: no record has the id {error.args[0]!r}") from None

    def column(self, name: str) -> Any:
        """Return a whole column. Raises DataError, naming the nearest, when it is absent."""
        if name not in self.columns:
            raise DataError(f"{self.name} has no field {name!r}", hint=did_you_mean(name, sorted(self.columns)))
        return self.columns[name]

    def values(self, name: str, ids: Iterable[str]) -> Any:
        """Return the values of one column for some ids: an array where the column is one, else a list."""
        column, rows = self.column(name), self.rows(ids)
        return column[rows] if isinstance(column, np.ndarray) else [column[r] for r in rows]

    def split(self, name: str) -> list[str]:
        """Return the ids of one split, in order. Without a `split` column everything is `train`."""
        if "split" not in self.columns:
            return list(self.ids) if name == "train" else []
        return [i for i, s in zip(self.ids, self.columns["split"], strict=True) if s == name]

    def select(self, selector: Selector, *, among: Iterable[str] | None = None) -> list[str]:
        """Return the ids that a selector names, in data order.

        A selector is a subset's or split's name, a list of ids, or `{field: value or list of values}` (all must match);
        instead of a value a range, `{above:, below:, from:, to:}`, the last two inclusive.

        Args:
            selector: What to choose.
            among: The ids that fields and values are looked for in; None is all.

        Raises:
            DataError: Unknown subset, field or id, or a value that no record has.
        """
        if isinstance(selector, str):
            if selector in self.subsets:
                return list(self.subsets[selector])
            if found := self.split(selector):
                return found
            known = sorted({*self.subsets, *map(str, self.columns.get("split", ["train"]))})
            raise DataError(f"{self.name} has no subset {selector!r}", hint=did_you_mean(selector, known))
        if isinstance(selector, Mapping):
            rows = np.arange(len(self)) if among is None else self.rows(among)
            keep = np.ones(len(rows), dtype=bool)
            for field_name, wanted in selector.items():
                values = self.column(field_name)
                keep &= self._matching(field_name, [_plain(values[r]) for r in rows], wanted)
            return [self.ids[r] for r in rows[keep]]
        self.rows(selector)
        return list(selector)

    def _matching(self, field_name: str, column: list[Any], wanted: Any) -> np.ndarray:
        """Which values [n] a selector's value, values or range names."""
        try:
            present = set(column)
        except TypeError:
            raise DataError(
                f"{self.name}: records cannot be chosen by {field_name!r}", hint="it holds lists or arrays"
            ) from None
        if isinstance(wanted, Mapping):
            return bounded(self.name, field_name, column, wanted)
        wanted = set(wanted) if isinstance(wanted, (list, tuple, set)) else {wanted}
        strange = sorted(wanted - present, key=str)
        if strange:
            some = ", ".join(repr(v) for v in sorted(present, key=str)[:10])
            raise DataError(f"{self.name}: no record has {field_name} = {strange[0]!r}", hint=f"values: {some}")
        return np.array([v in wanted for v in column], dtype=bool)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over ids and every column, hex: equal exactly when the data are."""
        digest = hashlib.sha256(json.dumps(self.ids).encode())
        for name in sorted(self.columns):
            values = self.columns[name]
            digest.update(name.encode())
            if isinstance(values, np.ndarray) and values.dtype != object:
                digest.update(str((values.dtype.str, values.shape)).encode() + np.ascontiguousarray(values).tobytes())
            else:
                digest.update(json.dumps([_plain(v) for v in values], default=str).encode())
        return digest.hexdigest()

    @staticmethod
    def concatenate(name: str, parts: Mapping[str, Dataset]) -> Dataset:
        """Join data sets whose ids differ; the key of each part becomes its records' `split` where it has none.

        Fields that only some parts have are None (text) elsewhere. Raises DataError when arrays cannot be joined.
        """
        fields = sorted({c for d in parts.values() for c in d.columns} | {"split"})
        columns: dict[str, Any] = {}
        for f in fields:
            pieces = []
            for key, d in parts.items():
                pieces.append(d.columns.get(f, [key] * len(d) if f == "split" else [None] * len(d)))
            if all(isinstance(p, np.ndarray) for p in pieces):
                if len({p.shape[1:] for p in pieces}) != 1:
                    raise DataError(f"{name}: field {f!r} has different shapes in {', '.join(parts)}")
                columns[f] = np.concatenate(pieces)
            else:
                columns[f] = [v for p in pieces for v in (p.tolist() if isinstance(p, np.ndarray) else p)]
        subsets: dict[str, list[str]] = {}
        for d in parts.values():
            subsets.update(d.subsets)
        return Dataset(name, [i for d in parts.values() for i in d.ids], columns, subsets)


def _plain(value: Any) -> Any:
    """A numpy scalar as the Python value that a recipe or a command line can spell."""
    return value.item() if isinstance(value, np.generic) else value
