"""The bench page as data: methods on one request, each over several seeds, read against retraining."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import AwareDatetime, model_validator

from expunge.pages.run_view import (
    LearnerFacts,
    Method,
    Metric,
    NotRun,
    Point,
    Reading,
    Reference,
    Request,
    VerdictSlug,
    schema_of,
)
from expunge.pages.stated import WITHOUT_FIGURES, Interval, Stated, View


class Shadowed(Stated):
    """U-LiRA against a method: shadow models that unlearned a record told from ones that never saw it.

    Args:
        shadows: Models in all, half of them on each side of every record.
        n: Records that were attacked.
        accuracy: Share of shadow models whose side is guessed right, mean over records; 0.5 = perfect unlearning.
        accuracy_interval: 95 % over records.
        accuracy_p95: Of the record at the 95th percentile.
        tpr_at_low_fpr: Share of unlearned records found where at most 1 % of unseen ones are taken for them.
    """

    shadows: int = 0
    n: int = 0
    accuracy: float | None = None
    accuracy_interval: Interval | None = None
    accuracy_p95: float | None = None
    tpr_at_low_fpr: float | None = None


class BenchRow(Stated):
    """One row: a method with one group of settings, over its seeds.

    Args:
        name: Method, with its settings where they differ from the recipe's.
        method: Aim "control" marks a trivial baseline.
        n: Seeds that were run to the end.
        verdicts: Class of verdict -> number of seeds.
        e_forget: Mean over the seeds; 0 = like retrained, 1 = as if nothing was done.
        e_forget_interval: 95 % over seeds and over records.
        e_utility: Mean over the seeds; 0 = like retrained, 1 = at chance.
        e_utility_interval: Likewise.
        seeds: One point a seed.
        fraction_of_retraining: CPU seconds, those of choosing the stop included, over those of one retraining.
        cpu_seconds: Mean over the seeds, those of choosing the stop included.
        step_cpu_seconds: Of the method over its optimiser steps, preparations included; mean over the seeds.
        peak_memory_bytes: Largest over the seeds.
        rank: Best and worst place that the intervals leave open, 1 = nearest to retraining.
        dominated: Another method's |e_forget| and |e_utility| are both no larger, and one is smaller.
        beats_trivial: Whether it lies nearer to retraining than every trivial baseline that is no retraining, beyond
            its interval; None where that cannot be said.
        why: The reason for `beats_trivial`, in words.
        readings: Metric id -> mean over the seeds.
        tug_of_war: Π over forget, retain and test set of 1 − |accuracy − mean of retrained|, mean over seeds; 1 = like
            retrained; None where there are no classes.
        spreads: Metric id -> how far that mean lies from the retrained models' mean, in their standard deviations;
            without an entry where there are fewer than three of them or all give the same.
        shadowed: U-LiRA against the method, where shadow models were asked for.
        reports: Relative address of each seed's own page.
    """

    name: str
    method: Method
    n: int
    verdicts: dict[VerdictSlug, int] = {}
    e_forget: float | None = None
    e_forget_interval: Interval | None = None
    e_utility: float | None = None
    e_utility_interval: Interval | None = None
    seeds: list[Point] = []
    fraction_of_retraining: float | None = None
    cpu_seconds: float | None = None
    step_cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
    rank: tuple[int, int] | None = None
    dominated: bool = False
    beats_trivial: bool | None = None
    why: str = ""
    readings: dict[str, Reading] = {}
    tug_of_war: float | None = None
    spreads: dict[str, float] = {}
    shadowed: Shadowed | None = None
    reports: list[str] = []

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for report in self.reports:
            if ":" in report or report.startswith(("/", "\\")):
                raise ValueError(f"report must be a relative address, got {report!r}")
        if sum(self.verdicts.values()) > self.n or len(self.seeds) > self.n:
            raise ValueError(f"row {self.name}: more verdicts or points than its {self.n} seeds")
        if self.state in WITHOUT_FIGURES and self.n:
            raise ValueError(f"row {self.name}: state {self.state} has no figures")
        if (self.e_forget is None) != (self.e_utility is None):
            raise ValueError(f"row {self.name}: e_forget and e_utility come together")
        if self.rank is not None and not 1 <= self.rank[0] <= self.rank[1]:
            raise ValueError(f"row {self.name}: rank {self.rank} is no range of places")
        return self


class BenchView(View):
    """A bench: which methods come nearest to retraining, at what cost, and which are no better than trivial ones?

    Args:
        view: Name and version of this form.
        title: What readers call this bench.
        created: When the table was made.
        versions: Package name -> version.
        rerun: The command that makes this bench again.
        note: How intervals, ranks and claims are made, in words.
        request: What every cell had to forget.
        learner: What every cell started from.
        reference: The retrained models that all cells are read against.
        seeds: Of the runs.
        forget_axis: Which score e_forget is made of.
        utility_axis: The same for e_utility.
        rows: One a method; trivial baselines included.
        metrics: What the readings are of.
        retrained: One point a retrained model.
        original: The model before.
        tuning: How settings were chosen, in words.
        not_run: What could have been part of it and was not.
    """

    view: Literal["bench/1"] = "bench/1"
    title: str
    created: AwareDatetime
    versions: dict[str, str]
    rerun: str = ""
    note: str = ""
    request: Request
    learner: LearnerFacts
    reference: Reference
    seeds: list[int]
    forget_axis: str = ""
    utility_axis: str = ""
    rows: list[BenchRow]
    metrics: list[Metric] = []
    retrained: list[Point] = []
    original: Point | None = None
    tuning: str = ""
    not_run: list[NotRun] = []

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        ids = {metric.id for metric in self.metrics}
        names = [row.name for row in self.rows]
        for row in self.rows:
            if unknown := sorted({*row.readings, *row.spreads} - ids):
                raise ValueError(f"row {row.name}: {unknown[0]!r} is not a metric of this bench")
            if row.n > len(self.seeds):
                raise ValueError(f"row {row.name}: {row.n} seeds, the bench has {len(self.seeds)}")
            if row.e_forget is not None and not self.retrained:
                raise ValueError(f"row {row.name}: e without a reference value")
        if len(set(names)) < len(names):
            raise ValueError(f"rows: name used twice: {next(n for n in names if names.count(n) > 1)!r}")
        return self


def schema() -> dict[str, Any]:
    """Return the JSON Schema of `bench/1` as it is written."""
    return schema_of(BenchView)
