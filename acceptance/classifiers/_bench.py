"""What the records of benches share: a bench run once, its tables, and a line for each row."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from expunge.bench import read_bench, run_bench
from expunge.pages import BenchRow, BenchView, Interval
from expunge.recipe import cache_folder
from expunge.records import Claim, Record

DATA = Path(os.environ.get("EXPUNGE_DATA", "../shared/data"))
ROOT = cache_folder() / "acceptance"
SHOWN = "none: measured"


@cache
def tables(name: str, folder: str = "", shadows: int | None = None) -> dict[str, BenchView]:
    """Return the tables of a bench by request; cells that are whole are not run again."""
    overrides = [f"original.train.data.folder={(DATA / folder).resolve()}"] if folder else []
    bench = read_bench(name, overrides=overrides, shadows=shadows)
    views = run_bench(bench, out(name), workers=2, rerun=f"expunge bench {name}")
    return {part.name: view for part, view in zip(bench.parts, views, strict=True)}


def out(name: str) -> Path:
    """Where the bench lies."""
    return ROOT / name


def record(name: str, views: dict[str, BenchView], *claims: Claim, note: str = "") -> Record:
    """Return the record of a bench: its claims, then every row."""
    rows = [(request, row) for request, view in views.items() for row in view.rows]
    failed = [f"{request}, {row.name}: {row.note}" for request, row in rows if row.state == "failed"]
    first = next(iter(views.values()))
    held = Claim("rows that failed", "none", "; ".join(failed) or "none", not failed)
    tuning = f"{first.tuning} Verdicts are those without attacks (tier 0). {note}"
    return Record.now(
        f"bench_{name}",
        "classifiers",
        [*claims, held, *(Claim(f"{request}, {r.name}: {COLUMNS}", SHOWN, told(r), True) for request, r in rows)],
        n=sum(view.request.counts["forget"] for view in views.values()),
        seeds=first.seeds,
        note=tuning.strip(),
    )


COLUMNS = "e_forget; e_utility; ToW; standard deviations of retraining from it, forget score; cost; verdicts"


def told(row: BenchRow) -> str:
    """Return a row in one line."""
    if row.e_forget is None or row.e_utility is None:
        return f"{row.state}: {row.note}"
    spread = next((s for m, s in row.spreads.items() if m.endswith("(forget, 1 − UA)") or "(forget)" in m), None)
    cost = "" if row.fraction_of_retraining is None else f"{row.fraction_of_retraining:.3f} of retraining"
    parts = [
        figure(row.e_forget, row.e_forget_interval),
        figure(row.e_utility, row.e_utility_interval),
        "—" if row.tug_of_war is None else f"{row.tug_of_war:.3f}",
        "—" if spread is None else f"{spread:+.1f}",
        cost or f"{row.cpu_seconds or 0:.2f} CPU s",
        ", ".join(f"{n} {slug}" for slug, n in row.verdicts.items()),
    ]
    if row.shadowed is not None and row.shadowed.accuracy is not None:
        s = row.shadowed
        parts.append(f"U-LiRA {figure(s.accuracy, s.accuracy_interval)}, {s.shadows} shadow models")
    return "; ".join(parts)


def figure(value: float | None, around: Interval | None) -> str:
    """Return a figure with its interval."""
    return f"{value:.2f}" + (f" [{around.low:.2f}, {around.high:.2f}]" if around else "")
