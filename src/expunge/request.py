"""What must be forgotten, what must stay: a request, resolved once against data into fixed ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from expunge.data import Dataset
from expunge.data import files as data_files
from expunge.errors import DataError, RequestError
from expunge.registry import did_you_mean, find, names

Data = str | Path | Mapping[str, Any] | Dataset
Which = str | Path | Mapping[str, Any] | Sequence[str] | Dataset
SETS = ("forget", "retain", "holdout", "test")
ONE_ROLE = "a record is either forgotten or kept; take it out of one of the two"


@dataclass(frozen=True, eq=False)
class ForgetRequest:
    """Names the sets of a forget request.

    Each set is a subset's name, a list of ids, `{field: value}`, a file, or a Dataset. A file of records is matched to
    `data` by id, else by content; records of `holdout` and `test` that `data` lacks join it under their own split.

    Args:
        data: What the model was trained on: a file, a registered data set's name, `{name: ..., option: ...}` or a
            Dataset. None when `forget` and `retain` are files that hold everything.
        forget: What must go.
        retain: What must stay; None is the rest of what was trained on.
        holdout: Drawn like the forget set, never trained on; None is the split of that name, if any.
        test: Never trained on; None is the split of that name, if any.
        target: A name, concept or task, for methods that need no records.
        reason: Why, in words that may be published.

    Raises:
        RequestError: On resolving: neither data nor target, nothing or everything to forget, unknown or duplicate ids,
            overlapping sets. The message names them.
        DataError: A file that cannot be read.
    """

    data: Data | None = None
    forget: Which | None = None
    retain: Which | None = None
    holdout: Which | None = None
    test: Which | None = None
    target: str | None = None
    reason: str = ""

    def resolve(self) -> Resolved:
        """Return the request with every set as a list of ids over one data set."""
        if self.forget is None:
            if self.target is None:
                raise RequestError(
                    "the request names neither records to forget nor a target", hint="give `forget=` or `target=`"
                )
            dataset = open_data(self.data) if self.data is not None else Dataset("target", [], {})
            return Resolved(dataset, {s: [] for s in SETS} | _splits(dataset), self.target, self.reason)
        dataset, ids = self._sets()
        ids["forget"] = _checked(ids.get("forget", []), "forget", dataset)
        trained = dataset.split("train")
        if "retain" not in ids:
            gone = set(ids["forget"])
            ids["retain"] = [i for i in trained if i not in gone]
        for name in ("retain", "holdout", "test"):
            ids[name] = _checked(ids[name] if name in ids else dataset.split(name), name, dataset)
        _refuse_contradictions(ids)
        return Resolved(dataset, _splits(dataset) | ids, self.target, self.reason)

    def _sets(self) -> tuple[Dataset, dict[str, list[str]]]:
        """Read every file once, join what `data` lacks, and return the ids that each given set names."""
        given = {s: getattr(self, s) for s in SETS if getattr(self, s) is not None}
        records = {s: _records(which) for s, which in given.items()}
        if self.data is None:
            records = _told_apart(records)
            missing = [s for s in ("forget", "retain") if records.get(s) is None]
            if missing:
                raise RequestError(
                    f"without `data`, {' and '.join(missing)} must be a file or Dataset of records",
                    hint="give `data`, what the model was trained on, or both files",
                )
            parts = {s if s in ("holdout", "test") else f"train:{s}": d for s, d in records.items() if d is not None}
            _refuse_twins(records)
            dataset = _joined(parts)
            return dataset, {s: d.ids for s, d in records.items() if d is not None}
        dataset = open_data(self.data)
        extra = {s: d for s in ("holdout", "test") if (d := records.get(s)) is not None}
        if extra:
            dataset = _joined({"train": dataset, **extra})
        ids = {}
        for name, which in given.items():
            part = records[name]
            if part is None:
                ids[name] = _select(dataset, which, name)
            else:
                ids[name] = part.ids if name in extra else _match(dataset, part, name)
        return dataset, ids


@dataclass(frozen=True, eq=False)
class Resolved:
    """A request whose sets are fixed: ids by role, over one data set.

    Args:
        dataset: Every record of every set.
        ids: Role ("forget", "retain", "holdout", "test" and any other split) to ids.
        target: As in the request.
        reason: As in the request.
    """

    dataset: Dataset
    ids: dict[str, list[str]]
    target: str | None = None
    reason: str = ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the sorted forgotten ids (or of the target), hex."""
        return hashlib.sha256(json.dumps([sorted(self.ids["forget"]), self.target]).encode()).hexdigest()

    def manifest(self) -> dict[str, Any]:
        """Return what a run folder keeps of the request: counts, ids and digests; never a record."""
        return {
            "data": self.dataset.name,
            "data_fingerprint": self.dataset.fingerprint,
            "counts": {role: len(ids) for role, ids in self.ids.items()},
            "forget_digest": self.digest,
            "ids": self.ids,
            "target": self.target,
            "reason": self.reason,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def open_data(data: Data) -> Dataset:
    """Return a Dataset from a file, a registered name, `{name: ..., **options}`, or itself.

    Raises:
        DataError: No such file or registered data set.
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, Mapping):
        options = dict(data)
        name = options.pop("name", None)
        if name is None:
            raise DataError("data: a mapping needs the key `name`", hint=f"registered: {', '.join(names('data'))}")
        try:
            return find("data", str(name)).load(**options)
        except TypeError as error:
            raise DataError(f"data {name!r}: {error}") from None
    if str(data) in names("data"):
        return find("data", str(data)).load()
    if not Path(data).exists() and "/" not in str(data) and "." not in str(data):
        raise DataError(f"no data set or file is called {str(data)!r}", hint=did_you_mean(str(data), names("data")))
    return data_files.load(Path(data))


def _records(which: Which) -> Dataset | None:
    """The records of a set given as a file or Dataset; None for a selector."""
    if isinstance(which, Dataset):
        return which
    if isinstance(which, Path) or (isinstance(which, str) and Path(which).suffix and Path(which).exists()):
        return data_files.load(Path(which))
    if isinstance(which, str) and Path(which).suffix in (".jsonl", ".json", ".csv", ".parquet", ".npz"):
        return data_files.load(Path(which))  # raises: says that it is missing
    return None


def _joined(parts: Mapping[str, Dataset]) -> Dataset:
    """One data set of several, with the split of each; ids that clash are refused by Dataset."""
    marked = {}
    for key, part in parts.items():
        split = part.columns.get("split", [key.partition(":")[0]] * len(part))
        marked[key] = Dataset(part.name, part.ids, {**part.columns, "split": list(split)}, part.subsets)
    return Dataset.concatenate("+".join(p.name for p in parts.values()), marked)


def _told_apart(records: Mapping[str, Dataset | None]) -> dict[str, Dataset | None]:
    """Number the records of files without ids by their set where two files bear the same name."""
    names_of = [d.name for d in records.values() if d is not None]
    apart = dict(records)
    for role, part in records.items():
        if (
            part is not None
            and names_of.count(part.name) > 1
            and part.ids == [f"{part.name}/{n}" for n in range(len(part))]
        ):
            apart[role] = Dataset(part.name, [f"{role}/{n}" for n in range(len(part))], part.columns, {})
    return apart


def _refuse_twins(records: Mapping[str, Dataset | None]) -> None:
    """Refuse a record to forget that another file holds too, under the same id or another."""
    forget = records["forget"]
    assert forget is not None
    for role, part in records.items():
        if part is None or role == "forget":
            continue
        if both := set(forget.ids).intersection(part.ids):
            raise RequestError(f"{len(both)} record(s) are in forget and in {role}, e.g. {min(both)!r}", hint=ONE_ROLE)
        fields = [f for f in forget.columns if f in part.columns and f not in ("split", "id")]
        theirs = {_content(part, fields, row) for row in range(len(part))} if fields else set()
        twins = [i for row, i in enumerate(forget.ids) if theirs and _content(forget, fields, row) in theirs]
        if twins:
            what = f"{len(twins)} record(s) of forget are in {role} too, under another id, e.g. {twins[0]!r}"
            raise RequestError(what, hint=f"take them out of {role}")


def _select(dataset: Dataset, which: Any, role: str) -> list[str]:
    if not isinstance(which, (str, Mapping, Sequence)):
        raise RequestError(
            f"{role}: {which!r} names no records", hint="a subset, a list of ids, {field: value} or a file"
        )
    try:
        return dataset.select(which)
    except DataError as error:
        raise RequestError(f"{role}: {error}", hint=error.hint) from None


def _match(dataset: Dataset, part: Dataset, role: str) -> list[str]:
    """Ids in `dataset` of the records of a file: by id where all are known, else by equal content."""
    if all(i in dataset.row_of for i in part.ids):
        return part.ids
    fields = [f for f in part.columns if f in dataset.columns and f not in ("split", "id")]
    if not fields:
        raise RequestError(f"{role}: {part.name} has neither ids nor fields of {dataset.name}")
    keys: dict[str, list[str]] = {}
    for row, record in enumerate(dataset.ids):
        keys.setdefault(_content(dataset, fields, row), []).append(record)
    found = []
    for row, record in enumerate(part.ids):
        matches = keys.get(_content(part, fields, row))
        if not matches:
            raise RequestError(
                f"{role}: record {record!r} of {part.name} is not in {dataset.name}", hint="it was not trained on"
            )
        found.extend(matches)
    return list(dict.fromkeys(found))


def _content(dataset: Dataset, fields: list[str], row: int) -> str:
    values = [dataset.columns[f][row] for f in fields]
    return json.dumps([v.tolist() if isinstance(v, np.ndarray | np.generic) else v for v in values], default=str)


def _checked(ids: list[str], role: str, dataset: Dataset) -> list[str]:
    """Refuse unknown and duplicate ids by name; refuse an empty forget set."""
    unknown = [i for i in ids if i not in dataset.row_of]
    if unknown:
        raise RequestError(
            f"{role}: {len(unknown)} unknown id(s), the first is {unknown[0]!r}", hint=f"ids of {dataset.name}"
        )
    if len(set(ids)) != len(ids):
        seen: set[str] = set()
        twice = next(i for i in ids if i in seen or seen.add(i))  # type: ignore[func-returns-value]
        raise RequestError(f"{role}: id {twice!r} is listed more than once", hint="list every id once")
    if role == "forget" and not ids:
        raise RequestError("forget: the set is empty", hint="check the selector")
    return ids


def _refuse_contradictions(ids: dict[str, list[str]]) -> None:
    forget = set(ids["forget"])
    for other in ("retain", "holdout", "test"):
        if both := forget.intersection(ids[other]):
            raise RequestError(f"{len(both)} record(s) are in forget and in {other}, e.g. {min(both)!r}", hint=ONE_ROLE)
    if not ids["retain"]:
        raise RequestError("forget covers everything that was trained on", hint="delete the model instead")


def _splits(dataset: Dataset) -> dict[str, list[str]]:
    """Every evaluation split that is neither what was trained on nor one of the four sets."""
    present = dict.fromkeys(map(str, dataset.columns.get("split", [])))
    return {s: dataset.split(s) for s in present if s not in ("train", *SETS)}
