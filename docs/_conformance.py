"""The page of conformance suites, written from the suites themselves."""

from __future__ import annotations

from _gallery import line

from expunge.testing import conformance
from expunge.testing.conformance import Suite

HEAD = """\
# Conformance suites

What every suite calls, and what it demands of it; [how to run one](../guides/conformance.md). The invariants of the
suite [`unlearning`](#unlearning) belong to every method's suite and are listed there alone.
"""


def page() -> str:
    """Return every suite with its form, its settings and its invariants."""
    found = {name: conformance.suite(name) for name in conformance.suites()}
    everywhere = {i.name for i in found["unlearning"].invariants}
    rows = [(f"[`{n}`](#{n})", s.title, s.source, len(s.invariants)) for n, s in found.items()]
    lines = [HEAD, line(("suite", "what", "source", "invariants")), line(("---",) * 4), *map(line, rows), ""]
    for name, suite in found.items():
        lines += _suite(name, suite, set() if name == "unlearning" else everywhere)
    return "\n".join(lines)


def _suite(name: str, suite: Suite, elsewhere: set[str]) -> list[str]:
    rows = [(f"`{i.name}`", i.demand, i.source) for i in suite.invariants if i.name not in elsewhere]
    settings = [line((f"`{word}`", meaning)) for word, meaning in suite.settings.items()]
    table = [line(("setting", "meaning")), line(("---",) * 2), *settings, ""] if settings else []
    return [
        *(f"## {name}", "", f"{suite.title}. {suite.source}", "", "```text", suite.form, "```", ""),
        *table,
        *(line(("invariant", "demand", "where from")), line(("---",) * 3), *map(line, rows), ""),
    ]
