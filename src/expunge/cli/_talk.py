"""How commands speak: data on stdout, talk on stderr, progress only on a terminal."""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any


def say(text: str) -> None:
    """Print a line of talk."""
    print(text, file=sys.stderr, flush=True)


def put(value: Any, *, as_json: bool, text: str) -> None:
    """Print a result: JSON where asked, else text."""
    print(json.dumps(value, indent=2, default=str) if as_json else text, flush=True)


def table(rows: Sequence[Sequence[str]], heads: Sequence[str]) -> str:
    """Return rows as aligned columns, readable without colour."""
    widths = [max(len(str(row[k])) for row in [heads, *rows]) for k in range(len(heads))]
    lines = [
        "  ".join(str(cell).ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in [heads, *rows]
    ]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])


def steps_on_terminal(label: str) -> Callable[[int], None]:
    """Return a progress callback that overwrites one line on a terminal and is silent elsewhere."""
    if not sys.stderr.isatty():
        return lambda step: None
    last = [0.0]

    def show(step: int) -> None:
        now = time.monotonic()
        if now - last[0] > 0.2:
            last[0] = now
            print(f"\r{label}: step {step}", end="\033[K\r", file=sys.stderr, flush=True)

    return show


def plain_warnings() -> None:
    """Print our own warnings as one line; what libraries warn their own developers of is left out."""

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if category.__module__.startswith("expunge"):
            say(f"warning: {message}")

    warnings.showwarning = show
