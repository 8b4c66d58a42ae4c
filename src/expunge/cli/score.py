"""`expunge score`: compute published scores anew from evaluation logs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from expunge.cli._talk import put


def score(
    form: Annotated[str, typer.Argument(help="The log's format: tofu.")],
    log: Annotated[Path, typer.Argument(help="Evaluation log.")],
    reference: Annotated[Path | None, typer.Option(help="Log of a retrained model, for forget quality.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON, unrounded.")] = False,
) -> None:
    """Score an evaluation log, unrounded, under both truth-ratio conventions."""
    from expunge.auditing.tofu_log import score_log
    from expunge.errors import ConfigError

    if form != "tofu":
        raise ConfigError(f"no log format is called {form!r}", hint="allowed: tofu")
    found = score_log(log, reference)
    put(found, as_json=as_json, text="\n".join(_lines(found)))


def _lines(value: Any, path: str = "") -> list[str]:
    if isinstance(value, dict):
        return [line for key, inner in value.items() for line in _lines(inner, f"{path}.{key}" if path else str(key))]
    return [f"{path}: {value!r}"]
