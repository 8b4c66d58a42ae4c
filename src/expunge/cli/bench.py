"""`expunge bench`: methods by seeds on one request, one table and one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expunge.cli._talk import put, say, table

if TYPE_CHECKING:
    from expunge.pages import BenchRow, Interval


def bench(
    name: Annotated[str, typer.Argument(help="A bench or recipe file, or the name of one that comes with Expunge.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings of all recipes, such as seed=5.")] = None,
    methods: Annotated[
        str,
        typer.Option(help="Such as npo,npo:beta=0.3:train.lr=1e-4,tuned/npo.yaml. Default: those of the bench."),
    ] = "",
    seeds: Annotated[int | None, typer.Option(help="How many seeds a method is run with. Default: 3.")] = None,
    shadows: Annotated[
        int | None,
        typer.Option(help="Shadow models a request for U-LiRA, even, 4 or more. Default: those of the bench."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for runs, table and page. Default: benches/NAME.")] = None,
    workers: Annotated[int, typer.Option(help="Processes, one thread each.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tables as JSON, a list of one a request.")] = False,
) -> None:
    """Compare methods with each other, with retraining and with trivial baselines; go on where it was interrupted."""
    import shlex
    import sys

    from expunge.bench import read_bench, run_bench

    chosen = read_bench(name, methods=methods, seeds=seeds, shadows=shadows, overrides=overrides or [])
    place = out or Path("benches") / chosen.name
    rerun = shlex.join(["expunge", *sys.argv[1:]])
    views = run_bench(chosen, place, workers=workers, talk=say, rerun=rerun)
    texts = [f"{v.title}\n{table([list(map(str, row(r).values())) for r in v.rows], list(HEADS))}" for v in views]
    put([v.model_dump(mode="json") for v in views], as_json=as_json, text="\n\n".join(texts))
    say(f"tables, pages and runs are in {place}")


HEADS = (
    "method", "seeds", "e_forget", "e_utility", "verdicts", "× retraining", "CPU s", "ms a step", "peak MB", "place",
    "dominated", "beats trivial",
)  # fmt: skip


def row(of: BenchRow) -> dict[str, Any]:
    """Return one line of the terminal's table."""
    if of.state == "failed":
        return dict.fromkeys(HEADS, "—") | {"method": of.name, "seeds": 0, "verdicts": f"failed: {of.note[:60]}"}
    cells = [
        of.name,
        of.n if of.needed is None or of.state != "too-few" else f"{of.n} of {of.needed}",
        _figure(of.e_forget, of.e_forget_interval, of.state),
        _figure(of.e_utility, of.e_utility_interval, of.state),
        ", ".join(f"{count} {slug}" for slug, count in of.verdicts.items()),
        "—" if of.fraction_of_retraining is None else f"{of.fraction_of_retraining:.2f}",
        "—" if of.cpu_seconds is None else f"{of.cpu_seconds:.1f}",
        "—" if of.step_cpu_seconds is None else f"{1e3 * of.step_cpu_seconds:.0f}",
        "—" if of.peak_memory_bytes is None else f"{of.peak_memory_bytes / 2**20:.0f}",
        "—" if of.rank is None else "–".join(map(str, dict.fromkeys(of.rank))),
        "yes" if of.dominated else "no",
        {True: "yes", False: "no", None: "—" if of.method.aim == "control" else "cannot be told"}[of.beats_trivial],
    ]
    return dict(zip(HEADS, cells, strict=True))


def _figure(value: float | None, interval: Interval | None, state: str) -> str:
    return f"{value:.2f} [{interval.low:.2f}, {interval.high:.2f}]" if value is not None and interval else state
