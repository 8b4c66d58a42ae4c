"""Kinds of records that mean the same on any data: random ones, a class, a user's, mislabelled ones, a range."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from expunge.errors import DataError

if TYPE_CHECKING:
    from expunge.data._dataset import Dataset

USER_FIELDS = ("user", "author", "drawer", "document")
"""Fields that say whose a record is, the first that the data have."""
TARGETS = ("label", "target")
"""Fields that a record is mislabelled in, the first that the data have."""
BY_MODEL = ("hardest", "easiest")
"""Kinds that a trained model must be asked for: see `expunge.recipe.Recipe.settled`."""
BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    "above": lambda value, bound: value > bound,
    "from": lambda value, bound: value >= bound,
    "to": lambda value, bound: value <= bound,
    "below": lambda value, bound: value < bound,
}


def chosen(dataset: Dataset, which: Mapping[str, Any], pool: Sequence[str]) -> list[str]:
    """Return the ids of a pool that a mapping of kinds and fields names, in data order; all must match.

    A field of the data stands before a kind of the same name. `random` draws among what the others leave.

    Raises:
        DataError: An unknown field, class or user, a value that no record of the pool has, or a size out of range.
    """
    wanted = dict(which)
    draws = "random" in wanted and "random" not in dataset.columns
    size = wanted.pop("random") if draws else None
    seed = wanted.pop("seed", 0) if draws and "seed" not in dataset.columns else 0
    kept = [set(_matching(dataset, name, value, pool)) for name, value in wanted.items()]
    found = [i for i in pool if all(i in part for part in kept)]
    return drawn(dataset.name, found, size, seed) if draws else found


def by_model(dataset: Dataset, which: Any) -> str:
    """Return the kind in a selector that a trained model must be asked for, or ""."""
    named = which if isinstance(which, Mapping) else {}
    return next((kind for kind in BY_MODEL if kind in named and kind not in dataset.columns), "")


def drawn(name: str, ids: Sequence[str], size: Any, seed: Any) -> list[str]:
    """Return some of the ids at random, in their order. Args: `count` and `seeded`.

    Raises:
        DataError: A size or a seed out of range.
    """
    rows = random.Random(seeded(name, seed)).sample(range(len(ids)), count(name, "random", ids, size))
    return [ids[row] for row in sorted(rows)]  # unlike numpy's generators, the same for all versions


def seeded(name: str, seed: Any) -> int:
    """Return a seed. Raises DataError for anything but a whole number ≥ 0."""
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise DataError(f"{name}: seed must be a whole number ≥ 0, got {seed!r}")
    return seed


def count(name: str, kind: str, ids: Sequence[str], size: Any) -> int:
    """Return how many of the ids a size means: a share in (0, 1), at least one record, or a number of records.

    Raises:
        DataError: The size is neither, or as many as there are.
    """
    share = isinstance(size, float) and 0 < size < 1
    whole = isinstance(size, int) and not isinstance(size, bool) and 1 <= size < len(ids)
    if not (share or whole) or len(ids) < 2:
        allowed = f"a share in (0, 1) or a number from 1 to {len(ids) - 1}" if len(ids) > 1 else "two records at least"
        raise DataError(f"{name}: {kind} must be {allowed}, got {size!r}", hint=f"chosen among {len(ids)} records")
    return max(1, min(round(size * len(ids)), len(ids) - 1)) if share else size


def bounded(name: str, field: str, column: Iterable[Any], bounds: Mapping[str, Any]) -> np.ndarray:
    """Return which values of a column [n] lie within bounds, [n]; one that is missing never does.

    Args:
        name: Of the data, for messages.
        field: Of the column, likewise.
        column: Numbers or texts.
        bounds: `above` and `below` exclude the bound, `from` and `to` include it.

    Raises:
        DataError: An unknown bound, one that the values cannot be compared with, or no value within.
    """
    strange = next((word for word in bounds if word not in BOUNDS), None)
    if strange is not None or not bounds:
        raise DataError(f"{name}: {field}: {strange!r} is no bound", hint=f"bounds: {', '.join(BOUNDS)}")
    values = list(column)
    try:
        inside = [
            v is not None and v == v and all(BOUNDS[word](v, bound) for word, bound in bounds.items()) for v in values
        ]
        known = sorted(v for v in values if v is not None and v == v)
    except (TypeError, ValueError):
        what = f"{name}: {field} cannot be compared with {next(iter(bounds.values()))!r}"
        raise DataError(what, hint="bounds are for numbers and texts") from None
    if not any(inside):
        said = ", ".join(f"{word} {bound!r}" for word, bound in bounds.items())
        hint = f"it goes from {known[0]!r} to {known[-1]!r}" if known else "it holds no values"
        raise DataError(f"{name}: no record has {field} {said}", hint=hint)
    return np.array(inside, dtype=bool)


def _matching(dataset: Dataset, name: str, value: Any, pool: Sequence[str]) -> list[str]:
    if name in dataset.columns or name not in ("class", "user", "mislabelled"):
        return dataset.select({name: value}, among=pool)
    if name == "mislabelled":
        return _mislabelled(dataset, str(value), pool)
    field = _class_field(dataset, value) if name == "class" else _first(dataset, USER_FIELDS, "users")
    return dataset.select({field: value}, among=pool)


def _class_field(dataset: Dataset, value: Any) -> str:
    asked = value if isinstance(value, (list, tuple, set)) else [value]
    if "label_name" in dataset.columns and any(isinstance(v, str) for v in asked):
        return "label_name"
    return _first(dataset, ("label",), "classes")


def _mislabelled(dataset: Dataset, truth: str, pool: Sequence[str]) -> list[str]:
    given = _first(dataset, TARGETS, "labels")
    pairs = zip(pool, dataset.values(given, pool), dataset.values(truth, pool), strict=True)
    found = [i for i, said, true in pairs if true is not None and said != true]
    if not found:
        raise DataError(f"{dataset.name}: no record is mislabelled: {given} equals {truth} everywhere")
    return found


def _first(dataset: Dataset, fields: Sequence[str], what: str) -> str:
    field = next((f for f in fields if f in dataset.columns), None)
    if field is None:
        hint = f"name a field of your own: `{{field: value}}`; fields: {', '.join(sorted(dataset.columns))}"
        raise DataError(f"{dataset.name} names no {what} ({', '.join(fields)})", hint=hint)
    return field
