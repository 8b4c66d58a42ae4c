"""One file of records, in JSON Lines, JSON, CSV, Parquet or NumPy's .npz."""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from expunge.data._dataset import Dataset
from expunge.errors import DataError, UnsafeFileError
from expunge.registry import did_you_mean

PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib", ".ckpt")
QUESTION_AND_ANSWER = ("question", "answer")
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")


def load(path: str | Path, *, columns: Mapping[str, str] | None = None, name: str | None = None) -> Dataset:
    """Read one file of records.

    The field `id` names the records; without it they are called `<file's stem>/<row>`, counted from 0. Columns of
    numbers become arrays, everything else stays a list. Where there is a question and an answer, neither may be empty.

    Args:
        path: A .jsonl, .json, .csv, .parquet or .npz file.
        columns: New names of fields, `{name in the file: name here}`.
        name: What the data set is called; the file's stem by default.

    Raises:
        DataError: The file is missing, empty or damaged, or a record lacks a field, an answer or the right type.
        UnsafeFileError: Loading the file could run code in it.
    """
    path = Path(path)
    _check_file(path)
    fields, places = _readers()[path.suffix.lower()](path)
    if not places:
        raise DataError(f"{path}: holds no records", hint="a record is one line, row or array entry")
    fields = _renamed(fields, columns or {}, path)
    if path.suffix.lower() == ".csv":
        texts = ("id", *QUESTION_AND_ANSWER)
        fields = {field: values if field in texts else _numbers(values) for field, values in fields.items()}
    numbered = [f"{path.stem}/{row}" for row in range(len(places))]
    ids = _ids(fields.pop("id"), places, path) if "id" in fields else numbered
    for field in QUESTION_AND_ANSWER if set(QUESTION_AND_ANSWER) <= set(fields) else ():
        if (bad := _first_without_text(fields[field])) is not None:
            raise DataError(f"{path}, {places[bad[0]]}: {field} {bad[1]}", hint=f"write the {field} or drop the record")
    return Dataset(name or path.stem, ids, fields)


