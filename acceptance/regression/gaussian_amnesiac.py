"""Gaussian-Amnesiac forgets a group: nearer to retraining than fine-tuning, and far from it still."""

from __future__ import annotations

from acceptance.regression._groups import (
    PUBLISHED,
    RECORDS,
    SEEDS,
    TRIVIAL,
    demanded,
    forget,
    landings,
    ordered,
    shown,
)
from expunge.methods.gaussian_amnesiac import GaussianAmnesiac
from expunge.records import Record

NAME = "Gaussian-Amnesiac"
NOTE = (
    "Five epochs of Adam 1e-3 in batches of 64, as fine-tuning beside it. The paper prints, for ages in AgeDB, W1 2.33 "
    "where fine-tuning has 1.62, and AIN .010: there it ends further from retraining than fine-tuning does. With its "
    "one epoch in batches of 256, eight steps here, it has hardly begun. What is taught has the average target as its "
    "median, so that the forgotten end near it."
)


def run() -> Record:
    method = GaussianAmnesiac()
    found = landings(
        TRIVIAL
        | {
            NAME: lambda c: forget(c, method),
            f"{NAME}, one epoch in batches of 256 (published)": lambda c: forget(c, method, PUBLISHED),
        }
    )
    claims = [ordered(found, NAME, "fine-tuning", "original"), *demanded(NAME, found, 2.0), *shown(found)]
    return Record.now("gaussian_amnesiac", "regression", claims, n=RECORDS, seeds=SEEDS, note=NOTE)
