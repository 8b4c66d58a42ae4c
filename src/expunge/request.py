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
from expunge.data._kinds import by_model, chosen
from expunge.data._sets import ONE_ROLE, joined, matched, refuse_mixed, refuse_twins, same_records, told_apart
from expunge.errors import DataError, RequestError
from expunge.registry import did_you_mean, find, names

Data = str | Path | Mapping[str, Any] | Dataset
Which = str | Path | Mapping[str, Any] | Sequence[str] | Dataset
SETS = ("forget", "retain", "holdout", "test")
CLUSTER_FIELDS = ("author", "user", "document")
"""Fields whose values are the independent units of a data set."""

__all__ = ["SETS", "Data", "ForgetRequest", "Resolved", "Which", "open_data", "same_records"]


@dataclass(frozen=True, eq=False)
class ForgetRequest:
    """Names the sets of a forget request.

    Each set is a subset's name, a list of ids, a mapping of fields and kinds, a file or folder of records, or a
    Dataset. A mapping such as `{class: 3}`, `{user: ann}`, `{age: {above: 60}}`, `{mislabelled: true_label}` or
    `{random: 0.1, seed: 1}` chooses among what was trained on, unless it names a `split`. Records
    are matched to `data` by the ids that they bring, else by content; those of `holdout` and `test` join it under their
    own split. A folder without a `/` in its name is taken for one only where there is no `data`.

    Args:
        data: What the model was trained on: a file or folder, a registered data set's name, `{name: ..., option: ...}`,
            `owner/name` on the hub, or a Dataset. None when `forget` and `retain` hold everything; each set may then
            be `{name: ..., option: ...}` too.
        forget: What must go.
        retain: What must stay; None is the rest of what was trained on.
        holdout: Drawn like the forget set, never trained on; None is the split of that name, if any.
        test: Never trained on; None is the split of that name, if any.
        target: A name, concept or task, for methods that need no records.
        reason: Why, in words that may be published.
        columns: New names for the fields of every file and folder named here, `{name here: name there}`.

    Raises:
        RequestError: On resolving: neither data nor target, nothing or everything to forget, unknown or duplicate ids,
            overlapping sets, sets of different columns. The message names them.
        DataError: A file that cannot be read.
    """

    data: Data | None = None
    forget: Which | None = None
    retain: Which | None = None
    holdout: Which | None = None
    test: Which | None = None
    target: str | None = None
    reason: str = ""
    columns: Mapping[str, str] | None = None

    def resolve(self) -> Resolved:
        """Return the request with every set as a list of ids over one data set."""
        if self.forget is None:
            if self.target is None:
                raise RequestError(
                    "the request names neither records to forget nor a target", hint="give `forget=` or `target=`"
                )
            if self.data is None and (named := [s for s in SETS if getattr(self, s) is not None]):
                raise RequestError(f"a target without data cannot have a {named[0]} set", hint="give `data`")
            dataset, ids = self._sets() if self.data is not None else (Dataset("target", [], {}), {})
            ids = {s: dataset.split(s) for s in ("holdout", "test")} | ids
            ids = {"forget": [], "retain": []} | {name: _checked(found, name, dataset) for name, found in ids.items()}
            return Resolved(dataset, _splits(dataset) | ids, self.target, self.reason)
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
        found = {s: _records(which, self.columns, alone=self.data is None) for s, which in given.items()}
        records = {s: part for s, part in found.items() if part is not None}
        if self.data is None:
            missing = [s for s in SETS if s not in records and (s in given or s in ("forget", "retain"))]
            if missing:
                raise RequestError(
                    f"without `data`, {' and '.join(missing)} must be a file, folder or Dataset of records",
                    hint="give `data`, what the model was trained on, or both files",
                )
            records = told_apart(records)
            parts = {s if s in ("holdout", "test") else f"train:{s}": d for s, d in records.items()}
            refuse_mixed(parts)
            refuse_twins(records)
            return joined(parts), {s: d.ids for s, d in records.items()}
        dataset = open_data(self.data, self.columns)
        unseen = {s: d for s, d in records.items() if s in ("holdout", "test")}
        if unseen:
            parts = told_apart({"train": dataset, **unseen})
            dataset = joined(parts)
        ids = {}
        for name, which in given.items():
            if name not in records:
                ids[name] = _select(dataset, which, name)
            else:
                ids[name] = parts[name].ids if name in unseen else matched(dataset, records[name], name)
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

    def validation(self, which: Any = "drawn") -> list[str]:
        """Return trained records outside the request, by which something may be chosen before the audit.

        Args:
            which: Subset, ids or selector; "drawn" draws as many from the retain set as are to be forgotten, whole
                authors, users or documents where the data name them. The same request draws the same records.
        """
        if which != "drawn":
            return self.dataset.select(which)
        retain, wanted = self.ids["retain"], len(self.ids["forget"])
        field = next((f for f in CLUSTER_FIELDS if f in self.dataset.columns), None)
        owners = self.dataset.values(field, retain) if field else retain
        groups: dict[Any, list[str]] = {}
        for record, owner in zip(retain, owners, strict=True):
            groups.setdefault(record if owner is None else owner, []).append(record)
        order = np.random.default_rng(int(self.digest[:16], 16)).permutation(len(groups))
        drawn: list[str] = []
        for members in (list(groups.values())[k] for k in order):
            if len(drawn) >= wanted:
                break
            drawn += members
        return drawn

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


