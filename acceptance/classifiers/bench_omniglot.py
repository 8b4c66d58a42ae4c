"""The bench of omniglot, tuned alike, five seeds."""

from __future__ import annotations

from acceptance.classifiers._bench import record, tables
from expunge.records import Record


def run() -> Record:
    return record("omniglot", tables("omniglot", folder="omniglot"))
