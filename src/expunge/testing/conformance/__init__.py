"""Invariants of published unlearning systems, as checks for any implementation: plain torch in, a report out.

from expunge.testing.conformance import check
print(check("scrub", my_scrub))
"""

from expunge.testing.conformance._own import own
from expunge.testing.conformance._suite import (
    Finding,
    Invariant,
    NotApplicable,
    Report,
    Suite,
    check,
    hand,
    invariant,
    suite,
    suites,
)
from expunge.testing.conformance._trial import Done, Trial

__all__ = [
    "Done",
    "Finding",
    "Invariant",
    "NotApplicable",
    "Report",
    "Suite",
    "Trial",
    "check",
    "hand",
    "invariant",
    "own",
    "suite",
    "suites",
]
