"""The bench of mnist1d, tuned alike, five seeds."""

from __future__ import annotations

from acceptance.classifiers._bench import record, tables
from expunge.records import Record


def run() -> Record:
    return record("mnist1d", tables("mnist1d", folder="mnist1d"))
