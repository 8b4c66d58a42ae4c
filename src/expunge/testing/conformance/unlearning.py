"""Any method: what must hold whatever the idea."""

from __future__ import annotations

from expunge.testing.conformance._common import method_suite

SUITE = method_suite("What holds of every method", "faults found in public code")
