"""Bad Teacher: an untrained teacher on the forget set, the original on what stays; no labels."""

from __future__ import annotations

from expunge.testing.conformance._common import (
    class_is_forgotten,
    labels_are_not_read,
    method_suite,
    rest_is_kept,
    retain_set_is_read,
)

PAPER = "arXiv:2205.08096"
SUITE = method_suite(
    "Bad Teacher",
    PAPER,
    labels_are_not_read(f"{PAPER}: both terms are divergences from a teacher"),
    retain_set_is_read(PAPER),
    class_is_forgotten(f"{PAPER}, class forgetting"),
    rest_is_kept(f"{PAPER}, class forgetting", points=6),
)
