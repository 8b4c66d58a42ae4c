"""Random labels: the forget set is taught anew under labels drawn at random."""

from __future__ import annotations

from expunge.testing.conformance._common import class_is_forgotten, method_suite, rest_is_kept, retain_set_is_read

PAPER = "arXiv:1911.04933"
SUITE = method_suite(
    "Random labels",
    PAPER,
    class_is_forgotten(f"{PAPER}; labels permuted within one class are the true ones", at_most=20),
    rest_is_kept(PAPER),
    retain_set_is_read(PAPER),
)
