"""From runs to the bench page as data: one row a method, pooled over seeds, read against retraining."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from expunge import api, pages
from expunge.bench._grid import Cell
from expunge.bench._pooled import Pooled, absolute, dominated, pooled, ranks
from expunge.bench._suite import Bench, Entry, Part
from expunge.card import Card
from expunge.errors import RunError
from expunge.metrics.tug_of_war import ROLES
from expunge.pages.run_view import Metric, Point, Reading, RunView
from expunge.registry import find

SEEDS_NEEDED = 3
RETRAINED_NEEDED = 3
SMALLEST_SPREAD = 1e-9
NOT_SPENT_ON_IT = ("audit", "one retraining")
"""Rows of a run's cost that are no cost of the method."""
NOTE = (
    "Means over seeds; 95 % intervals join, in quadrature, Student's t interval over seeds and the mean half-width of "
    "the seeds' cluster-bootstrap intervals over records and retrained models. Distance to retraining is "
    "|e_forget| + |e_utility| of each seed; a place is open to a row when its interval of that distance allows it. "
    "A row is dominated when another, exact retraining aside, has no larger mean |e_forget| and mean |e_utility| and "
    "one smaller."
)


@dataclass(frozen=True, kw_only=True)
class Done:
    """A cell that was run: its page as data and its page's relative address; without a view, why it failed."""

    cell: Cell
    view: RunView | None = None
    report: str = ""
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class _Placed:
    """A method's means in the plane."""

    forget: Pooled
    utility: Pooled
    distance: Pooled
    off: tuple[float, float]


def bench_view(
    bench: Bench,
    part: Part,
    done: Sequence[Done],
    shadowed: Mapping[str, pages.Shadowed] = MappingProxyType({}),
    *,
    rerun: str = "",
) -> pages.BenchView:
    """Return the table of one request.

    Args:
        bench: What was compared.
        part: On which request.
        done: Every cell, failed ones included.
        shadowed: U-LiRA against each row's method, by label.
        rerun: The command that makes it again.

    Raises:
        RunError: Not one cell was run to its end, or cells were read against different references.
    """
    views = [d.view for d in done if d.view is not None]
    if not views:
        raise RunError(f"{part.name}: every cell failed: {done[0].error}")
    metrics = pages.group(part.name, views).metrics
    of = {e.label: [d for d in done if d.cell.entry.label == e.label] for e in part.entries}
    placed = {label: _placed([d.view for d in ds if d.view]) for label, ds in of.items()}
    known = {label: p for label, p in placed.items() if p is not None}
    entries = {e.label: e for e in part.entries}
    rank = dict(zip(known, ranks([p.distance for p in known.values()]), strict=True))
    beaten = dominated([p.off for p in known.values()], [entries[label].method != "retrain" for label in known])
    below = dict(zip(known, beaten, strict=True))
    drawn = next((v.plane for v in views if v.plane.unlearned), views[0].plane)
    first = views[0]
    return pages.BenchView(
        title=bench.title if len(bench.parts) == 1 else f"{bench.title}: {part.name}",
        created=datetime.now(UTC),
        versions=first.versions,
        rerun=rerun,
        note=" ".join([NOTE, *_caveats(views)]),
        request=first.request,
        learner=first.learner,
        reference=first.reference,
        seeds=bench.seeds_of(part),
        forget_axis=drawn.forget_axis,
        utility_axis=drawn.utility_axis,
        rows=[
            _row(e, of[e.label], metrics, placed, entries, rank.get(e.label), below.get(e.label, False)).model_copy(
                update={"shadowed": shadowed.get(e.label)}
            )
            for e in part.entries
        ],
        metrics=metrics,
        retrained=drawn.retrained,
        original=drawn.original,
        tuning=bench.tuning or "How the settings were chosen was not told.",
        not_run=[
            *first.not_run,
            *(pages.NotRun(name=f"{name} (trivial baseline)", reason=why) for name, why in part.left_out.items()),
        ],
    )


def figures(done: Sequence[Done]) -> list[dict[str, Any]]:
    """Return one flat record for every method, seed and score: what `scores.csv` holds."""
    rows = []
    for d in done:
        of = {"method": d.cell.entry.label, "seed": d.cell.seed}
        if d.view is None:
            rows.append({**of, "state": "failed", "note": d.error})
            continue
        for s in d.view.scores:
            mean = statistics.fmean(s.retrained) if s.retrained else None
            rows.append(
                {
                    **of, "state": s.state, "note": s.note,
                    "verdict": d.view.verdict.slug if d.view.verdict else None,
                    "score": s.id, "role": s.role, "family": s.family, "unit": s.unit, "n": s.n,
                    "clusters": s.clusters, "unlearned": s.unlearned, **_ends("", s.interval), "original": s.original,
                    "retrained_mean": mean, "noise_floor": s.noise_floor, "e": s.e, **_ends("e_", s.e_interval),
                }
            )  # fmt: skip
    return rows


