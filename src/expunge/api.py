"""What Python users call: forget, audit, and a whole recipe at once."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from expunge import pages, report
from expunge.auditing import Audit, AuditConfig, audit_learner
from expunge.card import Card
from expunge.config import TrainConfig, build
from expunge.errors import ConfigError, RunError
from expunge.learners import Learner, load
from expunge.recipe import (
    Job,
    Recipe,
    cache_folder,
    named_idea,
    open_original,
    recipe_of,
    refuse_missing,
    train_missing,
    training_facts,
)
from expunge.request import ForgetRequest, Resolved
from expunge.run_folder import RunFolder
from expunge.train import Method, Modifier, Rehearsal, Run, Stop, copied, rehearse

PACKAGES = ("expunge", "torch", "transformers", "numpy")
Talk = Callable[[str], None]


@dataclass(eq=False)
class Forgotten:
    """A model that was made to forget, and how.

    Args:
        learner: The unlearned model, as served.
        original: The model before; None when it is not at hand.
        request: What was asked.
        method: What was done; None when it is not known.
        modifiers: Applied in order.
        run: The run: log, cost, what was purged; None when it was not made here.
        rehearsal: What chose the stop, if one did.
        rehearsal_seconds: CPU seconds of it.
        seed: Of the run.
        audit: Settings of its audit unless told otherwise: records that chose the stop enter no score.
    """

    learner: Learner
    request: Resolved
    original: Learner | None = None
    method: Method | None = None
    modifiers: list[Modifier] = field(default_factory=list)
    run: Run | None = None
    rehearsal: Rehearsal | None = None
    rehearsal_seconds: float = 0.0
    seed: int = 0
    audit: dict[str, Any] = field(default_factory=dict)

    @property
    def card(self) -> Card | None:
        """The method's card."""
        return self.method.card if self.method else None


def forget(
    original: Learner,
    request: ForgetRequest | Resolved,
    *,
    method: str | Mapping[str, Any] | Method = "npo",
    modifiers: Sequence[str | Mapping[str, Any] | Modifier] = (),
    train: TrainConfig | Mapping[str, Any] | None = None,
    stop: Stop | Mapping[str, Any] | None = None,
    seed: int = 0,
    start: Learner | None = None,
    folder: Path | None = None,
    progress: Callable[[int], None] = lambda step: None,
) -> Forgotten:
    """Return a model that has forgotten; the original is left as it is.

    Args:
        original: A trained model.
        request: What must go and what must stay.
        method: Name, `{name: ..., field: value}`, or a method.
        modifiers: Likewise.
        train: Settings of the loop.
        stop: How to choose the stop by a rehearsal; None runs to the end of `train`.
        seed: Of everything drawn.
        start: What the original was trained from, for `retrain`; None is new random weights.
        folder: Where checkpoints are kept; a run with the same folder goes on from there.
        progress: Told the number of steps done.

    Raises:
        ConfigError: An unknown name, a value out of range, or a method that needs what the request lacks.
        RequestError: A request that contradicts itself or its data.
        LearnerError: Data that the model cannot read.
        DivergedError: The loss exploded.
    """
    resolved = request.resolve() if isinstance(request, ForgetRequest) else request
    chosen = method if isinstance(method, Method) else named_idea("methods", method, "method")
    changers = [m if isinstance(m, Modifier) else named_idea("modifiers", m, "modifiers") for m in modifiers]
    config = train if isinstance(train, TrainConfig) else build(TrainConfig, train, "train")
    refuse_unmet(resolved, [chosen, *changers])
    if asked := [*resolved.ids["forget"], *resolved.ids["retain"]]:
        original.check(resolved.dataset, asked)
    rehearsal, seconds, audited = None, 0.0, {}
    if stop is not None:
        how = stop if isinstance(stop, Stop) else build(Stop, stop, "stop")
        audited = {"exclude": how.validation}
        rehearsal, seconds = _rehearsed(original, resolved, chosen, changers, how, config, seed, folder)
        config = dataclasses.replace(config, stop_at=rehearsal.step)
    run = Run(
        learner=copied(original),
        request=resolved,
        method=chosen,
        modifiers=changers,
        train=config,
        seed=seed,
        folder=folder,
        start=start,
        progress=progress,
    )
    learner = run.execute()
    return Forgotten(learner, resolved, original, chosen, changers, run, rehearsal, seconds, seed, audited)


def refuse_unmet(request: Resolved, ideas: Sequence[Method | Modifier]) -> None:
    """Raise ConfigError, before anything is trained, for an idea that needs what the request lacks."""
    for card in (idea.card for idea in ideas):
        for role in ("forget", "retain", "holdout"):
            if role in card.needs and not request.ids.get(role):
                what = f"{card.name} needs {role} records and the request has none"
                raise ConfigError(what, hint=f"give `{role}`, or choose a method that needs none")
        if "target" in card.needs and not request.target:
            raise ConfigError(f"{card.name} needs a target and the request names none", hint="give `target`")


