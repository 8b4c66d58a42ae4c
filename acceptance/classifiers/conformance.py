"""Conformance: Expunge's methods and figures against their suites, every other method against the common one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from expunge.records import Claim, Record
from expunge.registry import find, names
from expunge.testing.conformance import Report, check, own, suite, suites
from expunge.testing.conformance._cases import digits
from expunge.testing.conformance._own import OWN, method

SEEDS = (6, 7, 8)
NEEDED = {"forget", "retain", "labels", "reference", "recipe"}
"""What a request of the suites has; no holdout set and no target."""


def run() -> Record:
    claims = [_held(name, f"{name}: {suite(name).title}", own(name)) for name in suites() if name in OWN]
    without = ", ".join(name for name in suites() if name not in OWN)
    for name in names("methods"):
        card = find("methods", name).card
        if name in OWN or card.lives_in != "weights" or card.aim == "control":
            continue
        if "classifier" in card.learners and card.needs <= NEEDED:
            claims.append(_held("unlearning", f"unlearning: method {name}, its defaults", method(name)))
    note = (
        f"Suites of which Expunge has no implementation: {without}. Not applicable for SCRUB is the check of a teacher "
        "apart, as the teacher's answers are stored and no second model runs. Methods that serve a guard and leave the "
        "weights as they are have no rows: the suites see the weights. That every invariant is broken by a slip "
        "of public code is held by the tests."
    )
    return Record.now("conformance", "classifiers", claims, n=len(digits().forget[0]), seeds=SEEDS, note=note)


def _held(name: str, claim: str, implementation: Callable[..., Any]) -> Claim:
    """Claim that an implementation holds every invariant of a suite, each seed."""
    reports = [check(name, _at(implementation, seed)) for seed in SEEDS]
    return Claim(claim, "every invariant, each seed", "; ".join(map(_told, reports)), all(r.passed for r in reports))


def _told(report: Report) -> str:
    count = {word: sum(f.outcome == word for f in report.findings) for word in ("passed", "not applicable")}
    lacking = f", {count['not applicable']} not applicable" if count["not applicable"] else ""
    failed = "".join(f", {f.name} failed: {f.measured}" for f in report.failed)
    return f"{count['passed']} of {len(report.findings)}{lacking}{failed}"


def _at(implementation: Callable[..., Any], seed: int) -> Callable[..., Any]:
    """Return the implementation at other seeds; figures have none."""

    @functools.wraps(implementation)
    def moved(*arguments: Any, **settings: Any) -> Any:
        shifted = {"seed": settings["seed"] + seed} if "seed" in settings else {}
        return implementation(*arguments, **(settings | shifted))

    return moved
