"""From the easiest to the hardest requests, and three sizes: where methods stop being like retraining."""

from __future__ import annotations

from acceptance.classifiers._bench import record, tables
from expunge.records import Record


def run() -> Record:
    return record("digits_sweep", tables("digits_sweep"))