def audit(
    forgotten: Forgotten | Learner | str | Path,
    *,
    request: ForgetRequest | Resolved | None = None,
    original: Learner | str | Path | None = None,
    retrained: Sequence[Learner | str | Path] = (),
    base: Learner | str | Path | None = None,
    cache: Path | None = None,
    progress: Talk = lambda text: None,
    **settings: Any,
) -> Audit:
    """Audit a model: what it says, read against models retrained without the forgotten records.

    Args:
        forgotten: What `forget` returned, a learner, a run folder or a model folder.
        request: What was asked; known already for what `forget` returned and for a run folder.
        original: The model before, likewise.
        retrained: Learners, run folders or model paths trained without the forget set, one a seed.
        base: What the original was fine-tuned from; stands in where there is no retrained model.
        cache: Folder of stored answers; references are read once for all audits that share it.
        progress: Told what is being read.
        settings: Fields of `AuditConfig`.

    Raises:
        ConfigError: Neither a request nor a run that knows one.
        LearnerError: A reference of another kind, tokenizer or template.
    """
    known = _opened(forgotten, request, original)
    config = build(AuditConfig, {**known.audit, **settings}, "audit")
    references = [m if isinstance(m, Learner) else load(m, type(known.learner)) for m in retrained]
    return audit_learner(
        known.learner,
        known.request,
        original=known.original,
        retrained=references,
        base=load(base, type(known.learner)) if isinstance(base, (str, Path)) else base,
        card=known.card,
        lives_in="weights",
        config=config,
        cache=cache,
        progress=progress,
    )


def run_recipe(
    recipe: Recipe,
    out: Path,
    *,
    workers: int = 1,
    cache: Path | None = None,
    talk: Talk = lambda text: None,
    progress: Callable[[int], None] = lambda step: None,
    rerun: str = "",
) -> Path:
    """Do everything a recipe says, from the original to the report, and return the run folder.

    Interrupted, the same call goes on from the last checkpoint.

    Raises:
        RunError: There is a whole run at `out` already.
        ExpungeError: As `forget` and `audit`.
    """
    cache = cache or cache_folder()
    refuse_missing(recipe)
    folder = RunFolder.begin(out, asdict(recipe))
    request = recipe.resolve()
    refuse_unmet(request, [recipe.built_method(), *recipe.built_modifiers()])
    _note_request(folder, request, talk)
    talk(f"forget {len(request.ids['forget'])} records, keep {len(request.ids['retain'])}")
    original_folder, retrained_folders = models_of(recipe, request, workers=workers, cache=cache, talk=talk)
    original = open_original(recipe, request.dataset, original_folder)
    start = None
    train_recipe = recipe.train_recipe()
    method = recipe.built_method()
    if train_recipe is not None and "recipe" in method.card.needs:
        start = train_recipe.untrained(request.dataset, recipe.seed)
    elif train_recipe is None and "recipe" in method.card.needs:
        raise ConfigError(
            f"{method.card.name} needs to know how the original was trained",
            hint="use `original: {train: ...}` in a recipe",
        )
    talk(f"{method.card.name}: running")
    forgotten = forget(
        original,
        request,
        method=method,
        modifiers=recipe.built_modifiers(),
        train=recipe.config(),
        stop=None if "recipe" in method.card.needs or not _steps(method) else recipe.built_stop(),
        seed=recipe.seed,
        start=start,
        folder=folder.path,
        progress=progress,
    )
    forgotten.learner.save(folder.model)
    facts = facts_of(forgotten, recipe, original_folder, retrained_folders, rerun)
    references: list[Learner] = [load(f, type(original)) for f in retrained_folders]
    found = audit_learner(
        forgotten.learner,
        request,
        original=original,
        retrained=references,
        card=forgotten.card,
        config=recipe.audit_config(),
        cache=cache / "passes",
        own=folder.path / "passes",
        progress=talk,
    )
    folder.write(
        "log.jsonl", "".join(json.dumps(entry) + "\n" for entry in (forgotten.run.log if forgotten.run else []))
    )
    write_report(folder, facts, request, found)
    folder.write("run.json", facts)
    folder.finish()
    return folder.path


