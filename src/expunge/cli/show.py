"""`expunge show`: all about one idea, read from its own docstring, fields and card."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Annotated, Any

import typer

from expunge.cli._talk import put

KINDS = ["methods", "modifiers", "metrics", "attacks", "learners", "data", "models"]


def show(
    name: Annotated[str, typer.Argument(help="A method, modifier, metric, attack, learner, data set or model.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show an idea: equation, fields with their defaults, card."""
    from expunge.errors import ConfigError
    from expunge.registry import did_you_mean, find, names

    kind = next((k for k in KINDS if name in names(k)), None)
    if kind is None:
        everything = [n for k in KINDS for n in names(k)]
        raise ConfigError(f"nothing is called {name!r}", hint=did_you_mean(name, everything))
    idea = find(kind, name)
    facts: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "doc": inspect.getdoc(idea) or "",
        "fields": _fields(idea),
        "card": _card(idea),
    }
    settings = "\n".join(f"  {f['name']} = {f['default']!r}" for f in facts["fields"]) or "  none"
    card = "\n".join(f"  {k}: {v}" for k, v in facts["card"].items() if v not in ("", None, []))
    put(
        facts,
        as_json=as_json,
        text=f"{name} ({kind})\n\n{facts['doc']}\n\nFields and defaults:\n{settings}\n\nCard:\n{card}",
    )


def _fields(idea: Any) -> list[dict[str, Any]]:
    if not dataclasses.is_dataclass(idea):
        return []
    return [
        {"name": f.name, "default": None if f.default is dataclasses.MISSING else f.default}
        for f in dataclasses.fields(idea)
    ]


def _card(idea: Any) -> dict[str, Any]:
    card = getattr(idea, "card", None)
    if card is None:
        return {}
    return {k: sorted(v) if isinstance(v, (set, frozenset)) else v for k, v in dataclasses.asdict(card).items()}
