"""`expunge conform`: hold any implementation of a published system against the invariants of its suite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from expunge.cli._talk import put, say, table

OURS = "expunge"


def conform(
    suite: Annotated[str, typer.Argument(help="A suite; without one all are listed.")] = "",
    implementation: Annotated[
        str,
        typer.Argument(help="MODULE:FUNCTION, found from the current folder too, or `expunge` for Expunge's own."),
    ] = "",
    only: Annotated[list[str] | None, typer.Option("--only", help="Invariant to check; repeat it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Check your own implementation of a method, metric or attack; exit 1 where an invariant fails."""
    from expunge.testing import conformance

    if not suite:
        rows = [
            {"name": name, "title": found.title, "invariants": len(found.invariants), "source": found.source}
            for name, found in ((n, conformance.suite(n)) for n in conformance.suites())
        ]
        heads = ("name", "title", "invariants", "source")
        put(rows, as_json=as_json, text=table([[str(row[h]) for h in heads] for row in rows], heads))
        return
    chosen = conformance.suite(suite)
    if not implementation:
        facts = {
            "name": suite,
            "title": chosen.title,
            "form": chosen.form,
            "settings": dict(chosen.settings),
            "invariants": [{"name": i.name, "demand": i.demand, "source": i.source} for i in chosen.invariants],
        }
        lines = [f"{suite}: {chosen.title} [{chosen.source}]", "", f"def {chosen.form}", ""]
        lines += [f"  {name}: {meaning}" for name, meaning in chosen.settings.items()]
        lines += ["", *(f"{i.name}\n  {i.demand} [{i.source}]" for i in chosen.invariants)]
        put(facts, as_json=as_json, text="\n".join(lines))
        return
    found = conformance.own(suite) if implementation == OURS else _named(implementation)
    report = conformance.check(suite, found, only=only or ())
    put(report.as_dict(), as_json=as_json, text=str(report))
    if not report.passed:
        say(f"{suite}: {implementation} does not conform" if report.failed else f"{suite}: nothing could be checked")
        raise typer.Exit(1)


def _named(words: str) -> Callable[..., Any]:
    """Import MODULE:FUNCTION. Raises ConfigError for what cannot be imported or called."""
    import importlib
    import sys

    from expunge.errors import ConfigError
    from expunge.registry import did_you_mean

    module, colon, name = words.partition(":")
    if not (module and colon and name):
        raise ConfigError(f"{words!r} is not of the form MODULE:FUNCTION", hint="e.g. mypackage.unlearning:scrub")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:  # a stranger's module may raise anything
        why = (str(error).strip().splitlines() or [""])[0]
        raise ConfigError(
            f"{module} cannot be imported: {type(error).__name__}: {why}",
            hint="start from the folder that holds it, or install it",
        ) from error
    if not callable(getattr(found, name, None)):
        functions = sorted(n for n, v in vars(found).items() if callable(v) and not n.startswith("_"))
        raise ConfigError(f"{module} has no function {name!r}", hint=did_you_mean(name, functions))
    function: Callable[..., Any] = getattr(found, name)
    return function
