"""The bench of digits from nothing: its time on two cores, and which methods come within the noise of retraining."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from acceptance.classifiers._bench import out, record, tables
from expunge.pages import BenchRow, BenchView
from expunge.records import Claim, Record

SECONDS, SHARE, LEAST = 900, 0.25, 0.015
FORGET, RETAIN = "accuracy (forget, 1 − UA)", "accuracy (retain, RA)"
ATTACKS = tuple(f"{name} (forget against test)" for name in ("loss_attack", "confidence_attack", "entropy_attack"))
SHADOWS = 16


def run() -> Record:
    seconds = timed()
    os.environ["EXPUNGE_CACHE"] = str(out("digits") / "cache")
    views = tables("digits")
    near = {row.name: gaps(views["class"], row) for row in views["class"].rows if eligible(row)}
    within = {name: g for name, g in near.items() if all(gap <= room for gap, room in g)}
    cells = sum(row.n for view in views.values() for row in view.rows)
    claims = [
        Claim(
            f"wall seconds of `expunge bench digits`, {cells} cells, nothing kept from before",
            f"≤ {SECONDS}, two cores, nothing tuned",
            seconds,
            seconds <= SECONDS,
        ),
        Claim(
            "class: approximate methods within max(two noise floors, 1.5 points) of retrained on forget and retain "
            "accuracy and the AUC of three membership attacks, at a quarter of retraining's time or less",
            "three or more",
            f"{len(within)}: {', '.join(within) or 'none'}",
            len(within) >= 3,
        ),
        *(
            Claim(
                f"class, {name}: gap/room, points, on forget, retain, loss, confidence and entropy attack",
                "none: measured",
                ", ".join(f"{100 * gap:.1f}/{100 * room:.1f}" for gap, room in g),
                True,
            )
            for name, g in near.items()
        ),
    ]
    note = "A gap is that of the mean over seeds to the mean of five retrained models; a noise floor is their spread."
    return record("digits", tables("digits", shadows=SHADOWS), *claims, note=note)


def timed() -> float:
    """Return the wall seconds of the whole bench with an empty cache; measured anew where its folder is gone."""
    kept = out("digits") / "seconds.json"
    if not kept.is_file():
        shutil.rmtree(out("digits"), ignore_errors=True)
        environment = {**os.environ, "EXPUNGE_CACHE": str(out("digits") / "cache")}
        command = [str(Path(sys.executable).with_name("expunge")), "bench", "digits", "--out", str(out("digits"))]
        started = time.monotonic()
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        kept.write_text(json.dumps(time.monotonic() - started), encoding="utf-8")
    return float(json.loads(kept.read_text(encoding="utf-8")))


def eligible(row: BenchRow) -> bool:
    """Whether a row is an approximate method that is cheap enough."""
    approximate = row.method.aim != "control" and row.method.lives_in == "weights" and row.method.guarantee is None
    return approximate and row.state == "ok" and (row.fraction_of_retraining or 0) <= SHARE


def gaps(view: BenchView, row: BenchRow) -> list[tuple[float, float]]:
    """Return gap and room of each figure, shares."""
    found = []
    for name in (FORGET, RETAIN, *ATTACKS):
        metric = next(m for m in view.metrics if m.id == name)
        mean = sum(metric.retrained) / len(metric.retrained)
        value = row.readings[name].unlearned
        gap = abs(value - mean) if value is not None else float("inf")
        found.append((gap, max(2 * (metric.noise_floor or 0.0), LEAST)))
    return found
