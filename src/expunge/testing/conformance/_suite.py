"""What a suite is, and the report of one implementation held against it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from expunge.errors import ConfigError
from expunge.registry import did_you_mean

CLOSE = 1e-4
"""How near a figure must come to one that was computed by hand, to more digits than this."""
Outcome = Literal["passed", "failed", "not applicable"]
Check = Callable[[Any], tuple[bool, str]]


class NotApplicable(Exception):
    """Raised by a check that asks for what an implementation does not offer; the message says what."""


@dataclass(frozen=True, kw_only=True)
class Invariant:
    """One thing that must hold.

    Args:
        name: Unique in its suite.
        demand: One sentence.
        source: Where the demand comes from.
        check: Takes the suite's trial of an implementation; returns whether it holds, and what was measured.
    """

    name: str
    demand: str
    source: str
    check: Check


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The invariants of one system.

    Args:
        title: One line.
        source: The paper.
        form: How an implementation is called, as code.
        invariants: In the order in which they are checked.
        settings: Settings that checks ask for by name, with their meaning. What an implementation does not take makes
            those checks not applicable.
        trial: Makes of an implementation what the checks are given; by default the implementation itself.
    """

    title: str
    source: str
    form: str
    invariants: tuple[Invariant, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    trial: Callable[[Callable[..., Any]], Any] = lambda implementation: implementation


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found.

    Args:
        name: Of the invariant.
        demand: Of the invariant.
        source: Of the invariant.
        outcome: "passed", "failed", or "not applicable" where the implementation lacks what the check asks for.
        measured: What was found, or why nothing was.
    """

    name: str
    demand: str
    source: str
    outcome: Outcome
    measured: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a suite found of an implementation.

    Args:
        suite: Its name.
        implementation: Its name.
        findings: One an invariant.
    """

    suite: str
    implementation: str
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> list[Finding]:
        """Findings that failed."""
        return [f for f in self.findings if f.outcome == "failed"]

    @property
    def passed(self) -> bool:
        """Whether nothing failed and something passed."""
        return not self.failed and any(f.outcome == "passed" for f in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {**asdict(self), "passed": self.passed}

    def __str__(self) -> str:
        lines = [f"{f.outcome:14}  {f.name}: {f.measured}\n{'':16}{f.demand} [{f.source}]" for f in self.findings]
        held = sum(f.outcome == "passed" for f in self.findings)
        return "\n".join([*lines, f"{self.suite}: {held} of {len(self.findings)} hold, {len(self.failed)} failed"])


def check(name: str | Suite, implementation: Callable[..., Any], *, only: Iterable[str] = ()) -> Report:
    """Hold an implementation against a suite.

    Args:
        name: One of `suites()`, or a suite of your own.
        implementation: A callable of the suite's `form`. What it raises is a failure of the check that called it.
        only: Names of invariants; none means all.

    Raises:
        ConfigError: No such suite or invariant, or the implementation cannot be called.
    """
    chosen = name if isinstance(name, Suite) else suite(name)
    called = chosen.title if isinstance(name, Suite) else name
    if not callable(implementation):
        raise ConfigError(f"{called}: a {type(implementation).__name__} cannot be called", hint=chosen.form)
    known, wanted = [i.name for i in chosen.invariants], list(only)
    for word in wanted:
        if word not in known:
            raise ConfigError(f"{called} has no invariant {word!r}", hint=did_you_mean(word, known))
    trial = chosen.trial(implementation)
    findings = [_finding(i, trial) for i in chosen.invariants if not wanted or i.name in wanted]
    label = getattr(implementation, "__name__", type(implementation).__name__)
    return Report(suite=called, implementation=label, findings=tuple(findings))


def suites() -> list[str]:
    """Return the sorted names of all suites."""
    package = importlib.import_module(__package__)
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def suite(name: str) -> Suite:
    """Return the suite that bears a name. Raises ConfigError for one that does not exist, with the nearest."""
    if name not in suites():
        raise ConfigError(f"no conformance suite is called {name!r}", hint=did_you_mean(name, suites()))
    found: Suite = importlib.import_module(f"{__package__}.{name}").SUITE
    return found


def invariant(demand: str, *, source: str) -> Callable[[Check], Invariant]:
    """Make a check an invariant that bears the function's name."""
    return lambda check: Invariant(name=check.__name__, demand=demand, source=source, check=check)


def hand(name: str, demand: str, *arguments: Any, gives: Any, source: str, within: float = CLOSE) -> Invariant:
    """Return the invariant that a function of numbers gives what was computed by hand."""

    def close(function: Callable[..., Any]) -> tuple[bool, str]:
        found = np.asarray(function(*arguments), dtype=float)
        wanted = np.asarray(gives, dtype=float)
        holds = found.shape == wanted.shape and bool(np.allclose(found, wanted, rtol=0, atol=within))
        return holds, f"{_shown(found)}, by hand {_shown(wanted)}"

    return Invariant(name=name, demand=demand, source=source, check=close)


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a callable takes a keyword."""
    parameters = inspect.signature(function).parameters.values()
    return any(p.name == name or p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


def _finding(one: Invariant, trial: Any) -> Finding:
    outcome: Outcome
    try:
        holds, measured = one.check(trial)
        outcome = "passed" if holds else "failed"
    except NotApplicable as reason:
        outcome, measured = "not applicable", str(reason)
    except Exception as error:  # a stranger's code may raise anything
        outcome, measured = "failed", f"raised {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    return Finding(name=one.name, demand=one.demand, source=one.source, outcome=outcome, measured=measured)


def _shown(values: np.ndarray) -> str:
    if values.size > 6:
        return f"shape {values.shape}"
    return ", ".join(f"{v:.6g}" for v in values.ravel()) or "nothing"
