"""What starting costs: `import expunge` and `expunge --help`, seconds beyond a bare interpreter."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks._measure import in_fresh_process, paired

PAIRS = 30
DEMANDED = 0.4
COMMANDS = {
    "bare": ("-c", "pass"),
    "import": ("-c", "import expunge"),
    "help": (str(Path(sys.executable).with_name("expunge")), "--help"),
}
LOADED = "import sys, expunge; print([m for m in ('torch', 'numpy') if m in sys.modules])"


def run() -> dict[str, Any]:
    """Start processes in turns and compare medians."""
    started = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for arguments in COMMANDS.values():
        _timed(arguments)  # so that every file is in the page cache
    for _ in range(PAIRS):
        for name, arguments in COMMANDS.items():
            seconds[name].append(_timed(arguments))
    helped = paired(seconds["help"], seconds["bare"])
    loaded = in_fresh_process("-c", LOADED).strip()
    return {
        "question": "seconds of a process: import and --help (first) beside a bare interpreter (second)",
        "demanded": f"--help in {DEMANDED} s; import loads neither torch nor numpy",
        "measured": f"--help {helped['first']['median']:.3f} s; loaded: {loaded}",
        "passed": helped["first"]["median"] <= DEMANDED and loaded == "[]",
        "import_wall_seconds": paired(seconds["import"], seconds["bare"]),
        "help_wall_seconds": helped,
        "cpu_seconds": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - started, 1),
    }


def _timed(arguments: tuple[str, ...]) -> float:
    started = time.perf_counter()
    in_fresh_process(*arguments)
    return time.perf_counter() - started