def models_of(
    recipe: Recipe, request: Resolved, *, workers: int, cache: Path, talk: Talk = lambda text: None
) -> tuple[Path | None, list[Path]]:
    """Train what is missing; return the original's folder (None when the recipe names one) and the retrained ones."""
    refuse_missing(recipe)
    jobs = jobs_of(recipe, request)
    if jobs:

        def told(done: int, total: int) -> None:
            if total:
                talk(f"training originals and references: {done} of {total} done")

        folders = train_missing(jobs, cache=cache, workers=workers, progress=told)
        original, retrained = folders[0], folders[1:]
    else:
        original, retrained = None, []
    return original, [*retrained, *map(Path, recipe.retrained.get("paths", []))]


def jobs_of(recipe: Recipe, request: Resolved) -> list[Job]:
    """Return what a recipe wants trained: the original first, then one retrained model a seed."""
    train_recipe = recipe.train_recipe()
    if train_recipe is None:
        if recipe.retrained.get("seeds"):
            raise ConfigError(
                "retrained.seeds needs to know how the original was trained",
                hint="use `original: {train: ...}` or `retrained: {paths: [...]}`",
            )
        return []
    gone = tuple(request.ids["forget"])
    return [
        Job(train_recipe, request.dataset, (), train_recipe.seed),
        *(Job(train_recipe, request.dataset, gone, seed) for seed in recipe.retrained.get("seeds", [])),
    ]


def audit_run(
    run: str | Path,
    *,
    retrained: Sequence[str | Path] = (),
    cache: Path | None = None,
    talk: Talk = lambda text: None,
    settings: Mapping[str, Any] | None = None,
) -> Audit:
    """Audit a run folder anew and renew its report.

    Args:
        run: A whole run folder.
        retrained: Model paths; none takes those that the run's recipe names.
        cache: Folder of stored answers.
        talk: Told what is going on.
        settings: Fields of `AuditConfig` over the run's own.
    """
    folder = RunFolder.open(run)
    facts = folder.read("run.json")
    recipe = recipe_of(folder.read("config.json"), folder.path)
    request = recipe.resolve()
    if request.dataset.fingerprint != folder.read("request.json")["data_fingerprint"]:
        raise RunError(
            f"the data of {folder.path} have changed since", hint="audit with the data that the model was trained on"
        )
    store = cache or cache_folder()
    if retrained:
        recipe = dataclasses.replace(recipe, retrained={"paths": list(map(str, retrained))})
    original_folder, references = models_of(recipe, request, workers=1, cache=store, talk=talk)
    learner = model_of(folder, facts)
    config = build(AuditConfig, {**asdict(recipe.audit_config()), **(settings or {})}, "audit")
    found = audit_learner(
        learner,
        request,
        original=open_original(recipe, request.dataset, original_folder),
        retrained=[load(f, type(learner)) for f in references],
        card=recipe.built_method().card,
        config=config,
        cache=store / "passes",
        own=folder.path / "passes",
        progress=talk,
    )
    facts["retrained_seeds"] = _seeds(references)
    write_report(folder, facts, request, found)
    return found


def model_of(folder: RunFolder, facts: Mapping[str, Any]) -> Learner:
    """Return a run's model. Raises RunError when it is not the one that the run made: nothing said of it then holds."""
    learner: Learner = load(folder.model)
    if learner.hash() != facts["model_hash"]:
        raise RunError(
            f"{folder.model} is not the model that {folder.path} made: its hash differs",
            hint="do the run again: " + facts["rerun"],
        )
    return learner


