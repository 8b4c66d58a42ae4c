"""Run acceptance files and write their records.

    python -m acceptance [PART | PART/IDEA ...] [--again] [--jobs N]

A file `acceptance/<part>/<idea>.py` has `run() -> Record`. One that has its record already is skipped unless `--again`
is given, so an interrupted run goes on where it stopped. Exit codes: 0 all claims hold, 1 some do not, 2 usage.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path

from acceptance._execute import RECORDS, execute
from expunge import records
from expunge.records import Record

HERE = Path(__file__).resolve().parent


def main(arguments: list[str] | None = None) -> int:
    """Run what was named, or everything."""
    parser = argparse.ArgumentParser(prog="python -m acceptance", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="PART | PART/IDEA", help="what to run; everything when left out")
    parser.add_argument("--again", action="store_true", help="run what has a record too")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once (2)")
    options = parser.parse_args(arguments)
    known = ideas()
    wanted = [i for i in known if not options.names or i in options.names or i.partition("/")[0] in options.names]
    parts = {i.partition("/")[0] for i in known}
    if unknown := [n for n in options.names if n not in known and n not in parts and n not in records.PARTS]:
        print(
            f"error: no part or idea is called {unknown[0]!r}\nhint: parts: {', '.join(sorted(parts))}", file=sys.stderr
        )
        return 2
    todo = [i for i in wanted if options.again or not path_of(i).is_file()]
    say(f"{len(todo)} of {len(wanted)} to run on {options.jobs} processes; the others have records")
    outcomes = [records.read(path_of(i)).passed for i in wanted if i not in todo]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=options.jobs, mp_context=context, max_tasks_per_child=1) as pool:
        running: dict[Future[tuple[Record, float]], str] = {pool.submit(execute, i): i for i in todo}
        for future in as_completed(running):
            outcomes.append(report(running[future], future))
    say(f"{sum(outcomes)} of {len(outcomes)} ideas pass")
    return 0 if all(outcomes) else 1


def ideas() -> list[str]:
    """Return every `part/idea`, in the order of the parts."""
    found = [p.relative_to(HERE).with_suffix("").as_posix() for p in HERE.glob("*/*.py") if not p.name.startswith("_")]
    order = {part: place for place, part in enumerate(records.PARTS)}
    return sorted(found, key=lambda name: (order.get(name.partition("/")[0], len(order)), name))


def path_of(idea: str) -> Path:
    """Where the record of `part/idea` lies."""
    return RECORDS / f"{idea}.json"


def report(idea: str, future: Future[tuple[Record, float]]) -> bool:
    """Say how one file ended, and whether all of its claims hold."""
    try:
        record, seconds = future.result()
    except Exception as error:
        say(f"{idea}: stopped by {type(error).__name__}: {error}")
        say(str(error.__cause__ or ""))
        return False
    held = sum(claim.passed for claim in record.demanded)
    say(f"{idea}: {'pass' if record.passed else 'FAIL'}, {held} of {len(record.demanded)} claims, {seconds:.0f} s CPU")
    for claim in record.demanded:
        if not claim.passed:
            say(f"    {claim.claim}: demanded {claim.demanded}, measured {claim.measured}")
    return record.passed


def say(line: str) -> None:
    """Print a line of talk."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