def _row(
    entry: Entry,
    done: Sequence[Done],
    metrics: Sequence[Metric],
    placed: Mapping[str, _Placed | None],
    entries: Mapping[str, Entry],
    rank: tuple[int, int] | None,
    below: bool,
) -> pages.BenchRow:
    whole = [(d, d.view) for d in done if d.view is not None]
    views = [v for _, v in whole]
    own = placed[entry.label]
    beats, why = _beats(entry, placed, entries)
    spent = [_spent(v) for v in views]
    shares = [f for v in views if (f := v.cost.fraction_of_retraining) is not None]
    peaks = [p for v in views for r in v.cost.rows if (p := r.peak_memory_bytes) is not None]
    stages = [v.cost.rows[0] for v in views]
    steps = [(r.cpu_seconds or 0.0) / r.steps for r in stages if r.steps]
    return pages.BenchRow(
        **_state(done, own),
        name=entry.label,
        method=_method(entry, done[0].cell, views),
        n=len(whole),
        verdicts=dict(Counter(v.verdict.slug for v in views if v.verdict)),
        e_forget=own.forget.mean if own else None,
        e_forget_interval=_interval(own.forget) if own else None,
        e_utility=own.utility.mean if own else None,
        e_utility_interval=_interval(own.utility) if own else None,
        seeds=[
            p.model_copy(update={"label": f"{entry.label}, seed {d.cell.seed}"})
            for d, v in whole
            for p in v.plane.unlearned
        ],
        fraction_of_retraining=statistics.fmean(shares) if shares else None,
        cpu_seconds=statistics.fmean(spent) if spent else None,
        step_cpu_seconds=statistics.fmean(steps) if steps else None,
        peak_memory_bytes=max(peaks, default=None),
        rank=rank,
        dominated=below,
        beats_trivial=beats,
        why=why,
        readings=(readings := {m.id: _reading(m.id, views) for m in metrics} if views else {}),
        tug_of_war=_tug_of_war(views),
        spreads=_spreads(readings, metrics),
        reports=[d.report for d, _ in whole],
    )


def _state(done: Sequence[Done], own: _Placed | None) -> dict[str, Any]:
    failed = [d for d in done if d.view is None]
    known = len(done) - len(failed)
    message = "; ".join(dict.fromkeys(f"seed {d.cell.seed}: {d.error}" for d in failed))
    if not known:
        return {"state": "failed", "note": message, "command": done[0].cell.rerun, "known": 0, "needed": len(done)}
    if failed:
        return {"state": "too-few", "note": message, "known": known, "needed": len(done)}
    if own is None:
        plane = next(d.view.plane for d in done if d.view is not None)
        return {"state": plane.state, "note": plane.note}
    if known < SEEDS_NEEDED:
        note = "how much seeds differ is not known" if known == 1 else "two seeds say little of how much seeds differ"
        return {"state": "too-few", "note": note, "known": known, "needed": SEEDS_NEEDED}
    return {}


def _placed(views: Sequence[RunView]) -> _Placed | None:
    """Pool the points of one method's seeds; None where e means nothing here."""
    points = [p for v in views for p in v.plane.unlearned]
    if not points or len(points) < len(views):
        return None
    forget, utility = [_e(p, "e_forget") for p in points], [_e(p, "e_utility") for p in points]
    off_f, off_u = [absolute(*e) for e in forget], [absolute(*e) for e in utility]
    apart = [tuple(f[k] + u[k] for k in range(3)) for f, u in zip(off_f, off_u, strict=True)]
    distance = pooled(*zip(*apart, strict=True))
    return _Placed(
        forget=pooled(*zip(*forget, strict=True)),
        utility=pooled(*zip(*utility, strict=True)),
        distance=Pooled(mean=distance.mean, low=max(distance.low, 0.0), high=distance.high),
        off=(statistics.fmean(e[0] for e in off_f), statistics.fmean(e[0] for e in off_u)),
    )


def _e(point: Point, axis: str) -> tuple[float, float, float]:
    value, around = getattr(point, axis), getattr(point, f"{axis}_interval")
    return (value, around.low, around.high) if around else (value, value, value)


def _beats(entry: Entry, placed: Mapping[str, _Placed | None], entries: Mapping[str, Entry]) -> tuple[bool | None, str]:
    """Return whether a method lies nearer to retraining than every trivial baseline but retraining itself, and why."""
    own = placed[entry.label]
    if entry.trivial:
        return None, ""
    if own is None:
        return None, "it has no place in the plane"
    rivals = {
        label: p for label, p in placed.items() if p and entries[label].trivial and entries[label].method != "retrain"
    }
    if not rivals:
        return None, "no trivial baseline was run to its end"

    def against(label: str) -> str:
        hides = ", which only hides it" if find("methods", entries[label].method).card.lives_in == "output" else ""
        return f"{label}{hides} ({_distance(rivals[label].distance)})"

    mine = _distance(own.distance)
    nearest = min(rivals, key=lambda label: rivals[label].distance.mean)
    if rivals[nearest].distance.mean <= own.distance.mean:
        return False, f"its distance to retraining, {mine}, is no smaller than that of {against(nearest)}"
    same = {label: p.distance.mean for label, p in rivals.items() if p.distance.overlaps(own.distance)}
    if same:
        rival = against(min(same, key=same.__getitem__))
        return None, f"its distance to retraining, {mine}, cannot be told from that of {rival}"
    return True, f"its distance to retraining, {mine}, lies under that of the nearest one, {against(nearest)}"


