"""`expunge forget`: from an original and a request to a run folder with model, audit and report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from expunge.cli._talk import put, say, steps_on_terminal


def forget(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of one that comes with Expunge.")] = "",
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings such as method.beta=0.2, in order.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder to make. Default: runs/RECIPE-METHOD-SEED.")] = None,
    with_file: Annotated[Path | None, typer.Option("--with", help="YAML file laid over the recipe.")] = None,
    model: Annotated[str, typer.Option(help="Without a recipe: model folder or hub id.")] = "",
    data: Annotated[str, typer.Option(help="What the model was trained on: file or registered name.")] = "",
    forget_set: Annotated[str, typer.Option("--forget", help="File of records, or subset name, that must go.")] = "",
    retain: Annotated[str, typer.Option(help="File of records, or subset name, that must stay.")] = "",
    holdout: Annotated[str, typer.Option(help="Records like the forgotten ones, never trained on.")] = "",
    test: Annotated[str, typer.Option(help="Records never trained on, for utility.")] = "",
    method: Annotated[str, typer.Option(help="Method, see `expunge ls methods`.")] = "",
    retrained: Annotated[
        list[Path] | None, typer.Option(help="Model retrained without the forget set; repeat it.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything drawn.")] = None,
    workers: Annotated[int, typer.Option(help="Processes for originals and references.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print the run as JSON.")] = False,
) -> None:
    """Make a model forget, audit it, and write a run folder."""
    from expunge import api
    from expunge.errors import ConfigError
    from expunge.recipe import read_recipe, recipe_of
    from expunge.run_folder import RunFolder

    changes = list(overrides or [])
    if method:
        changes.insert(0, f"method={method}")
    if seed is not None:
        changes.append(f"seed={seed}")
    if model:
        if recipe:
            changes.insert(0, recipe)
        values = _values(model, data, forget_set, retain, holdout, test, method or "npo", retrained or [])
        made = recipe_of(_changed(values, changes), Path.cwd(), "command line")
    elif recipe:
        made = read_recipe(recipe, overrides=changes, with_file=with_file)
    else:
        raise ConfigError(
            "forget needs a recipe, or --model with --forget and --retain", hint="`expunge ls recipes` lists some"
        )
    name = made.method["name"]
    place = (
        out or Path("runs") / f"{Path(recipe).stem if recipe and not model else Path(model).name}-{name}-{made.seed}"
    )
    folder = api.run_recipe(made, place, workers=workers, talk=say, progress=steps_on_terminal(name))
    found = RunFolder.open(folder)
    verdict = found.read("audit.json")["verdict"]
    say(f"verdict: {verdict['slug']}" + "".join(f"\n  {reason}" for reason in verdict["reasons"]))
    put({"run": str(folder), "verdict": verdict, **found.read("run.json")}, as_json=as_json, text=str(folder))


def _values(
    model: str, data: str, forget_set: str, retain: str, holdout: str, test: str, method: str, retrained: list[Path]
) -> dict[str, Any]:
    sets = {"data": data, "forget": forget_set, "retain": retain, "holdout": holdout, "test": test}
    request = {k: v for k, v in sets.items() if v}
    paths = {"paths": [str(p) for p in retrained]} if retrained else {}
    return {"original": model, "request": request, "method": {"name": method}, "retrained": paths}


def _changed(values: dict[str, Any], changes: list[str]) -> dict[str, Any]:
    from expunge.config import override

    for change in changes:
        values = override(values, change)
    return values