def open_data(data: Data, columns: Mapping[str, str] | None = None) -> Dataset:
    """Return a Dataset from a file, a folder, a registered name, `{name: ..., **options}`, the hub, or itself.

    Args:
        data: What to open.
        columns: New names for the fields of a file, folder or hub data set, `{name here: name there}`.

    Raises:
        DataError: No such file or registered data set, or one that cannot be read.
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
            hint = f"`data: {{name: {name}, ...}}` in a recipe names its options"
            raise DataError(f"data {name!r}: {error}", hint=hint) from None
    if str(data) in names("data"):
        return open_data({"name": str(data)})
    if not Path(data).exists() and "/" not in str(data) and "." not in str(data):
        raise DataError(f"no data set or file is called {str(data)!r}", hint=did_you_mean(str(data), names("data")))
    return data_files.load(data, columns=columns)


def _records(which: Which, columns: Mapping[str, str] | None, *, alone: bool) -> Dataset | None:
    """The records of a set given as a file, folder or Dataset; None for a selector, which needs data to choose from."""
    if isinstance(which, Dataset):
        return which
    if isinstance(which, Mapping) and alone:
        return open_data(which)
    if not isinstance(which, (str, Path)):
        return None
    path, text = Path(which), str(which)
    is_file = data_files.is_records(text) or (bool(path.suffix) and path.is_file())  # loading says what is missing
    is_folder = path.is_dir() and (alone or "/" in text)
    return data_files.load(path, columns=columns) if isinstance(which, Path) or is_file or is_folder else None


def _select(dataset: Dataset, which: Any, role: str) -> list[str]:
    if kind := by_model(dataset, which):
        hint = "give a recipe with an original, or ids of `expunge.auditing.worst_case.by_loss`"
        raise RequestError(f"{role}: only a trained model can say which records are the {kind}", hint=hint)
    if not isinstance(which, (str, Mapping, Sequence)):
        raise RequestError(
            f"{role}: {which!r} names no records",
            hint="a subset, a list of ids, {field: value}, {random: 0.1} or a file",
        )
    try:
        if isinstance(which, Mapping):
            anywhere = role not in ("forget", "retain") or "split" in which
            return chosen(dataset, which, dataset.ids if anywhere else dataset.split("train"))
        return dataset.select(which)
    except DataError as error:
        raise RequestError(f"{role}: {error}", hint=error.hint) from None


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