def _distance(d: Pooled) -> str:
    return f"{d.mean:.2f} [{d.low:.2f}, {d.high:.2f}]"


def _reading(metric: str, views: Sequence[RunView]) -> Reading:
    """Return the mean over seeds; a seed without a figure leaves the mean without one."""
    scores = [next((s for s in v.scores if s.id == metric), None) for v in views]
    known = [s for s in scores if s is not None and s.unlearned is not None]
    if len(known) < len(views):
        silent = next((s for s in scores if s is not None and s.unlearned is None), None)
        state, note = (silent.state, silent.note) if silent else ("not-run", "not every seed has it")
        return Reading(state=state, note=note)
    worst = next((s for s in known if s.state != "ok"), known[0])
    value = pooled(*zip(*((s.unlearned, *_around(s.unlearned, s.interval)) for s in known), strict=True))
    facts: dict[str, Any] = {"unlearned": value.mean, "interval": _interval(value)}
    if all(s.e is not None for s in known):
        e = pooled(*zip(*((s.e, *_around(s.e, s.e_interval)) for s in known), strict=True))
        facts |= {"e": e.mean, "e_interval": _interval(e)}
    against = {s.against_margin for s in known}
    return Reading(
        state=worst.state, note=worst.note, known=worst.known, needed=worst.needed,
        n=known[0].n, clusters=known[0].clusters, **facts,
        against_margin=against.pop() if len(against) == 1 else "undecided",
    )  # fmt: skip


def _tug_of_war(views: Sequence[RunView]) -> float | None:
    """Return the mean over seeds of ToW, see `metrics.tug_of_war`, from the accuracies that every audit has."""
    products = []
    for view in views:
        scores = [next((s for s in view.scores if s.id.startswith(f"accuracy ({role}")), None) for role in ROLES]
        known = [(s.unlearned, s.retrained) for s in scores if s and s.unlearned is not None and s.retrained]
        gaps = [value - statistics.fmean(retrained) for value, retrained in known]
        if len(gaps) == len(ROLES):
            products.append(math.prod(1 - abs(gap) for gap in gaps))
    return statistics.fmean(products) if products and len(products) == len(views) else None


def _spreads(readings: Mapping[str, Reading], metrics: Sequence[Metric]) -> dict[str, float]:
    """Return (mean over seeds − mean of retrained) / their standard deviation, by metric, where that is a number."""
    found = {}
    for metric in metrics:
        given = readings.get(metric.id)
        if given is None or given.unlearned is None or len(metric.retrained) < RETRAINED_NEEDED:
            continue
        spread = statistics.stdev(metric.retrained)
        if spread > SMALLEST_SPREAD:
            found[metric.id] = (given.unlearned - statistics.fmean(metric.retrained)) / spread
    return found


def _around(value: Any, interval: pages.Interval | None) -> tuple[Any, Any]:
    return (interval.low, interval.high) if interval else (value, value)


def _method(entry: Entry, cell: Cell, views: Sequence[RunView]) -> pages.Method:
    """Return the method as its runs state it; every trivial baseline counts as a control."""
    aim = {"aim": "control"} if entry.trivial else {}
    if views:
        return views[0].method.model_copy(update=aim)
    method = cell.recipe.built_method()
    card: Card = method.card
    fields = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(method).items()}
    made = pages.Method(name=card.name, title=card.title, year=card.year, source=card.source, aim=card.aim,
                        lives_in=card.lives_in, guarantee=card.guarantee, fields=fields)  # fmt: skip
    return made.model_copy(update=aim)


def _spent(view: RunView) -> float:
    return sum(r.cpu_seconds or 0.0 for r in view.cost.rows if r.name not in NOT_SPENT_ON_IT)


def _caveats(views: Sequence[RunView]) -> list[str]:
    """Sentences on what the reader could not see from the rows."""
    found = []
    few = next((s for v in views for s in v.scores if s.state == "too-few" and s.note), None)
    if few is not None:
        found.append(f"{few.note[0].upper()}{few.note[1:]}.")
    if any(v.versions != views[0].versions for v in views) or views[0].versions != api.versions():
        found.append("Cells were run with different versions of the packages; each cell's page names its own.")
    return found


def _interval(p: Pooled) -> pages.Interval:
    return pages.Interval(low=p.low, high=p.high)


def _ends(prefix: str, interval: pages.Interval | None) -> dict[str, float | None]:
    return {f"{prefix}low": interval.low if interval else None, f"{prefix}high": interval.high if interval else None}
