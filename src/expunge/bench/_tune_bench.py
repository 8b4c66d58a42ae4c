"""Tune every row of a bench with one budget, and write the bench that has what was found."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import yaml

from expunge.bench._space import space_of
from expunge.bench._suite import Bench, Entry, Part, bench_file
from expunge.bench._tune import Budget, Tuned, tune
from expunge.config import read_yaml
from expunge.errors import ConfigError, ExpungeError
from expunge.recipe import cache_folder, one_thread
from expunge.run_folder import RunFolder

UNTUNED = ("retrain", "do_nothing", "refuse")


def tune_bench(
    bench: Bench,
    source: str | Path,
    out: Path,
    *,
    budget: Budget,
    seed: int = 1000,
    workers: int = 1,
    cache: Path | None = None,
    talk: Callable[[str], None] = lambda text: None,
    rerun: str = "",
) -> Path:
    """Return the file of a bench whose rows have the best settings of their trials.

        OUT/NAME.yaml                    the bench; `expunge bench OUT/NAME.yaml` runs it
        OUT/REQUEST/METHOD/              trials and the best settings of one row

    A row keeps the settings that it came with as its first trial. One without a setting to choose, or of which no trial
    succeeded, stays as it came.

    Args:
        bench: As read from `source`.
        source: Its file, or the name of one that comes with Expunge.
        out: Where.
        budget: Of each row.
        seed: Of samplers, validation records and runs.
        workers: Processes, one row each at a time.
        cache: Of trained models and stored answers.
        talk: Told what is going on.
        rerun: The command that makes it again.

    Raises:
        ConfigError: Settings that do not fit.
        RunError: `out` holds trials of other settings.
    """
    out, cache = Path(out).absolute(), cache or cache_folder()
    rows = [(p, e) for p in bench.parts for e in p.entries if e.method not in UNTUNED and _tunable(p, e)]
    talk(f"{len(rows)} rows × {budget.trials} trials, one run and its reading each")
    found: dict[tuple[str, str], Tuned | None] = {}

    def told(part: Part, entry: Entry, made: Tuned | None, error: str) -> None:
        found[part.name, entry.label] = made
        how = f"{made.best.figures.value:.3f}" if made and made.best.figures else f"as it came: {error}"
        talk(f"{len(found)} of {len(rows)}: {part.name}: {entry.label}: {how}")

    if workers <= 1:
        for part, entry in rows:
            told(part, entry, *_tuned(part, entry, out, budget, seed, cache, rerun))
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context, initializer=one_thread) as processes:
            running = {processes.submit(_tuned, p, e, out, budget, seed, cache, rerun): (p, e) for p, e in rows}
            for future in as_completed(running):
                told(*running[future], *future.result())
    values = read_yaml(bench_file(source))
    for part in bench.parts:
        values["requests"][part.name]["methods"] = [
            _settings(made.entry if (made := found.get((part.name, e.label))) else e)
            for e in part.entries
            if e.method not in UNTUNED
        ]
    values["tuning"] = (
        f"`expunge tune`, {budget.trials} trials a method on other records than the requested ones, seed {seed}, the "
        "first with settings found by hand or published; methods without a setting to choose as they come."
    )
    out.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(values, sort_keys=False, width=118, allow_unicode=True, default_flow_style=None)
    RunFolder(out, out).write(f"{bench.name}.yaml", text)
    return out / f"{bench.name}.yaml"


def _tuned(
    part: Part, entry: Entry, out: Path, budget: Budget, seed: int, cache: Path, rerun: str
) -> tuple[Tuned | None, str]:
    folder = out / part.name / "".join(c if c.isalnum() or c in "_.=+" else "-" for c in entry.label)
    try:
        return tune(part.recipe, [entry], folder, budget=budget, seed=seed, cache=cache, rerun=rerun)[0], ""
    except ExpungeError as error:
        return None, str(error)


def _tunable(part: Part, entry: Entry) -> bool:
    try:
        return bool(space_of(entry.over(part.recipe, seed=part.recipe.seed, exclude=None)))
    except ConfigError:
        return False


def _settings(entry: Entry) -> dict[str, Any]:
    titled = {"title": entry.label} if entry.label != entry.method else {}
    return {**titled, **entry.settings}
