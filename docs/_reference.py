"""The reference: everything that can be imported and every command, as the code itself describes them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

import typer
from _gallery import line, signature, signature_and_doc

import expunge
from expunge import pages
from expunge.cli import main
from expunge.cli._app import app
from expunge.pages.__main__ import SCHEMAS, text

PACKAGES = ("expunge.bench", "expunge.integrations", "expunge.testing", "expunge.testing.conformance", "expunge.verify")
"""What is imported by its own name, beside `import expunge`."""


def python_page() -> str:
    """Return what `import expunge` offers, grouped by the module it lives in, then what the packages beside it do."""
    homes: dict[str, list[str]] = {}
    for name in expunge.__all__:
        homes.setdefault(getattr(expunge, name).__module__.split(".")[1], []).append(name)
    page = ["# Python", "", "What `import expunge` offers, by the module that it comes from.", ""]
    for home in sorted(homes):
        page += _group(importlib.import_module(f"expunge.{home}"), "expunge", ((n, expunge) for n in homes[home]))
    page += ["The packages below are imported by their own names.", ""]
    for name in PACKAGES:
        module = importlib.import_module(name)
        page += _group(module, name, ((n, module) for n in module.__all__))
    return "\n".join(page)


def commands_page() -> str:
    """Return every command with its arguments, options and help, as the command line itself prints them."""
    group: Any = typer.main.get_command(app)
    page = ["# Commands", "", group.help, "", "```text", *(inspect.getdoc(main) or "").splitlines(), "```", ""]
    page += [line(("command", "what it does")), line(("---", "---"))]
    page += [line((f"[`{n}`](#expunge-{n})", c.help)) for n, c in group.commands.items()] + [""]
    for name, command in group.commands.items():
        context = command.make_context(f"expunge {name}", [], resilient_parsing=True)
        page += [f"## expunge {name}", "", command.help, "", "```text", command.get_usage(context), "```", ""]
        told = (parameter.get_help_record(context) for parameter in command.params)
        page += [line(("argument or option", "meaning")), line(("---", "---"))]
        page += [*(line((f"`{words}`", meaning)) for words, meaning in told), ""]
    return "\n".join(page)


VIEWS = {
    "run-1.json": (pages.RunView, "`expunge report RUN --json`, `view.json` of a run folder"),
    "compare-1.json": (pages.CompareView, "`expunge compare RUNS --json`"),
    "bench-1.json": (pages.BenchView, "`expunge bench FILE --json`, one a request"),
    "sweep-1.json": (pages.SweepView, "`sweep.json` beside the tables of a bench of several requests"),
}
"""What is printed in which form."""


def schemas() -> dict[str, str]:
    """Return the JSON Schemas that the view models generate, under the addresses at which the site has them."""
    return {f"schema/{name}": text(name) for name in SCHEMAS}


FORMATS = """\
# JSON

What commands print with `--json` is written after a schema; a page's data name it under `view`. A field that is added
keeps the name, anything else makes a new one.
"""
BESIDE = """
`audit.json` and `expunge audit --json` hold the audit's figures as it computed them, with all that `expunge verify`
needs; `run/1` repeats them and is the form to build upon.
"""


def formats_page() -> str:
    """Return what is printed as JSON by which command, its schema, and what every part of it holds."""
    page = [FORMATS, line(("view", "where from", "JSON Schema")), line(("---",) * 3)]
    parts: dict[str, Any] = {}
    for name, (view, where) in VIEWS.items():
        page.append(line((f"`{view.model_fields['view'].default}`", where, f"[{name}](schema/{name})")))
        schema = SCHEMAS[name]()
        parts |= {schema["title"]: schema} | schema["$defs"]
    page.append(BESIDE)
    for name in sorted(parts):
        described = parts[name].get("description", "").strip()
        page += [f"## {name}", "", "```text", described, "", *_fields(parts[name]), "```", ""]
    return "\n".join(page)


def _fields(schema: Mapping[str, Any]) -> list[str]:
    """Return one line a field: its name and its type as JSON has it."""
    return [f"{name}: {_type(field)}" for name, field in schema["properties"].items()]


def _type(field: Mapping[str, Any]) -> str:
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "anyOf" in field:
        return " | ".join(map(_type, field["anyOf"]))
    if "enum" in field or "const" in field:
        return " | ".join(f'"{value}"' for value in field.get("enum", [field.get("const")]))
    if field["type"] == "array" and "items" in field:
        return f"[{_type(field['items'])}, ...]"
    if field["type"] == "object" and isinstance(field.get("additionalProperties"), Mapping):
        return f"{{string: {_type(field['additionalProperties'])}}}"
    return str(field["type"])


def _group(module: ModuleType, of: str, names: Iterable[tuple[str, Any]]) -> list[str]:
    first = (inspect.getdoc(module) or "").splitlines()[0]
    page = [f"## {module.__name__}", "", first, ""]
    for name, home in names:
        thing = getattr(home, name)
        page += [f"### {of}.{name}", "", *(signature_and_doc(thing) if callable(thing) else [f"`{thing!r}`", ""])]
        page += _functions(thing) if isinstance(thing, type) else []
    return page


def _functions(cls: type) -> list[str]:
    """Return the public functions that a class itself brings, with the first line of each one's docstring."""
    rows = []
    for name, value in vars(cls).items():
        inner = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        if name.startswith("_") or not inspect.isfunction(inner) or not inner.__doc__:
            continue
        rows.append(line((f"`{name}{signature(getattr(cls, name))}`", inner.__doc__.strip().splitlines()[0])))
    return [line(("function", "what it does")), line(("---", "---")), *rows, ""] if rows else []
