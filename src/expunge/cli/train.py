"""`expunge train`: train an original or a retrained reference by a recipe, once; the same recipe is found again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from expunge.cli._talk import put, say, steps_on_terminal


def train(
    recipe: Annotated[str, typer.Argument(help="A training recipe, or the name of one that comes with Expunge.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings such as train.epochs=20.")] = None,
    out: Annotated[Path | None, typer.Option(help="Copy the model here. Default: it stays in the cache.")] = None,
    without: Annotated[
        str, typer.Option(help="Leave these records out: a subset's name. Makes a retrained reference.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print facts as JSON.")] = False,
) -> None:
    """Train a model."""
    from expunge.config import override, read_yaml
    from expunge.errors import RunError
    from expunge.recipe import Job, cache_folder, data_of, found, train_model, train_recipe_of, training_facts

    values = read_yaml(found(recipe))
    for change in overrides or []:
        values = override(values, change)
    made = train_recipe_of(values, recipe)
    dataset = data_of(made)
    job = Job(made, dataset, tuple(dataset.select(without)) if without else (), made.seed)
    folder = job.folder(cache_folder())
    if out is not None and out.exists():
        raise RunError(f"{out} exists already", hint="choose another --out, or delete it first")
    if not (folder / "training.json").is_file():
        say(f"training on {len(job.ids)} records")
        train_model(job, folder, progress=steps_on_terminal("train"))
    if out is not None:
        staging = out.absolute().with_name(f".{out.name}.partial")
        shutil.rmtree(staging, ignore_errors=True)
        shutil.copytree(folder, staging)
        staging.rename(out)
    put({"model": str(out or folder), **training_facts(folder)}, as_json=as_json, text=str(out or folder))
