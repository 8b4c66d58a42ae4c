"""LAF: forgetting without labels."""

from __future__ import annotations

from expunge.testing.conformance._common import labels_are_not_read, method_suite, retain_set_is_read

PAPER = "arXiv:2404.00506"
SUITE = method_suite(
    "Label-agnostic forgetting",
    PAPER,
    labels_are_not_read(f"{PAPER}: the title"),
    retain_set_is_read(f"{PAPER}, the model of what stays"),
)
