"""Recipes: a whole run as values, and the models that runs start from and are compared with, made once and kept."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict

from expunge.auditing import AuditConfig, worst_case
from expunge.config import TrainConfig, build, merged, override, read_yaml
from expunge.data import Dataset
from expunge.data._kinds import BY_MODEL, by_model, chosen, count, seeded
from expunge.errors import ConfigError, DataError, RequestError, require
from expunge.learners import CausalLM, Learner, load
from expunge.registry import did_you_mean, find
from expunge.request import SETS, ForgetRequest, Resolved, open_data
from expunge.train import Method, Modifier, Run, Stop

MODEL_VERSION = 1
"""Raised whenever the same recipe would train another model."""


@dataclass(frozen=True, kw_only=True)
class TrainRecipe:
    """How a model is made, by the same loop that later forgets.

    Args:
        data: A file, a registered data set's name, or `{name: ..., option: ...}`.
        learner: `{kind: classifier, model: {name: mlp, ...}}`, `{kind: causal_lm, model: {name: llama, ...}, tokenizer:
            {kind: word}}`, or `{kind: ..., from: path or hub id}` to fine-tune.
        train: Settings of the loop, see `TrainConfig`.
        records: Subset, ids or selector of what is trained on.
        seed: Of the weights and of everything drawn.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    data: Any
    learner: dict[str, Any]
    train: dict[str, Any] = field(default_factory=dict)
    records: Any = "train"
    seed: int = 1

    def key(self, dataset: Dataset, ids: Sequence[str], seed: int) -> str:
        """Return a digest of everything that shapes the model: the name under which it is kept."""
        facts = [MODEL_VERSION, self.learner, asdict(self.config()), dataset.fingerprint, list(ids), seed]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:32]

    def config(self) -> TrainConfig:
        """Return the loop's settings."""
        return build(TrainConfig, self.train, "train")

    def untrained(self, dataset: Dataset, seed: int) -> Learner:
        """Return the learner that training starts from: new random weights, or the base model.

        Raises:
            ConfigError: The learner block lacks a kind or a model.
        """
        import torch

        options = dict(self.learner)
        kind = options.pop("kind", None)
        if kind is None:
            raise ConfigError("learner.kind is missing", hint="`expunge ls learners` lists the kinds")
        learner_class = find("learners", kind)
        if "from" in options:
            return load(options.pop("from"), learner_class, **options)
        model = options.pop("model", None)
        if not isinstance(model, Mapping) or "name" not in model:
            hint = "`{name: ...}` with a model of `expunge ls models`, or `from:` a path"
            raise ConfigError("learner.model is missing or has no name", hint=hint)
        architecture = find("models", model["name"])
        spec = {k: v for k, v in model.items() if k != "name"}
        try:
            if kind == "causal_lm" or hasattr(architecture, "tokenizer"):
                from expunge.data import tofu

                texts = tofu.texts(dataset) if kind == "causal_lm" else dataset.column(options.get("input") or "text")
                options["tokenizer"] = architecture.tokenizer(texts, **options.pop("tokenizer", {}))
                spec["vocabulary_size"] = len(options["tokenizer"])
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                network = architecture.build(**spec)
            described = {"name": model["name"], **spec} if kind != "causal_lm" else {}
            return learner_class(network, spec=described, **options)
        except (TypeError, AttributeError) as error:
            hint = f"`expunge show {model['name']}` and `expunge show {kind}` list the options"
            raise ConfigError(f"learner: a {kind} of {model['name']} cannot be built: {error}", hint=hint) from None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A forget request from the original to the report.

    Args:
        original: Path or hub id, or `{train: recipe}` where recipe is a file or a block; trained once and kept.
        request: As `ForgetRequest`; `data` defaults to what the original was trained on.
        method: `{name: npo, beta: 0.1}`.
        modifiers: List of `{name: gu, ...}`, applied in order.
        train: Settings of the loop, see `TrainConfig`.
        stop: `{validation: ..., every: 1}` chooses the stop by a rehearsal, see `Stop`.
        retrained: `{seeds: [11, 12, 13]}` trains references, `{paths: [...]}` names them; empty means none.
        audit: See `AuditConfig`.
        learner: Options for loading an original that is not trained here.
        title: What readers call this run.
        seed: Of the run.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    original: Any
    request: dict[str, Any]
    method: dict[str, Any]
    modifiers: list[dict[str, Any]] = field(default_factory=list)
    train: dict[str, Any] = field(default_factory=dict)
    stop: dict[str, Any] | None = None
    retrained: dict[str, Any] = field(default_factory=dict)
    audit: dict[str, Any] = field(default_factory=dict)
    learner: dict[str, Any] = field(default_factory=dict)
    title: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = next((k for k in self.retrained if k not in ("seeds", "paths")), None)
        if unknown is not None:
            hint = did_you_mean(unknown, ["seeds", "paths"])
            raise ConfigError(f"retrained.{unknown} is not a field (seeds, paths)", hint=hint)
        for key, of, word in (("seeds", int, "whole numbers"), ("paths", str, "model folders")):
            given = self.retrained.get(key, [])
            right = isinstance(given, (list, tuple)) and all(isinstance(g, of) for g in given)
            require(right, f"retrained.{key} must be a list of {word}, got {given!r}")
            require(len(set(given)) == len(given), f"retrained.{key} names one more than once: {given}")
        self.built_method()
        self.built_modifiers()
        self.config()
        self.audit_config()

    def built_method(self) -> Method:
        """Return the method with its settings. Raises ConfigError for an unknown name or field."""
        return named_idea("methods", self.method, "method")

    def built_modifiers(self) -> list[Modifier]:
        """Return the modifiers with their settings."""
        return [named_idea("modifiers", block, "modifiers") for block in self.modifiers]

    def config(self) -> TrainConfig:
        """Return the loop's settings; an exact method uses the original's own."""
        recipe = self.train_recipe()
        if recipe is not None and "recipe" in self.built_method().card.needs:
            return recipe.config()
        return build(TrainConfig, self.train, "train")

    def audit_config(self) -> AuditConfig:
        """Return the audit's settings; records that choose the stop enter no score."""
        chosen = {} if self.stop is None else {"exclude": self.stop.get("validation", "drawn")}
        return build(AuditConfig, {**chosen, **self.audit}, "audit")

    def built_stop(self) -> Stop | None:
        """Return how the stop is chosen, or None."""
        return None if self.stop is None else build(Stop, self.stop, "stop")

    def train_recipe(self) -> TrainRecipe | None:
        """Return how the original is trained, or None when it is given."""
        if isinstance(self.original, Mapping):
            if set(self.original) != {"train"}:
                raise ConfigError("original is a path, a hub id or `{train: ...}`")
            return build(TrainRecipe, self.original["train"], "original.train")
        return None

    def resolve(self) -> Resolved:
        """Return the request over its data; what only the original can choose is asked of it, see `settled`."""
        recipe, made = self.train_recipe(), self.settled()
        values = {"data": recipe.data if recipe else None, **made.request}
        return build_request(values).resolve()

    def settled(self) -> Recipe:
        """Return the recipe with ids in place of `{hardest: 0.1}` or `{easiest: 130}`, as the original finds them.

        "Hardest" is to show as forgotten: what the original is surest of. `by: search` searches over two levels, from
        `seed`. Other kinds and fields beside it narrow the choice. The original is trained first where it is missing.

        Raises:
            RequestError: A size out of range, an unknown way, or a selector that names nothing.
        """
        which = self.request.get("forget")
        if not isinstance(which, Mapping) or not set(BY_MODEL).intersection(which):
            return self
        recipe = self.train_recipe()
        given = self.request.get("data", recipe.data if recipe else None)
        if given is None:
            raise RequestError("forget: there are no data to choose from", hint="give `data`")
        dataset = open_data(given, self.request.get("columns"))
        if not (kind := by_model(dataset, which)):
            return self
        others = dict(which)
        size, way, seed = others.pop(kind), others.pop("by", "loss"), others.pop("seed", 0)
        if way not in ("loss", "search"):
            raise RequestError(f"forget: {kind} by {way!r}", hint="by: loss, search")
        try:
            pool = chosen(dataset, others, dataset.ids if "split" in others else dataset.split("train"))
            wanted, seed = count(dataset.name, kind, pool, size), seeded(dataset.name, seed)
        except DataError as error:
            raise RequestError(f"forget: {error}", hint=error.hint) from None
        folder = train_missing([Job(recipe, dataset, (), recipe.seed)], cache=cache_folder())[0] if recipe else None
        original = open_original(self, dataset, folder)
        original.check(dataset, pool)
        if way == "search":
            ids = worst_case.hardest(original, dataset, pool, wanted, easiest=kind == "easiest", seed=seed).ids
        else:
            ids = worst_case.by_loss(original, dataset, pool, wanted, highest=kind == "easiest")
        return replace(self, request={**self.request, "forget": ids})


