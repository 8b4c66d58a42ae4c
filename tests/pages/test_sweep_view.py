"""Requests side by side: distances by hand, and a method that one request lacks."""

from datetime import UTC, datetime

import page_views

from expunge.bench._suite import Bench
from expunge.bench._sweep import sweep_view
from expunge.pages import Point


def row_of(name, points):
    row = next(r for r in page_views.bench().rows if r.name == "npo")
    seeds = [Point(label=f"seed {k}", e_forget=f, e_utility=u) for k, (f, u) in enumerate(points)]
    return row.model_copy(update={"name": name, "seeds": seeds, "spreads": {}})


def test_a_distance_is_the_mean_of_the_seeds_and_the_hardest_request_has_the_largest():
    view = page_views.bench()
    easy = view.model_copy(update={"rows": [row_of("npo", [(0.1, 0.0), (-0.1, 0.1), (0.0, 0.0)])]})
    hard = view.model_copy(update={"rows": [row_of("npo", [(0.5, 0.1)] * 3), row_of("scrub", [(0.2, 0.0)] * 3)]})
    found = sweep_view(Bench(name="b", title="B", parts=[], seeds=3), {"easy": easy, "hard": hard})
    assert [r.name for r in found.requests] == ["easy", "hard"]
    assert found.requests[0].address == "easy/bench.html"
    npo, scrub = found.rows
    assert [round(c.distance, 6) for c in npo.cells] == [0.1, 0.6]
    assert npo.hardest == "hard"
    assert (scrub.cells[0].state, scrub.cells[0].distance) == ("not-run", None)
    assert found.created <= datetime.now(UTC)
