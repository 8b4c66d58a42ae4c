"""`expunge tune`: settings of methods, chosen on records that no audit of the request reads as forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expunge.cli._talk import put, say, table


def tune(
    recipe: Annotated[str, typer.Argument(help="A recipe or bench file, or the name of one that comes with Expunge.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings such as train.epochs=20.")] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="Such as npo or npo:beta=0.3; repeat it, each gets the same budget. Default: the recipe's."),
    ] = None,
    trials: Annotated[int, typer.Option(help="Settings to try, for each method.")] = 20,
    cpu_seconds: Annotated[
        float | None, typer.Option(help="Begin no trial of a method once it has spent this much.")
    ] = None,
    validation: Annotated[
        str, typer.Option(help="Subset of retained records to forget instead. Default: `validation`, else drawn.")
    ] = "",
    space: Annotated[Path | None, typer.Option(help="YAML file of ranges: `method.beta: {low: .., high: ..}`.")] = None,
    seed: Annotated[int, typer.Option(help="Of the sampler, the draw and the runs; report on others.")] = 1000,
    out: Annotated[Path | None, typer.Option(help="Folder for trials and results. Default: tuned/RECIPE.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that train references.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print results and trials as JSON.")] = False,
) -> None:
    """Choose settings on other records than the requested ones; the result is a file for --with, or a tuned bench."""
    import shlex
    import sys
    from dataclasses import asdict

    from expunge import bench
    from expunge.config import read_yaml
    from expunge.errors import require
    from expunge.recipe import read_recipe

    place, words = out or Path("tuned") / Path(recipe).stem, method or []
    budget = bench.Budget(trials=trials, cpu_seconds=cpu_seconds)
    rerun = shlex.join(["expunge", *sys.argv[1:]])
    if "requests" in read_yaml(bench.bench_file(recipe)):
        refused = [o for o, given in (("--space", space), ("--validation", validation), ("--json", as_json)) if given]
        require(not refused, f"tune: {(*refused, '')[0]} is for one recipe, {recipe} is a bench")
        chosen = bench.read_bench(recipe, methods=",".join(words), overrides=overrides or [])
        file = bench.tune_bench(chosen, recipe, place, budget=budget, seed=seed, workers=workers, talk=say, rerun=rerun)
        put(None, as_json=False, text=f"expunge bench {file}")
        return
    made = read_recipe(recipe, overrides=overrides or [])
    entries = [bench.entry_from(word) for word in words] or [bench.entry_of({"method": made.method}, recipe)]
    found = bench.tune(
        made,
        entries,
        place,
        budget=budget,
        space=bench.read_space(space) if space else None,
        validation=validation or None,
        seed=seed,
        workers=workers,
        talk=say,
        rerun=rerun,
    )
    heads = ["method", "trials", "first", "best", "e_forget", "e_utility", "settings", "file"]
    rows = []
    for one in found:
        first, best = one.trials[0].figures, one.best.figures
        assert best is not None
        spelt = ", ".join(f"{k}={v}" for k, v in one.best.settings.items())
        shown = f"{first.value:.3f}" if first else "failed"
        figures = (f"{f:.3f}" for f in (best.value, best.e_forget, best.e_utility))
        rows.append([one.entry.label, str(len(one.trials)), shown, *figures, spelt, str(one.file)])
    plain = [
        {
            "method": t.entry.label,
            "file": str(t.file),
            "settings": t.entry.settings,
            "trials": list(map(asdict, t.trials)),
        }
        for t in found
    ]
    put(plain, as_json=as_json, text=table(rows, heads))