def build_request(values: Mapping[str, Any]) -> ForgetRequest:
    """Return a request from plain values. Raises ConfigError for an unknown key or a value of the wrong type."""
    allowed = list(ForgetRequest.__dataclass_fields__)
    for key in values:
        if key not in allowed:
            what = f"request.{key} is not a field of a request ({', '.join(allowed)})"
            raise ConfigError(what, hint=did_you_mean(key, allowed))
    for key in ("target", "reason"):
        text = values.get(key)
        require(text is None or isinstance(text, str), f"request.{key} must be text, got {text!r}")
    data = values.get("data")
    right = data is None or isinstance(data, (str, Path, Mapping, Dataset))
    require(right, f"request.data must be a file, a name or {{name: ...}}, got {data!r}")
    return ForgetRequest(**values)


def named_idea(kind: str, block: Mapping[str, Any] | str, where: str) -> Any:
    """Build a method or modifier from `{name: ..., field: value}` or its name."""
    values = {"name": block} if isinstance(block, str) else dict(block)
    name = values.pop("name", None)
    if name is None:
        raise ConfigError(f"{where}.name is missing", hint=f"`expunge ls {kind}` lists the names")
    return build(find(kind, str(name)), values, where)


def read_recipe(path: str | Path, *, overrides: Sequence[str] = (), with_file: str | Path | None = None) -> Recipe:
    """Read a recipe: defaults < recipe < `with_file` < overrides.

    Args:
        path: A file, or the name of a recipe that comes with Expunge.
        overrides: `path.to.field=value`, in order.
        with_file: A YAML file laid over the recipe.

    Raises:
        DataError: A missing or malformed file.
        ConfigError: An unknown field or a value out of range.
    """
    file = found(path)
    values = read_yaml(file)
    if with_file is not None:
        values = merged(values, read_yaml(Path(with_file)))
    values = _spelt_out(values, file.parent)
    for assignment in overrides:
        values = override(values, assignment)
    return recipe_of(values, file.parent, str(path))


