"""The bench of adult, tuned alike, five seeds."""

from __future__ import annotations

from acceptance.classifiers._bench import record, tables
from expunge.records import Record


def run() -> Record:
    return record("adult", tables("adult", folder="adult"))
