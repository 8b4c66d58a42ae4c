"""What a bench compares: requests, the methods tried on each with their settings, and the trivial baselines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict

from expunge.config import build, merged, override, read_yaml
from expunge.errors import ConfigError, DataError, require
from expunge.recipe import Recipe, found, read_recipe, recipe_of, shipped
from expunge.registry import did_you_mean, find

TRIVIAL = ("retrain", "do_nothing", "finetune", "refuse")
"""Always rows: the reference itself, nothing, training on what stays, and a filter in front of the original."""
BLOCKS = ("title", "method", "modifiers", "train", "stop")
"""What a method's entry may set over the recipe."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A method with one group of settings.

    Args:
        label: What its row is called.
        settings: Blocks laid over the recipe: method, modifiers, train, stop.
    """

    label: str
    settings: dict[str, Any]

    @property
    def method(self) -> str:
        """Name of the method."""
        return str(self.settings["method"]["name"])

    @property
    def trivial(self) -> bool:
        """Whether this is a trivial baseline."""
        return self.method in TRIVIAL

    def over(self, recipe: Recipe, *, seed: int, exclude: Any) -> Recipe:
        """Return the recipe of one cell. Raises ConfigError for settings that do not fit it."""
        values = asdict(recipe)
        if self.method != values["method"]["name"]:
            values["method"] = {}
        values = merged(values, {**self.settings, "title": self.label, "seed": seed})
        values["audit"] = {"tier": 0, **recipe.audit, "exclude": exclude}  # attacks cost more than a grid can bear
        return recipe_of(values, Path.cwd(), self.label)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One request of a bench.

    Args:
        name: Of its folder.
        recipe: Original, request, references and the settings that entries are laid over.
        entries: Trivial baselines first.
        left_out: Trivial baseline -> why there is no row for it.
    """

    name: str
    recipe: Recipe
    entries: list[Entry]
    left_out: dict[str, str]

    @property
    def exclude(self) -> Any:
        """The records that enter no score of any row: those that choose some row's stop.

        Raises:
            ConfigError: Two rows choose their stops on different records, so no one audit suits both.
        """
        blocks = [self.recipe.stop, *(e.settings.get("stop") for e in self.entries)]
        chosen = [b["validation"] for b in blocks if b and "validation" in b]
        if any(c != chosen[0] for c in chosen):
            raise ConfigError(
                f"{self.name}: stop.validation differs between methods",
                hint="all rows are scored on the same records: choose one validation set",
            )
        return self.recipe.audit_config().exclude or (chosen[0] if chosen else None)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Methods by seeds, on one request or several.

    Args:
        name: What it is called.
        title: Heading.
        parts: One a request.
        seeds: How many seeds a method is run with, ≥ 1; the first is the recipe's own.
        tuning: How the settings were chosen, in words.
        shadows: Shadow models a request, by which U-LiRA attacks every method; even, ≥ 4, or 0 for none.
    """

    name: str
    title: str
    parts: list[Part]
    seeds: int = 3
    tuning: str = ""
    shadows: int = 0

    def __post_init__(self) -> None:
        right = self.shadows == 0 or (self.shadows >= 4 and self.shadows % 2 == 0)
        require(right, f"bench: shadows must be 0, or even and ≥ 4, got {self.shadows}")
        require(self.seeds >= 1, f"bench: seeds must be ≥ 1, got {self.seeds}")
        for part in self.parts:
            references = part.recipe.retrained.get("seeds", [])
            both = sorted(set(self.seeds_of(part)).intersection(references))
            if both and any(e.method == "retrain" for e in part.entries):
                raise ConfigError(
                    f"{part.name}: seed {both[0]} is that of a run and of a retrained reference: it would count twice",
                    hint="choose other retrained.seeds, or another seed=",
                )

    def seeds_of(self, part: Part) -> list[int]:
        """Return the seeds of a part's runs."""
        return [part.recipe.seed + k for k in range(self.seeds)]


@dataclass(frozen=True, kw_only=True)
class _File:
    """A bench file: see `benches` in the documentation."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    requests: dict[str, dict[str, Any]]
    title: str = ""
    seeds: int = 3
    tuning: str = ""
    shadows: int = 0


def read_bench(
    name: str | Path,
    *,
    methods: str = "",
    seeds: int | None = None,
    shadows: int | None = None,
    overrides: Sequence[str] = (),
) -> Bench:
    """Read a bench.

    A bench file has `requests: {NAME: {recipe: ..., set: {path.to.field: value}, methods: [...]}}`; a method is a name
    or blocks laid over the recipe, which `set` changes for this request. A plain recipe is a bench of one request and
    one method.

    Args:
        name: A bench or recipe file, or the name of one that comes with Expunge.
        methods: Instead of the methods of the file: "npo,npo:beta=0.3:train.lr=1e-4,tuned/npo.yaml". A bare name takes
            the file's settings where it has some.
        seeds: Instead of the file's.
        shadows: Likewise.
        overrides: `path.to.field=value` for the recipes of all requests.

    Raises:
        DataError: A missing or malformed file.
        ConfigError: An unknown method or setting, or one method listed twice with the same settings.
    """
    place = bench_file(name)
    values = read_yaml(place)
    if "requests" in values:
        file: _File = build(_File, values, "")
        require(bool(file.requests), f"{name}: requests is empty")
        parts = [
            _part(key, _request(block, key), place.parent, methods, overrides) for key, block in file.requests.items()
        ]
        title, tuning, count, models = file.title, file.tuning, file.seeds, file.shadows
    else:
        recipe = read_recipe(name, overrides=overrides)
        parts = [_whole(place.stem, recipe, [], methods or recipe.method["name"])]
        title, tuning, count, models = recipe.request.get("reason", ""), "", 3, 0
    stem = place.stem
    count, models = count if seeds is None else seeds, models if shadows is None else shadows
    return Bench(name=stem, title=title or stem, parts=parts, seeds=count, tuning=tuning, shadows=models)


def entry_of(settings: Mapping[str, Any] | str, where: str) -> Entry:
    """Return an entry from a method's name or from blocks. Raises ConfigError for a block that an entry has not."""
    blocks: dict[str, Any] = {"method": settings} if isinstance(settings, str) else dict(settings)
    if isinstance(blocks.get("method"), str):
        blocks["method"] = {"name": blocks["method"]}
    unknown = next((k for k in blocks if k not in BLOCKS), None)
    if unknown is not None:
        hint = did_you_mean(str(unknown), list(BLOCKS))
        raise ConfigError(f"{where}: {unknown} is no part of a method's entry ({', '.join(BLOCKS)})", hint=hint)
    method = blocks.get("method")
    require(
        isinstance(method, Mapping) and "name" in method,
        f"{where}: method.name is missing",
        hint="`expunge ls methods` lists the names",
    )
    find("methods", str(blocks["method"]["name"]))
    title = blocks.pop("title", "") or blocks["method"]["name"]
    return Entry(label=str(title), settings=blocks)