def recipe_of(values: dict[str, Any], folder: Path, where: str = "recipe") -> Recipe:
    """Build a recipe from values; files it names are looked for beside it."""
    values = _spelt_out(values, folder)
    if isinstance(values.get("method"), str):
        values = {**values, "method": {"name": values["method"]}}
    return _whole(Recipe, _placed(values, folder), where)


def train_recipe_of(values: dict[str, Any], where: str) -> TrainRecipe:
    """Build a training recipe from values."""
    made: TrainRecipe = _whole(TrainRecipe, values, where)
    made.config()
    return made


def _whole(cls: type[Any], values: dict[str, Any], where: str) -> Any:
    try:
        return build(cls, values, "")
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}", hint=error.hint) from None


def _spelt_out(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Put the settings that `original: {train: file}` names in the file's place."""
    original = values.get("original")
    if isinstance(original, Mapping) and isinstance(original.get("train"), str):
        return {**values, "original": {**original, "train": read_yaml(folder / original["train"])}}
    return values


def _placed(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make the paths of data and models absolute, so that the settings hold wherever they are read again."""

    def place(value: Any, *, bare: bool = False) -> Any:
        if isinstance(value, Path):
            value = str(value)
        if isinstance(value, list):
            return [place(v) for v in value]
        if not isinstance(value, str) or not (bare or "/" in value or Path(value).suffix):
            return value
        return next((str(p.absolute()) for p in (folder / value, Path(value)) if p.exists()), value)

    placed = dict(values)
    if isinstance(values.get("request"), Mapping):
        alone = "data" not in values["request"] and isinstance(values.get("original"), str)
        placed["request"] = {
            k: place(v, bare=alone) if k in ("data", *SETS) and not isinstance(v, list) else v
            for k, v in values["request"].items()
        }
    if isinstance(values.get("retrained"), Mapping):
        placed["retrained"] = {k: place(v) if k == "paths" else v for k, v in values["retrained"].items()}
    original = values.get("original")
    if isinstance(original, str):
        placed["original"] = str(Path(original).absolute()) if Path(original).is_dir() else place(original)
    elif isinstance(original, Mapping) and isinstance(original.get("train"), Mapping) and "data" in original["train"]:
        placed["original"] = {"train": {**original["train"], "data": place(original["train"]["data"])}}
    return placed


def refuse_missing(recipe: Recipe) -> None:
    """Raise DataError, before anything is trained, for a model folder that is named and absent."""
    given = [recipe.original] if isinstance(recipe.original, str) else []
    for source in (*given, *recipe.retrained.get("paths", [])):
        if source.startswith((".", "/")) and not Path(source).is_dir():
            near = [p.name for p in Path(source).parent.glob("*") if p.is_dir()]
            raise DataError(f"no model folder at {source}", hint=did_you_mean(Path(source).name, near))


def found(path: str | Path) -> Path:
    """Return a recipe's file: the path itself, or the recipe of that name which comes with Expunge."""
    given = Path(path)
    if given.is_file() or given.suffix or len(given.parts) > 1:
        return given
    folder = shipped()
    if not (folder / f"{path}.yaml").is_file():
        raise DataError(
            f"no recipe is called {str(path)!r}",
            hint=did_you_mean(str(path), sorted(p.stem for p in folder.glob("*.yaml"))),
        )
    return folder / f"{path}.yaml"


def shipped() -> Path:
    """Return the folder of recipes that come with Expunge: in the installed package, else in the repository."""
    here = Path(__file__).parent
    return here / "_recipes" if (here / "_recipes").is_dir() else here.parents[1] / "recipes"


def cache_folder() -> Path:
    """Return where trained models and stored answers are kept: $EXPUNGE_CACHE, else the user's cache."""
    return Path(os.environ.get("EXPUNGE_CACHE") or Path.home() / ".cache" / "expunge")


@dataclass(frozen=True)
class Job:
    """One model to train: a recipe, what to leave out, a seed."""

    recipe: TrainRecipe
    dataset: Dataset
    without: tuple[str, ...] = ()
    seed: int = 1

    @property
    def ids(self) -> list[str]:
        """What is trained on."""
        gone = set(self.without)
        return [i for i in self.dataset.select(self.recipe.records) if i not in gone]

    def folder(self, cache: Path) -> Path:
        """Where the trained model is kept."""
        return cache / "models" / self.recipe.key(self.dataset, self.ids, self.seed)


def train_model(job: Job, folder: Path, *, progress: Callable[[int], None] = lambda step: None) -> Path:
    """Train a model as the job says and save it to a folder, with `training.json` beside."""
    learner = job.recipe.untrained(job.dataset, job.seed)
    learner.check(job.dataset, job.ids)
    request = Resolved(job.dataset, {"forget": [], "retain": job.ids})
    run = Run(
        learner=learner,
        request=request,
        method=find("methods", "finetune")(),
        train=job.recipe.config(),
        seed=job.seed,
        progress=progress,
    )
    import warnings

    from expunge.errors import UntestedLearnerWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UntestedLearnerWarning)
        run.execute()
    learner.save(folder)
    recipe = {**asdict(job.recipe), "data": str(job.recipe.data)}
    facts = {
        "recipe": recipe,
        "seed": job.seed,
        "records": len(job.ids),
        "left_out": len(job.without),
        "cost": vars(run.cost),
    }
    staging = folder / f".training-{os.getpid()}"
    staging.write_text(json.dumps(facts, indent=2, default=str), encoding="utf-8")
    staging.replace(folder / "training.json")
    return folder


def train_missing(
    jobs: Iterable[Job],
    *,
    cache: Path,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Return the folder of every job's model, training those that are not kept yet.

    Args:
        jobs: What to train.
        cache: Where models are kept.
        workers: Processes, one thread each; 1 trains in this one.
        progress: Told how many of the missing models are done.
    """
    wanted = list(jobs)
    folders = [job.folder(cache) for job in wanted]
    missing = {f: j for f, j in zip(folders, wanted, strict=True) if not (f / "training.json").is_file()}
    progress(0, len(missing))
    if workers <= 1 or len(missing) <= 1:
        for done, (folder, job) in enumerate(missing.items(), 1):
            train_model(job, folder)
            progress(done, len(missing))
        return folders
    with ProcessPoolExecutor(
        min(workers, len(missing)), mp_context=multiprocessing.get_context("spawn"), initializer=one_thread
    ) as pool:
        waiting = [pool.submit(train_model, job, folder) for folder, job in missing.items()]
        for done, future in enumerate(as_completed(waiting), 1):
            future.result()
            progress(done, len(missing))
    return folders


def training_facts(folder: Path) -> dict[str, Any]:
    """Return what is known of how a model was trained: `training.json`, or nothing."""
    file = folder / "training.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def open_original(recipe: Recipe, dataset: Dataset, folder: Path | None) -> Learner:
    """Load the original: from the folder it was trained into, or from where the recipe says."""
    options = {k: v for k, v in recipe.learner.items() if k != "kind"}
    kind = recipe.learner.get("kind")
    learner = load(
        folder or str(recipe.original), find("learners", kind) if kind else None, **({} if folder else options)
    )
    if isinstance(learner, CausalLM) and (first := dataset.split("train")[:1]):
        learner.check(dataset, first)
    return learner


def data_of(recipe: TrainRecipe) -> Dataset:
    """Return the data that a model is trained on."""
    return open_data(recipe.data)


def one_thread() -> None:
    """Keep this process to one thread: two processes of two threads on two cores wait for each other."""
    import torch

    torch.set_num_threads(1)
