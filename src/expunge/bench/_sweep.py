"""Several requests of one bench side by side, from their tables."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from datetime import UTC, datetime

from expunge import api, pages
from expunge.bench._suite import Bench

LONGEST_NOTE = 300


def sweep_view(bench: Bench, views: Mapping[str, pages.BenchView], *, rerun: str = "") -> pages.SweepView:
    """Return the page of all requests as data; a method that one request lacks has an empty cell there.

    Args:
        bench: What was compared.
        views: Request -> its table, in the order of the bench.
        rerun: The command that makes it again.
    """
    names = list(dict.fromkeys(row.name for v in views.values() for row in v.rows))
    return pages.SweepView(
        title=bench.title,
        created=datetime.now(UTC),
        versions=api.versions(),
        rerun=rerun,
        seeds=next(iter(views.values())).seeds,
        requests=[_request(name, view) for name, view in views.items()],
        rows=[_row(name, views) for name in names],
    )


def _request(name: str, view: pages.BenchView) -> pages.SweepRequest:
    of_set = [m for m in view.metrics if m.role == "forget"]
    metric = next((m for m in of_set if m.id == view.forget_axis), of_set[0] if of_set else None)
    return pages.SweepRequest(
        name=name,
        reason=view.request.reason,
        forget=view.request.counts["forget"],
        axis=metric.label if metric else "",
        original=metric.original if metric else None,
        retrained=statistics.fmean(metric.retrained) if metric and metric.retrained else None,
        noise_floor=metric.noise_floor if metric else None,
        address=f"{name}/bench.html",
    )


def _row(name: str, views: Mapping[str, pages.BenchView]) -> pages.SweepRow:
    rows = {request: next((r for r in v.rows if r.name == name), None) for request, v in views.items()}
    cells = {request: _cell(row) for request, row in rows.items()}
    known = {request: c.distance for request, c in cells.items() if c.distance is not None}
    return pages.SweepRow(
        name=name,
        method=next(row.method for row in rows.values() if row is not None),
        cells=list(cells.values()),
        hardest=max(known, key=known.__getitem__) if known else "",
    )


def _cell(row: pages.BenchRow | None) -> pages.SweepCell:
    if row is None:
        return pages.SweepCell(state="not-run", note="")
    if row.e_forget is None or row.e_utility is None:
        return pages.SweepCell(state=row.state, note=row.note[:LONGEST_NOTE], tug_of_war=row.tug_of_war)
    return pages.SweepCell(
        e_forget=row.e_forget,
        e_utility=row.e_utility,
        distance=statistics.fmean(abs(p.e_forget) + abs(p.e_utility) for p in row.seeds),
        tug_of_war=row.tug_of_war,
    )
