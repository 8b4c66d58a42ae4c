"""`expunge demo`: the main job on real input, from training to the report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from expunge.cli._talk import put, say, table

EXPECTED = "three to four minutes on two cores"


def demo(
    out: Annotated[Path, typer.Option(help="Folder for runs and report; an earlier demo there is replaced.")] = Path("demo"),
    only: Annotated[str, typer.Option(help="Only this recipe.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Make classifiers and a language model forget, audit them against retraining, write one report."""
    import shutil

    from expunge import api, pages
    from expunge.cli._demo import GROUPS, recipes, row
    from expunge.recipe import train_missing
    from expunge.report import compare_view

    started = time.monotonic()
    say(f"Three requests, {sum(len(g.methods) for g in GROUPS)} runs, everything computed here: {EXPECTED}, no download.")
    shutil.rmtree(out, ignore_errors=True)
    cache = out.absolute() / "cache"
    planned = [(g, name, recipe) for g in GROUPS if only in ("", g.recipe) for name, recipe in recipes(g)]
    requests = {g.recipe: recipe.resolve() for g, _, recipe in planned}
    jobs = {j.folder(cache): j for g, _, recipe in planned for j in api.jobs_of(recipe, requests[g.recipe])}

    def told(done: int, total: int) -> None:
        say(f"[{time.monotonic() - started:4.0f} s] originals and retrained references: {done} of {total} trained")

    train_missing(jobs.values(), cache=cache, workers=2, progress=told)
    groups: dict[str, list[tuple[pages.RunView, str]]] = {}
    rows: list[dict[str, Any]] = []
    for number, (group, name, recipe) in enumerate(planned, 1):
        say(f"[{time.monotonic() - started:4.0f} s] run {number} of {len(planned)}: {name} on {group.title}")
        rerun = f"expunge forget {group.recipe} {' '.join(group.overrides(name))}"
        folder = api.run_recipe(recipe, out / group.recipe / name, workers=2, cache=cache, rerun=rerun)
        view = pages.RunView.model_validate_json((folder / "view.json").read_text(encoding="utf-8"))
        groups.setdefault(group.title, []).append((view, f"{group.recipe}/{name}/report.html"))
        rows.append(row(group, name, view))
    view = compare_view("What was forgotten, and how do we know?", groups, rerun="expunge demo")
    (out / "report.html").write_text(pages.render_compare(view), encoding="utf-8")
    heads = list(rows[0])
    say(f"[{time.monotonic() - started:4.0f} s] done; models and stored answers are in {cache}")
    put(rows, as_json=as_json, text=table([[r[h] for h in heads] for r in rows], heads))
    print((out / "report.html").absolute())