def write_report(folder: RunFolder, facts: Mapping[str, Any], request: Resolved, found: Audit) -> None:
    """Write audit.json, view.json, report.html and the model card into a run folder."""
    lines = (folder.path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    view = report.run_view(facts, request.manifest(), found, [json.loads(line) for line in lines])
    folder.write("audit.json", found.as_dict())
    folder.write("view.json", view.model_dump_json(indent=1))
    folder.write("report.html", pages.render_run(view))
    (folder.model / "README.md").write_text(report.model_card(facts, request.manifest(), found), encoding="utf-8")


def facts_of(
    forgotten: Forgotten, recipe: Recipe, original_folder: Path | None, retrained: Sequence[Path], rerun: str = ""
) -> dict[str, Any]:
    """Return the content of `run.json`."""
    assert forgotten.run is not None
    assert forgotten.method is not None
    costs = [training_facts(f).get("cost", {}).get("cpu_seconds") for f in retrained]
    known = [c for c in costs if c]
    original = forgotten.original
    return {
        "format": "run/1",
        "title": recipe.title or f"{forgotten.method.card.name} on {forgotten.request.dataset.name}",
        "seed": forgotten.seed,
        "versions": versions(),
        "method": {"name": forgotten.method.card.name, "fields": asdict(forgotten.method)},
        "modifiers": [{"name": m.card.name, **asdict(m)} for m in forgotten.modifiers],
        "train": asdict(forgotten.run.train),
        "learner": {
            "kind": forgotten.learner.kind,
            "parameters": sum(p.numel() for p in forgotten.learner.model.parameters()),
        },
        "lives_in": _lives_in(forgotten),
        "model_hash": forgotten.learner.hash(),
        "lineage": [{"role": "original", "name": _origin(recipe), "digest": original.hash() if original else ""}],
        "retrained_seeds": _seeds(retrained),
        "retraining_cpu_seconds": sum(known) / len(known) if known else None,
        "stop": _stop_facts(forgotten),
        "cost": vars(forgotten.run.cost),
        "purged": forgotten.run.purged,
        "rerun": rerun or shlex.join(["expunge", *sys.argv[1:]]),
    }


def versions() -> dict[str, str]:
    """Return the versions that shape a run's figures."""
    return {**{p: version(p) for p in PACKAGES}, "python": sys.version.split()[0]}


def _note_request(folder: RunFolder, request: Resolved, talk: Talk) -> None:
    """Write request.json; an earlier attempt is gone on with only on the data that it began with."""
    if (folder.path / "request.json").is_file():
        begun = folder.read("request.json")["data_fingerprint"]
        if begun != request.dataset.fingerprint:
            talk("the data have changed since this run was begun: it begins anew")
            folder.clear()
    folder.write("request.json", request.manifest())


def _rehearsed(
    original: Learner,
    request: Resolved,
    method: Method,
    modifiers: Sequence[Modifier],
    stop: Stop,
    train: TrainConfig,
    seed: int,
    folder: Path | None,
) -> tuple[Rehearsal, float]:
    """Rehearse, or remember an interrupted run's rehearsal."""
    note = folder / "rehearsal.json" if folder else None
    if note and note.is_file():
        kept = json.loads(note.read_text(encoding="utf-8"))
        return Rehearsal(kept["step"], kept["target"], [tuple(p) for p in kept["curve"]]), kept["cpu_seconds"]
    started = time.process_time()
    rehearsal = rehearse(original, request, method, stop=stop, modifiers=modifiers, train=train, seed=seed)
    seconds = time.process_time() - started
    if note:
        RunFolder(note.parent, note.parent).write(note.name, {**asdict(rehearsal), "cpu_seconds": seconds})
    return rehearsal, seconds


def _opened(
    forgotten: Forgotten | Learner | str | Path,
    request: ForgetRequest | Resolved | None,
    original: Learner | str | Path | None,
) -> Forgotten:
    if isinstance(forgotten, Forgotten):
        return forgotten
    if isinstance(original, (str, Path)):
        original = load(original)
    if isinstance(forgotten, (str, Path)) and (Path(forgotten) / "run.json").is_file():
        folder = RunFolder.open(forgotten)
        recipe = recipe_of(folder.read("config.json"), folder.path)
        resolved = request or recipe.resolve()
        resolved = resolved.resolve() if isinstance(resolved, ForgetRequest) else resolved
        if original is None:
            place, _ = models_of(dataclasses.replace(recipe, retrained={}), resolved, workers=1, cache=cache_folder())
            original = open_original(recipe, resolved.dataset, place)
        known = asdict(recipe.audit_config())
        return Forgotten(
            model_of(folder, folder.read("run.json")), resolved, original, recipe.built_method(), audit=known
        )
    if request is None:
        raise ConfigError("audit: there is no request", hint="give `request=`, or a run folder")
    learner = forgotten if isinstance(forgotten, Learner) else load(forgotten)
    return Forgotten(learner, request.resolve() if isinstance(request, ForgetRequest) else request, original)


def _steps(method: Method) -> bool:
    """Whether a method takes optimiser steps that a stop could cut short."""
    return type(method).loss is not Method.loss


def _stop_facts(forgotten: Forgotten) -> dict[str, Any] | None:
    if forgotten.rehearsal is None:
        return None
    return {**asdict(forgotten.rehearsal), "cpu_seconds": forgotten.rehearsal_seconds}


def _lives_in(forgotten: Forgotten) -> str:
    if forgotten.learner.guards:
        return "output"
    if hasattr(forgotten.learner.model, "peft_config"):
        return "adapter"
    return forgotten.card.lives_in if forgotten.card else "weights"


def _origin(recipe: Recipe) -> str:
    trained = recipe.train_recipe()
    return f"trained here, seed {trained.seed}" if trained else str(recipe.original)


def _seeds(folders: Sequence[Path]) -> list[int]:
    return [training_facts(f).get("seed", number) for number, f in enumerate(folders, 1)]


__all__ = [
    "Forgotten",
    "audit",
    "audit_run",
    "forget",
    "jobs_of",
    "model_of",
    "models_of",
    "run_recipe",
    "versions",
    "write_report",
]
