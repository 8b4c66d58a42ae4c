"""`expunge demo`: the main job on real input, from training to the report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from expunge.cli._talk import plain_warnings, put, say, table

EXPECTED = "two to four minutes"


def demo(
    out: Annotated[Path, typer.Option(help="Folder for runs and report; an earlier demo there is replaced.")] = Path(
        "demo"
    ),
    only: Annotated[str, typer.Option(help="Only this recipe.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
) -> None:
    """Make classifiers and a language model forget, audit them against retraining, write one report."""
    import shlex
    import shutil
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import get_context

    from expunge import api, pages
    from expunge.cli._demo import GROUPS, recipes, row
    from expunge.recipe import train_model
    from expunge.report import compare_view

    started = time.monotonic()
    chosen = [g for g in GROUPS if only in ("", g.recipe)]
    runs = [(g, name, recipe) for g in chosen for name, recipe in recipes(g)]
    say(f"{len(chosen)} request(s), {len(runs)} runs, all computed here on two cores, nothing fetched: {EXPECTED}.")
    shutil.rmtree(out, ignore_errors=True)
    cache = out.absolute() / "cache"
    requests = {g.recipe: recipe.resolve() for g, _, recipe in runs}
    jobs = {j.folder(cache): j for g, _, recipe in runs for j in api.jobs_of(recipe, requests[g.recipe])}
    jobs = dict(sorted(jobs.items(), key=lambda item: item[1].recipe.learner["kind"]))  # the long ones first
    pages_of: dict[tuple[str, str], pages.RunView] = {}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer=_worker) as pool:
        training = [pool.submit(train_model, job, folder) for folder, job in jobs.items()]
        for done, finished in enumerate(as_completed(training), 1):
            finished.result()
            say(f"[{time.monotonic() - started:4.0f} s] originals and references: {done} of {len(jobs)} trained")
        running = {}
        for group, name, recipe in runs:
            rerun = shlex.join(["expunge", "forget", group.recipe, *group.overrides(name)])
            place = out / group.recipe / name
            running[pool.submit(api.run_recipe, recipe, place, cache=cache, rerun=rerun)] = (group, name)
        for done, finished in enumerate(as_completed(running), 1):
            group, name = running[finished]
            text = (finished.result() / "view.json").read_text(encoding="utf-8")
            pages_of[group.recipe, name] = pages.RunView.model_validate_json(text)
            say(f"[{time.monotonic() - started:4.0f} s] run {done} of {len(runs)} done: {name}, {group.title}")
    groups = {g.title: [(pages_of[g.recipe, n], f"{g.recipe}/{n}/report.html") for n in g.methods] for g in chosen}
    view = compare_view("What was forgotten, and how do we know?", groups, rerun="expunge demo")
    report = out.absolute() / "report.html"
    report.write_text(pages.render_compare(view), encoding="utf-8")
    rows = [row(g, name, pages_of[g.recipe, name]) for g, name, _ in runs]
    heads = list(rows[0])
    say(f"[{time.monotonic() - started:4.0f} s] done; runs and models are in {out}")
    put(rows, as_json=as_json, text=table([[r[h] for h in heads] for r in rows], heads))
    print(report)


def _worker() -> None:
    from expunge.recipe import one_thread

    one_thread()
    plain_warnings()