def require_fields(dataset: Dataset, fields: Sequence[str] = QUESTION_AND_ANSWER) -> None:
    """Check that every record has a text, not an empty one, in each of these fields.

    Raises:
        DataError: A field is absent, or a record's value is empty or no text; the record's id is named.
    """
    for field in fields:
        if (bad := _first_without_text(dataset.column(field))) is not None:
            raise DataError(f"{dataset.name}, record {dataset.ids[bad[0]]!r}: {field} {bad[1]}")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON Lines file, or of one JSON list, whatever the file's ending says.

    Raises:
        DataError: The file is missing, or a line of it is cut off, invalid or no object.
    """
    _check_file(path)
    return [row for row, _ in _read_json(path)]


def _check_file(path: Path) -> None:
    suffix = path.suffix.lower()
    if path.is_dir():
        raise DataError(f"{path}: is a folder, not a file", hint="a folder in TOFU's format is read by data `tofu`")
    if not path.exists():
        raise DataError(f"{path}: no such file", hint=_neighbours(path))
    if suffix in PICKLES:
        raise UnsafeFileError(f"{path}: {suffix} files can run code when loaded", hint="save it as .npz or .jsonl")
    if suffix not in _readers():
        allowed = ", ".join(_readers())
        raise DataError(f"{path}: cannot read {suffix or 'files without an ending'}", hint=f"allowed: {allowed}")


def _neighbours(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"the folder {folder} does not exist"
    names = sorted(entry.name for entry in folder.iterdir())
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(f'`{n}`' for n in near)}?"
    return f"{folder} holds {', '.join(names[:10]) or 'nothing'}"


_Columns = tuple[dict[str, Any], list[str]]


def _readers() -> dict[str, Callable[[Path], _Columns]]:
    return {".jsonl": _json, ".json": _json, ".csv": _csv, ".parquet": _parquet, ".npz": _npz}


def _json(path: Path) -> _Columns:
    found = _read_json(path)
    rows, places = [row for row, _ in found], [place for _, place in found]
    for row, place in found:
        if row.keys() != rows[0].keys():
            absent = sorted(rows[0].keys() - row.keys())
            extra = sorted(row.keys() - rows[0].keys())
            what = f"field {absent[0]!r} is missing" if absent else f"field {extra[0]!r} is not in {places[0]}"
            raise DataError(f"{path}, {place}: {what}", hint="write null where a record has no value")
    fields = list(rows[0]) if rows else []
    return {field: _column([row[field] for row in rows], places, f"{path}", field) for field in fields}, places


def _read_json(path: Path) -> list[tuple[dict[str, Any], str]]:
    """Objects with the place where each stands, for messages."""
    lines = _text(path).split("\n")
    first = next((line for line in lines if line.strip()), "")
    if first.lstrip().startswith("["):
        try:
            listed = json.loads("\n".join(lines))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: not valid JSON ({error})", hint="is the file cut off?") from None
        found = [(row, f"row {number}") for number, row in enumerate(listed)]
    else:
        found = []
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    found.append((json.loads(line), f"line {number}"))
                except (ValueError, RecursionError) as error:
                    hint = "the file seems cut off" if number == len(lines) else "each line must be one JSON object"
                    raise DataError(f"{path}, line {number}: not valid JSON ({error})", hint=hint) from None
    for row, place in found:
        if not isinstance(row, dict):
            raise DataError(f"{path}, {place}: {_kind(row)}, not an object", hint='write {"field": value, ...}')
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start})", hint="save the file as UTF-8") from None


def _csv(path: Path) -> _Columns:
    reader = csv.reader(io.StringIO(_text(path)), strict=True)
    rows, places = [], []
    try:
        header = next(reader, [])
        for row in reader:
            if row:
                rows.append(row)
                places.append(f"line {reader.line_num}")
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}", hint="is a quote not closed?") from None
    if len(set(header)) != len(header):
        twice = next(field for field in header if header.count(field) > 1)
        raise DataError(f"{path}, line 1: field {twice!r} occurs more than once")
    for row, place in zip(rows, places, strict=True):
        if len(row) != len(header):
            what = f"{len(row)} values for {len(header)} fields"
            raise DataError(f"{path}, {place}: {what}", hint="quote values that hold commas")
    return {field: [row[k] for row in rows] for k, field in enumerate(header)}, places


def _numbers(cells: list[str]) -> Any:
    """Cells as an array where every one is written as a number; `007` and empty cells are text."""
    if all(_INTEGER.fullmatch(cell) for cell in cells):
        return np.array([int(cell) for cell in cells], dtype=np.int64)
    if all(_NUMBER.fullmatch(cell) for cell in cells):
        return np.array([float(cell) for cell in cells])
    return cells


def _parquet(path: Path) -> _Columns:
    import pyarrow as arrow
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(path).read()
    except (arrow.ArrowException, OSError) as error:
        why = str(error).splitlines()[0]
        raise DataError(f"{path}: not a Parquet file ({why})", hint="is the file cut off?") from None
    places = [f"row {row}" for row in range(table.num_rows)]
    columns = {}
    for field in table.column_names:
        values = table.column(field)
        numeric = arrow.types.is_integer(values.type) or arrow.types.is_floating(values.type)
        if numeric and not values.null_count:
            columns[field] = values.to_numpy()
        else:
            columns[field] = _column(values.to_pylist(), places, f"{path}", field)
    return columns, places


def _npz(path: Path) -> _Columns:
    try:
        with path.open("rb") as stream, np.lib.npyio.NpzFile(stream, allow_pickle=False) as archive:
            arrays = {field: archive[field] for field in archive.files}
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise DataError(f"{path}: not an .npz archive ({error})", hint="is the file cut off?") from None
    except ValueError:  # numpy's word for an array of objects
        raise UnsafeFileError(f"{path}: holds pickled objects", hint="save plain arrays with numpy.savez") from None
    for field, array in arrays.items():
        if not array.ndim or len(array) != len(next(iter(arrays.values()))):
            shapes = ", ".join(f"{f} {list(a.shape)}" for f, a in arrays.items())
            raise DataError(f"{path}: array {field!r} has not one entry a record", hint=f"shapes: {shapes}")
    records = len(next(iter(arrays.values()), ()))
    columns = {field: array.tolist() if array.dtype.kind in "US" else array for field, array in arrays.items()}
    return columns, [f"row {row}" for row in range(records)]


def _column(values: list[Any], places: list[str], where: str, field: str) -> Any:
    """Values as an array where they are numbers (or lists of equally many); else the list, of one kind."""
    kinds = [_kind(value) for value in values]
    usual = next((kind for kind in kinds if kind != "nothing"), "nothing")
    for kind, place in zip(kinds, places, strict=True):
        if kind not in ("nothing", usual):
            what = f"{field} is {kind}, in other records {usual}"
            raise DataError(f"{where}, {place}: {what}", hint="a field holds one kind of value")
    numeric = usual in ("a number", "true or false") and "nothing" not in kinds
    if usual == "a list" and "nothing" not in kinds:
        entries = {_kind(entry) for value in values for entry in value}
        numeric = entries == {"a number"} and len({len(value) for value in values}) == 1
    return np.array(values) if numeric else values


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, np.generic):
        value = value.item()
    for kinds, word in (((bool,), "true or false"), ((int, float), "a number"), ((str,), "text"), ((list,), "a list")):
        if isinstance(value, kinds):
            return word
    return "an object" if isinstance(value, dict) else f"a {type(value).__name__}"


def _renamed(fields: dict[str, Any], columns: Mapping[str, str], path: Path) -> dict[str, Any]:
    for old in columns:
        if old not in fields:
            raise DataError(f"{path}: has no field {old!r}", hint=did_you_mean(old, sorted(fields)))
    names = [columns.get(field, field) for field in fields]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{path}: two fields would be called {name!r}", hint="give `columns` another name for one")
    return dict(zip(names, fields.values(), strict=True))


def _ids(values: Any, places: list[str], path: Path) -> list[str]:
    for value, place in zip(values, places, strict=True):
        if value is None or not str(value).strip():
            raise DataError(f"{path}, {place}: id is empty", hint="give every record an id, or none")
    return [str(value) for value in values]


def _first_without_text(values: Any) -> tuple[int, str] | None:
    """Row of the first value that is no text or an empty one, and what is wrong with it."""
    for row, value in enumerate(values):
        if not isinstance(value, str):
            return row, f"is {_kind(value)}, not text"
        if not value.strip():
            return row, "is empty"
    return None