def suites() -> Path:
    """Return the folder of benches that come with Expunge."""
    return Path(__file__).parent / "suites"


def bench_file(name: str | Path) -> Path:
    """Return the file of a bench or recipe. Raises DataError where nothing is called so."""
    shipped_bench = suites() / f"{name}.yaml"
    if shipped_bench.is_file():
        return shipped_bench
    try:
        return found(name)
    except DataError:
        known = sorted(p.stem for folder in (suites(), shipped()) for p in folder.glob("*.yaml"))
        raise DataError(f"no bench or recipe is called {str(name)!r}", hint=did_you_mean(str(name), known)) from None


def _request(block: Any, key: str) -> dict[str, Any]:
    unknown = next((k for k in block if k not in ("recipe", "set", "methods")), None)
    require(unknown is None, f"requests.{key}.{unknown} is not a field of a request (recipe, set, methods)")
    require(isinstance(block.get("recipe"), str), f"requests.{key}.recipe must be a file or the name of a recipe")
    return {"methods": [], "set": {}, **block}


def _part(name: str, block: Mapping[str, Any], folder: Path, methods: str, overrides: Sequence[str]) -> Part:
    beside = folder / block["recipe"]
    own = [f"{path}={json.dumps(value)}" for path, value in block["set"].items()]
    recipe = read_recipe(beside if beside.is_file() else block["recipe"], overrides=[*own, *overrides])
    entries = [entry_of(m, f"requests.{name}.methods") for m in block["methods"]]
    return _whole(name, recipe, entries, methods)


def _whole(name: str, recipe: Recipe, listed: list[Entry], methods: str) -> Part:
    """Choose what is asked for among what is listed, and put the trivial baselines in front."""
    chosen = [entry_from(word, listed) for word in methods.split(",")] if methods else listed
    known = {e.method: e for e in listed if e.trivial}
    left_out = {}
    trivial = []
    for method in TRIVIAL:
        if any(e.method == method for e in chosen):
            continue
        why = _unfit(method, recipe)
        if why:
            left_out[method] = why
        else:
            plain: dict[str, Any] = {"method": {"name": method}, "modifiers": [], "stop": None}
            trivial.append(known.get(method) or Entry(label=method, settings=plain))
    ordered = [*trivial, *sorted(chosen, key=lambda e: not e.trivial)]
    return Part(name=name, recipe=recipe, entries=_told_apart(ordered), left_out=left_out)


def entry_from(word: str, listed: Sequence[Entry] = ()) -> Entry:
    """Return the entry that a word names: NAME, NAME:field=value:..., or a file of blocks.

    Raises:
        ConfigError: An unknown method or block.
    """
    name, *assignments = word.strip().split(":")
    if name.endswith((".yaml", ".yml")):
        entry = entry_of(read_yaml(Path(name)), name)
        settings = entry.settings
        label = entry.label if entry.label != entry.method else f"{entry.method} ({'/'.join(Path(name).parts[-2:])})"
    else:
        settings = next((e.settings for e in listed if e.method == name), {"method": {"name": name}})
        label = name
    for assignment in assignments:
        first = assignment.partition("=")[0].split(".")[0]
        settings = override(settings, assignment if first in BLOCKS else f"method.{assignment}")
    return entry_of({**settings, "title": " ".join([label, *assignments])}, "--methods")


def _unfit(method: str, recipe: Recipe) -> str:
    """Why there can be no row for a trivial baseline, or ""."""
    if method == "retrain" and recipe.train_recipe() is None:
        return "how the original was trained is not known"
    trained = recipe.train_recipe()
    kind = (trained.learner if trained else recipe.learner).get("kind")
    if method == "refuse" and kind == "regressor":
        return "no answer of a regressor is a refusal"
    return ""


def _told_apart(entries: Sequence[Entry]) -> list[Entry]:
    """Put the settings that differ behind the label where one is used twice."""
    apart = []
    for entry in entries:
        twins = [_flat(e.settings) for e in entries if e.label == entry.label]
        own = _flat(entry.settings)
        if len(twins) > 1:
            require(twins.count(own) == 1, f"bench: {entry.label} is listed twice with the same settings")
            shown = {k: v for k, v in own.items() if any(t.get(k) != v for t in twins)}
            words = [f"{k.removeprefix('method.')}={v}" for k, v in shown.items()]
            entry = dataclasses.replace(entry, label=" ".join([entry.label, *words]))
        apart.append(entry)
    return apart


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
