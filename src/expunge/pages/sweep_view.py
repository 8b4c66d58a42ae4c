"""Several requests side by side as data: does a method that forgets the easy ones forget the hard ones too?"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import AwareDatetime, model_validator

from expunge.pages.run_view import Method, schema_of
from expunge.pages.stated import Stated, View


class SweepRequest(View):
    """One request of a bench.

    Args:
        name: What it is called.
        reason: Why these records, in words.
        forget: Records to forget.
        axis: Which score e_forget is made of.
        original: That score of the original.
        retrained: Its mean over the retrained models: the nearer the two, the less there is to forget.
        noise_floor: Its spread between retrained models.
        address: Relative address of the request's own page.
    """

    name: str
    reason: str = ""
    forget: int
    axis: str = ""
    original: float | None = None
    retrained: float | None = None
    noise_floor: float | None = None
    address: str


class SweepCell(Stated):
    """A method on one request, mean over seeds.

    Args:
        e_forget: 0 = like retrained, 1 = as if nothing was done.
        e_utility: 0 = like retrained, 1 = at chance.
        distance: Mean of |e_forget| + |e_utility|.
        tug_of_war: Product of one less the gaps of the accuracies on forget, retain and test set; 1 = like retrained.
    """

    e_forget: float | None = None
    e_utility: float | None = None
    distance: float | None = None
    tug_of_war: float | None = None


class SweepRow(View):
    """One method on every request.

    Args:
        name: Method, with its settings where they differ.
        method: Aim "control" marks a trivial baseline.
        cells: One a request, in their order.
        hardest: Name of the request on which it lies farthest from retraining.
    """

    name: str
    method: Method
    cells: list[SweepCell]
    hardest: str = ""


class SweepView(View):
    """A bench of several requests.

    Args:
        view: Name and version of this form.
        title: What readers call it.
        created: When the table was made.
        versions: Package name -> version.
        rerun: The command that makes it again.
        seeds: Of the runs.
        requests: In the order of the bench.
        rows: One a method; trivial baselines included.
    """

    view: Literal["sweep/1"] = "sweep/1"
    title: str
    created: AwareDatetime
    versions: dict[str, str]
    rerun: str = ""
    seeds: list[int]
    requests: list[SweepRequest]
    rows: list[SweepRow]

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for row in self.rows:
            if len(row.cells) != len(self.requests):
                raise ValueError(f"row {row.name}: {len(row.cells)} cells for {len(self.requests)} requests")
        return self


def schema() -> dict[str, Any]:
    """Return the JSON Schema of `sweep/1` as it is written."""
    return schema_of(SweepView)
