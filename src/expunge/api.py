"""What Python users call: forget, audit, and a whole recipe at once."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from expunge import copies, lineage, pages, report
from expunge.auditing import Audit, AuditConfig, Glance, audit_learner
from expunge.config import TrainConfig, build
from expunge.errors import ConfigError, ExpungeError, RunError
from expunge.forgotten import Forgotten, facts_of, seeds_of, versions
from expunge.learners import CausalLM, Endpoint, Learner, load
from expunge.model_card import model_card
from expunge.recipe import (
    Job,
    Recipe,
    cache_folder,
    data_of,
    named_idea,
    open_original,
    recipe_of,
    refuse_missing,
    train_missing,
)
from expunge.request import ForgetRequest, Resolved
from expunge.run_folder import RunFolder
from expunge.train import Method, Modifier, Rehearsal, Run, Stop, Watch, copied, rehearse

Talk = Callable[[str], None]


def forget(
    original: Learner,
    request: ForgetRequest | Resolved,
    *,
    method: str | Mapping[str, Any] | Method = "npo",
    modifiers: Sequence[str | Mapping[str, Any] | Modifier] = (),
    train: TrainConfig | Mapping[str, Any] | None = None,
    stop: Stop | Mapping[str, Any] | None = None,
    audit: AuditConfig | Mapping[str, Any] | None = None,
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
        train: Settings of the loop; without `lr` the learner's own starting point.
        stop: How to choose the stop by a rehearsal; None runs to the end of `train`.
        audit: `{every: k}` looks every k steps at what must stay, and stops the run sooner when it keeps less of it
            than the rehearsal did.
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
    given = train if isinstance(train, TrainConfig) else {"lr": original.starting_lr, **(train or {})}
    config = given if isinstance(given, TrainConfig) else build(TrainConfig, given, "train")
    refuse_unmet(resolved, [chosen, *changers])
    if asked := [*resolved.ids["forget"], *resolved.ids["retain"]]:
        original.check(resolved.dataset, asked)
    looks = audit if isinstance(audit, AuditConfig) else build(AuditConfig, audit, "audit")
    glance = Glance(original, resolved, suite=looks.suite, seed=seed) if looks.every else None
    rehearsal, seconds, audited = None, 0.0, {}
    if stop is not None:
        how = stop if isinstance(stop, Stop) else build(Stop, stop, "stop")
        audited = {"exclude": how.validation}
        rehearsal, seconds = _rehearsed(
            original,
            resolved,
            chosen,
            folder=folder,
            stop=how,
            modifiers=changers,
            train=config,
            seed=seed,
            **({"look": glance, "look_every": looks.every} if glance else {}),
        )
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
        watch=_watch(glance, looks.every, rehearsal),
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
        forgotten: What `forget` returned, a learner, a run folder, a model folder, or the address of an endpoint:
            URL#MODEL. It is read like the original: `expunge.learners.Endpoint` has more options.
        request: What was asked; known already for what `forget` returned and for a run folder.
        original: The model before, likewise.
        retrained: Learners, run folders, model paths or endpoints trained without the forget set, one a seed.
        base: What the original was fine-tuned from; stands in where there is no retrained model.
        cache: Folder of stored answers; references are read once for all audits that share it.
        progress: Told what is being read.
        settings: Fields of `AuditConfig`.

    Raises:
        ConfigError: Neither a request nor a run that knows one.
        LearnerError: A reference of another kind, tokenizer or template.
        RunError: A reference whose run had other data, or saw what was to be forgotten.
    """
    known = _opened(forgotten, request, original)
    config = build(AuditConfig, {**known.audit, **settings}, "audit")
    references = [_opened_like(m, known) for m in retrained]
    return audit_learner(
        known.learner,
        known.request,
        original=known.original,
        retrained=references,
        base=None if base is None else _opened_like(base, known),
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
    recipe = recipe.settled()
    line = lineage.ancestors(recipe.original)
    folder = RunFolder.begin(out, asdict(recipe))
    request = lineage.resolve(recipe)
    refuse_unmet(request, [recipe.built_method(), *recipe.built_modifiers()])
    _note_request(folder, request, talk)
    near = copies.near_copies(request)
    talk(f"forget {len(request.ids['forget'])} records, keep {len(request.ids['retain'])}")
    original_folder, retrained_folders = models_of(recipe, request, workers=workers, cache=cache, talk=talk)
    original = open_original(recipe, request.dataset, original_folder)
    start, config, method = None, recipe.train, recipe.built_method()
    if exact := "recipe" in method.card.needs:
        trained = lineage.trained_as(recipe)
        if trained is None:
            raise ConfigError(
                f"{method.card.name} needs to know how the original was trained",
                hint="use `original: {train: ...}` in a recipe",
            )
        start, config = trained.untrained(request.dataset, recipe.seed), asdict(trained.config())
    talk(f"{method.card.name}: running")
    forgotten = forget(
        original,
        request,
        method=method,
        modifiers=recipe.built_modifiers(),
        train=config,
        stop=None if exact or not _steps(method) else recipe.built_stop(),
        audit=None if exact or not _steps(method) else recipe.audit_config(),
        seed=recipe.seed,
        start=start,
        folder=folder.path,
        progress=progress,
    )
    forgotten.learner.save(folder.model)
    source = original_folder or recipe.original
    for place in recipe.retrained.get("paths", []):
        refuse_foreign(place, request)
    references: list[Learner] = [load(f, type(original)) for f in retrained_folders]
    if line and not references:
        talk("no retrained models: those of earlier runs saw what is to be forgotten now, so others must be trained")
    facts = facts_of(forgotten, recipe, retrained_folders, [m.hash() for m in references], rerun) | {
        "near_copies": [asdict(copy) for copy in near],
        "derived": [asdict(d) for d in copies.derived(source, run=folder.path)],
    }
    asked: dict[str, Any] = {"cache": cache / "passes", "own": folder.path / "passes", "progress": talk}
    found = audit_learner(
        forgotten.learner,
        request,
        original=original,
        retrained=references,
        card=forgotten.card,
        config=recipe.audit_config(),
        **asked,
    )
    again = audit_again(forgotten.learner, line, workers=workers, cache=cache, own=folder.path / "passes", talk=talk)
    folder.write(
        "log.jsonl", "".join(json.dumps(entry) + "\n" for entry in (forgotten.run.log if forgotten.run else []))
    )
    write_report(folder, facts, request, found, again)
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
        given = recipe.train_recipe() is None
        original, retrained = (None, folders) if given else (folders[0], folders[1:])
    else:
        original, retrained = None, []
    return original, [*retrained, *map(Path, recipe.retrained.get("paths", []))]


def jobs_of(recipe: Recipe, request: Resolved) -> list[Job]:
    """Return what a recipe wants trained: the original unless it is given, then one retrained model a seed.

    A retrained model has seen neither what is to be forgotten now nor what earlier runs on the same line forgot.
    """
    trained, seeds = lineage.trained_as(recipe), recipe.retrained.get("seeds", [])
    if trained is None:
        if seeds:
            raise ConfigError(
                "retrained.seeds needs to know how the original was trained",
                hint="use `original: {train: ...}` or `retrained: {paths: [...]}`",
            )
        return []
    given = recipe.train_recipe() is None
    dataset = data_of(trained) if given else request.dataset
    gone = lineage.forgotten_so_far(recipe, request, dataset)
    return [
        *([] if given else [Job(trained, dataset, (), trained.seed)]),
        *(Job(trained, dataset, tuple(gone), seed) for seed in seeds),
    ]


def audit_again(
    learner: Learner,
    line: Sequence[lineage.Ancestor],
    *,
    workers: int = 1,
    cache: Path | None = None,
    own: Path | None = None,
    talk: Talk = lambda text: None,
) -> list[lineage.Again]:
    """Audit a model on every request that earlier runs on its line answered, and say what came back."""
    found, cache = [], cache or cache_folder()
    for ancestor in line:
        talk(f"auditing again what {ancestor.facts['title']} forgot")
        now: Audit | ExpungeError
        try:
            place, references = models_of(ancestor.recipe, ancestor.request, workers=workers, cache=cache, talk=talk)
            now = audit_learner(
                learner,
                ancestor.request,
                original=open_original(ancestor.recipe, ancestor.request.dataset, place),
                retrained=[load(f, type(learner)) for f in references],
                card=ancestor.recipe.built_method().card,
                config=ancestor.recipe.audit_config(),
                cache=cache / "passes",
                own=own,
                progress=talk,
            )
        except ExpungeError as error:
            now = error
        found.append(lineage.compared(ancestor, now))
    return found


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
    request = lineage.resolve(recipe)
    if request.dataset.fingerprint != folder.read("request.json")["data_fingerprint"]:
        raise RunError(
            f"the data of {folder.path} have changed since", hint="audit with the data that the model was trained on"
        )
    store = cache or cache_folder()
    if retrained:
        recipe = dataclasses.replace(recipe, retrained={"paths": list(map(str, retrained))})
    original_folder, places = models_of(recipe, request, workers=1, cache=store, talk=talk)
    learner = model_of(folder, facts)
    for place in recipe.retrained.get("paths", []):
        refuse_foreign(place, request)
    references: list[Learner] = [load(f, type(learner)) for f in places]
    config = build(AuditConfig, {**asdict(recipe.audit_config()), **(settings or {})}, "audit")
    asked: dict[str, Any] = {"cache": store / "passes", "own": folder.path / "passes", "progress": talk}
    found = audit_learner(
        learner,
        request,
        original=open_original(recipe, request.dataset, original_folder),
        retrained=references,
        card=recipe.built_method().card,
        config=config,
        **asked,
    )
    facts |= {"retrained_seeds": seeds_of(places), "retrained_digests": [m.hash() for m in references]}
    folder.write("run.json", facts)
    line = lineage.ancestors(recipe.original)
    again = audit_again(learner, line, cache=store, own=folder.path / "passes", talk=talk)
    write_report(folder, facts, request, found, again)
    folder.note_changed("run.json", "audit.json", "view.json", "report.html", "model/README.md", "passes/")
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


def write_report(
    folder: RunFolder,
    facts: Mapping[str, Any],
    request: Resolved,
    found: Audit,
    again: Sequence[lineage.Again] = (),
) -> None:
    """Write audit.json, view.json, report.html and the model card into a run folder."""
    lines = (folder.path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    found = lineage.flagged(found, again)
    view = report.run_view(facts, request.manifest(), found, [json.loads(line) for line in lines], again)
    folder.write("audit.json", {**found.as_dict(), "earlier": [a.as_dict() for a in again]})
    folder.write("view.json", view.model_dump_json(indent=1))
    folder.write("report.html", pages.render_run(view))
    (folder.model / "README.md").write_text(model_card(facts, request.manifest(), found), encoding="utf-8")


def _note_request(folder: RunFolder, request: Resolved, talk: Talk) -> None:
    """Write request.json; an earlier attempt is gone on with only on the data that it began with."""
    if (folder.path / "request.json").is_file():
        begun = folder.read("request.json")["data_fingerprint"]
        if begun != request.dataset.fingerprint:
            talk("the data have changed since this run was begun: it begins anew")
            folder.clear()
    folder.write("request.json", request.manifest())


def _rehearsed(
    original: Learner, request: Resolved, method: Method, *, folder: Path | None, **how: Any
) -> tuple[Rehearsal, float]:
    """Rehearse, or remember an interrupted run's rehearsal."""
    note = folder / "rehearsal.json" if folder else None
    if note and note.is_file():
        kept = json.loads(note.read_text(encoding="utf-8"))
        seconds = kept.pop("cpu_seconds")
        return Rehearsal(**{**kept, "curve": [tuple(p) for p in kept["curve"]]}), seconds
    started = time.process_time()
    rehearsal = rehearse(original, request, method, **how)
    seconds = time.process_time() - started
    if note:
        RunFolder(note.parent, note.parent).write(note.name, {**asdict(rehearsal), "cpu_seconds": seconds})
    return rehearsal, seconds


def _watch(glance: Glance | None, every: int, rehearsal: Rehearsal | None) -> Watch | None:
    """Look at what must stay every so many steps; without a rehearsal there is no rule to stop by."""
    if glance is None:
        return None
    return Watch(every, lambda run: glance(run.learner), lambda shares: bool(rehearsal and rehearsal.breached(shares)))


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
        resolved = request or lineage.resolve(recipe)
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
    learner = forgotten if isinstance(forgotten, Learner) else _opened_model(forgotten, None, original)
    return Forgotten(learner, request.resolve() if isinstance(request, ForgetRequest) else request, original)


def _opened_like(source: Learner | str | Path, known: Forgotten) -> Learner:
    """Return a reference, read as the model under audit is."""
    kind = CausalLM if isinstance(known.learner, Endpoint) else type(known.learner)
    if not isinstance(source, Learner):
        refuse_foreign(source, known.request)
    return source if isinstance(source, Learner) else _opened_model(source, kind, known.original or known.learner)


def refuse_foreign(reference: str | Path, request: Resolved) -> None:
    """Raise RunError for a reference whose run folder says that it had other data, or left out other records."""
    kept = Path(reference) / "request.json"
    if not kept.is_file():
        return
    manifest = RunFolder.open(reference).read("request.json")
    if manifest["data_fingerprint"] != request.dataset.fingerprint:
        what = f"the reference {reference} was trained on other data: their fingerprint differs"
        raise RunError(what, hint="retrain it on the data of the request")
    if gone := set(request.ids["forget"]).difference(manifest["ids"]["forget"]):
        what = f"the reference {reference} was trained with {len(gone)} of the forgotten records"
        raise RunError(what, hint="retrain it without all of them")


def _opened_model(source: str | Path, kind: type[Learner] | None, like: Learner | None) -> Learner:
    """Load a model, or take it for an endpoint where the source is an address."""
    if str(source).startswith(("http://", "https://")):
        local = isinstance(like, CausalLM) and not isinstance(like, Endpoint)
        return Endpoint.at(str(source), like=like if local else None)
    return load(source, kind)


def _steps(method: Method) -> bool:
    """Whether a method takes optimiser steps that a stop could cut short."""
    return type(method).loss is not Method.loss


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
