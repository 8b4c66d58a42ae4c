"""Find an idea by its name: a module of this package, or an entry point of somebody else's.

`find("methods", "npo")` imports `expunge.methods.npo` and returns the one public class in it whose card or `name`
says "npo". Nothing registers itself, and listing names imports nothing.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from expunge.errors import ConfigError

KINDS = ("methods", "modifiers", "metrics", "attacks", "learners", "data", "models")


def names(kind: str) -> list[str]:
    """Return the sorted names of every idea of a kind, ours and plug-ins'."""
    _check_kind(kind)
    return sorted({*_own(kind), *_plugins(kind)})


def find(kind: str, name: str) -> Any:
    """Return the class (or, for data and models, the module) that bears `name`.

    Raises:
        ConfigError: No such kind or name; the nearest names are suggested.
    """
    _check_kind(kind)
    if name in _own(kind):
        return _bearer(importlib.import_module(f"expunge.{kind}.{name}"), kind, name)
    plugin = _plugins(kind).get(name)
    if plugin is not None:
        return plugin.load()
    allowed = names(kind)
    what = (
        f"no {kind[:-1] if kind.endswith('s') else kind} is called {name!r} ({', '.join(allowed) or 'there is none'})"
    )
    raise ConfigError(what, hint=did_you_mean(name, allowed))


def did_you_mean(word: str, allowed: list[str]) -> str:
    """Return a hint that names the nearest allowed words, or all of them when few."""
    near = difflib.get_close_matches(word, allowed, n=2, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(f'`{n}`' for n in near)}?"
    return f"allowed: {', '.join(allowed) or 'none'}"


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ConfigError(f"no kind of idea is called {kind!r}", hint=did_you_mean(kind, list(KINDS)))


def _own(kind: str) -> list[str]:
    """Names of public modules in `expunge.<kind>`; a module that defines no idea starts with an underscore."""
    package = importlib.import_module(f"expunge.{kind}")
    return [m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")]


def _plugins(kind: str) -> dict[str, EntryPoint]:
    return {p.name: p for p in entry_points(group=f"expunge.{kind}")}


def _bearer(module: Any, kind: str, name: str) -> Any:
    if kind in ("data", "models"):
        return module
    for value in vars(module).values():
        if isinstance(value, type) and value.__module__ == module.__name__:
            card = value.__dict__.get("card")
            if getattr(card, "name", value.__dict__.get("name")) == name:
                return value
    raise ConfigError(f"{module.__name__} holds no class that bears the name {name!r}")
