"""Run a bench: train what is missing, fill the cells that are not whole yet, write one table for each request."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from expunge import api, pages
from expunge.bench._grid import Cell, Outcome, cells_of, is_whole, run_cells, seconds_of
from expunge.bench._shadows import shadowed
from expunge.bench._suite import Bench, Part
from expunge.bench._sweep import sweep_view
from expunge.bench._table import Done, bench_view, figures
from expunge.errors import RunError
from expunge.recipe import cache_folder, refuse_missing, train_missing
from expunge.report import view_of
from expunge.request import Resolved
from expunge.run_folder import RunFolder

Talk = Callable[[str], None]


def run_bench(
    bench: Bench,
    out: Path,
    *,
    workers: int = 1,
    cache: Path | None = None,
    talk: Talk = lambda text: None,
    rerun: str = "",
) -> list[pages.BenchView]:
    """Run every cell that is not whole yet and return one table a request.

        OUT/bench.json, bench.html, scores.csv    the table as data and as a page; every method, seed and score
        OUT/runs/METHOD-SEED/                     a run folder a cell

    A bench of several requests has these in OUT/REQUEST, and all of them side by side in OUT/sweep.html. Interrupted,
    the same call goes on; a cell that fails becomes a row that says so, and is tried again by the next call. Figures do
    not depend on `workers`.

    Args:
        bench: What to compare.
        out: Where.
        workers: Processes of one thread each.
        cache: Of trained models and stored answers.
        talk: Told what is going on.
        rerun: The command that makes it again.

    Raises:
        ConfigError: Settings that fit no cell, before anything is trained.
        RunError: A cell in `out` is of other settings or data, another bench is at work there, or every cell failed.
    """
    cache = cache or cache_folder()
    out = Path(out).absolute()
    bench = replace(bench, parts=[replace(p, recipe=p.recipe.settled()) for p in bench.parts])
    places = {p.name: out if len(bench.parts) == 1 else out / p.name for p in bench.parts}
    grids = {p.name: cells_of(bench, p, places[p.name], rerun=rerun) for p in bench.parts}
    requests = {p.name: p.recipe.resolve() for p in bench.parts}
    with _alone(out):
        missing = {p.name: [c for c in grids[p.name] if not is_whole(c, requests[p.name])] for p in bench.parts}
        _train(bench.parts, requests, workers=workers, cache=cache, talk=talk)
        outcomes = _fill(bench.parts, grids, missing, workers=workers, cache=cache, talk=talk)
        views = []
        for part in bench.parts:
            done = [_done(c, outcomes.get(c.folder, Outcome()), places[part.name]) for c in grids[part.name]]
            attacked = {}
            if bench.shadows:
                attacked = shadowed(part, count=bench.shadows, workers=workers, cache=cache, talk=talk)
            view = bench_view(bench, part, done, attacked, rerun=rerun)
            _write(places[part.name], view, figures(done))
            views.append(view)
        if len(views) > 1:
            named = {part.name: view for part, view in zip(bench.parts, views, strict=True)}
            sweep = sweep_view(bench, named, rerun=rerun)
            RunFolder(out, out).write("sweep.json", sweep.model_dump_json(indent=1))
            RunFolder(out, out).write("sweep.html", pages.render_sweep(sweep))
    return views


def _train(parts: Sequence[Part], requests: dict[str, Resolved], *, workers: int, cache: Path, talk: Talk) -> None:
    for part in parts:
        refuse_missing(part.recipe)
    jobs = [job for part in parts for job in api.jobs_of(part.recipe, requests[part.name])]

    def told(done: int, total: int) -> None:
        if total:
            talk(f"originals and references: {done} of {total} trained")

    train_missing(jobs, cache=cache, workers=workers, progress=told)


def _fill(
    parts: Sequence[Part],
    grids: dict[str, list[Cell]],
    missing: dict[str, list[Cell]],
    *,
    workers: int,
    cache: Path,
    talk: Talk,
) -> dict[Path, Outcome]:
    """Run what is missing: first one short cell a request, which reads original and references for all others."""
    todo = sum(map(len, missing.values()))
    for part in parts:
        cells = grids[part.name]
        known = [s for c in cells if (s := seconds_of(c.folder)) is not None]
        each = f", {sum(known) / len(known):.0f} CPU seconds each so far" if known else ""
        talk(
            f"{part.name}: {len(cells)} cells ({len(part.entries)} methods × {len(cells) // len(part.entries)} seeds), "
            f"{len(cells) - len(missing[part.name])} whole already{each}"
        )
    outcomes: dict[Path, Outcome] = {}
    warned: set[str] = set()
    started = time.monotonic()
    first = [min(cells, key=lambda c: c.entry.method != "do_nothing") for cells in missing.values() if cells]
    rest = [c for cells in missing.values() for c in cells if c not in first]
    for wave in (first, rest):
        for cell, outcome in run_cells(wave, workers=workers, cache=cache):
            outcomes[cell.folder] = outcome
            for text in outcome.warnings:
                if text not in warned:
                    talk(f"warning: {text}")
                    warned.add(text)
            spent = time.monotonic() - started
            left = spent / len(outcomes) * (todo - len(outcomes))
            how = f"failed: {outcome.error}" if outcome.error else "done"
            talk(f"[{spent:4.0f} s] {len(outcomes)} of {todo} {how}: {cell.name}; about {left:.0f} s left")
    if outcomes:
        total = sum(o.cpu_seconds for o in outcomes.values())
        talk(f"{len(outcomes)} cells took {time.monotonic() - started:.0f} s, {total:.0f} CPU seconds")
    return outcomes


def _done(cell: Cell, outcome: Outcome, out: Path) -> Done:
    if outcome.error:
        return Done(cell=cell, error=outcome.error)
    view = view_of(RunFolder.open(cell.folder))
    return Done(cell=cell, view=view, report=(cell.folder.relative_to(out) / "report.html").as_posix())


def _write(out: Path, view: pages.BenchView, rows: list[dict[str, Any]]) -> None:
    folder = RunFolder(out, out)
    out.mkdir(parents=True, exist_ok=True)
    folder.write("scores.csv", _csv(rows))
    folder.write("bench.json", view.model_dump_json(indent=1))
    folder.write("bench.html", pages.render_bench(view))


def _csv(rows: list[dict[str, Any]]) -> str:
    heads = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, heads, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold a folder's lock; the system lets it go when this process ends in whatever way."""
    out.mkdir(parents=True, exist_ok=True)
    handle = os.open(out / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(f"another bench is at work in {out}", hint="wait for it, or choose another --out") from None
        yield
    finally:
        os.close(handle)
