"""The pages: what they state is what the view model holds, in every state, and nothing in them runs or is fetched."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import jsonschema
import numpy as np
import page_views
import pytest
from pydantic import ValidationError

from expunge.errors import RunError
from expunge.pages import (
    Interval,
    Plane,
    Point,
    Reference,
    RunView,
    Score,
    group,
    render_compare,
    render_run,
    svg,
    words,
)
from expunge.pages.__main__ import FOLDER, SCHEMAS, text

INJECTION = "</script><img src=x onerror=alert(1)>\"'&</style><b>"
RUN_NAMES = sorted(page_views.RUNS)


@pytest.fixture(scope="module")
def pages():
    """Return every fixture's page by name."""
    out = {name: render_run(builder()) for name, builder in page_views.RUNS.items()}
    return {**out, "compare": render_compare(page_views.compare())}


class Reader(HTMLParser):
    """Collects the elements, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.values: set[float] = set()
        self.words = ""
        self._quiet = False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._quiet = tag == "style"
        if tag == "data":
            self.values.add(float(dict(attrs)["value"]))

    def handle_data(self, data):
        self.words += "" if self._quiet else data

    @property
    def classes(self) -> set[str]:
        return {name for _, attributes in self.tags for name in (attributes.get("class") or "").split()}


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_the_published_schema_is_what_the_models_generate(name):
    assert (FOLDER / name).read_text(encoding="utf-8") == text(name), "run `python -m expunge.pages`"


@pytest.mark.parametrize("name", RUN_NAMES)
def test_a_run_is_valid_against_its_schema_and_survives_json(name):
    view = page_views.RUNS[name]()
    written = json.loads(view.model_dump_json())
    jsonschema.Draft202012Validator(SCHEMAS["run-1.json"]()).validate(written)
    assert RunView.model_validate(written) == view


def test_a_comparison_is_valid_against_its_schema():
    jsonschema.Draft202012Validator(SCHEMAS["compare-1.json"]()).validate(
        json.loads(page_views.compare().model_dump_json())
    )


@pytest.mark.parametrize("name", [*RUN_NAMES, "compare"])
def test_the_same_view_gives_the_same_page(pages, name):
    again = render_compare(page_views.compare()) if name == "compare" else render_run(page_views.RUNS[name]())
    assert again == pages[name]


@pytest.mark.parametrize("name", [*RUN_NAMES, "compare"])
def test_a_page_fetches_nothing_and_runs_nothing(pages, name):
    page, reader = pages[name], Reader(pages[name])
    assert "://" not in page
    assert not {tag for tag, _ in reader.tags} & {"script", "img", "link", "iframe", "object", "embed", "image", "use"}
    for _, attributes in reader.tags:
        assert "style" not in attributes
        assert not [key for key in attributes if key.startswith("on") or key in ("src", "srcset", "xlink:href")]
    links = [attributes["href"] or "" for _, attributes in reader.tags if "href" in attributes]
    assert all(link.startswith("#") or link.endswith("report.html") for link in links)
    style = page.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in page


@pytest.mark.parametrize("name", [*RUN_NAMES, "compare"])
def test_links_in_a_page_lead_somewhere(pages, name):
    reader = Reader(pages[name])
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = [attributes["aria-labelledby"] for _, attributes in reader.tags if "aria-labelledby" in attributes]
    inside = [a["href"][1:] for _, a in reader.tags if (a.get("href") or "").startswith("#")]
    assert {*named, *inside} <= set(ids)


def test_without_a_reference_nothing_blue_is_drawn(pages):
    reader = Reader(pages["inconclusive"])
    assert not reader.classes & {"reference", "referenced", "region", "margin", "surrogate"}
    assert "retrained, one a seed" not in reader.words
    assert words.STATES["no-reference"][0] in reader.words


def test_a_surrogate_is_named_and_is_not_drawn_in_the_colour_of_retraining(pages):
    reader = Reader(pages["surrogate"])
    assert "referenced" not in reader.classes
    assert "surrogate, one a seed" in reader.words
    assert "retrained, one a seed" not in reader.words


def test_fewer_than_five_seeds_make_no_region(pages):
    assert "region" not in Reader(pages["bad"]).classes
    assert "reference" in Reader(pages["bad"]).classes
    assert "region" in Reader(pages["good"]).classes


def test_everything_is_shown_as_text():
    page = render_run(page_views.hostile(INJECTION))
    reader = Reader(page)
    assert not {tag for tag, _ in reader.tags} & {"script", "img"}
    assert page.count("</style>") == 1
    assert reader.words.count(INJECTION) >= 15
    assert INJECTION[:8] not in page


def test_a_comparison_shows_names_as_text():
    view = page_views.compare()
    runs = [page_views.compared(INJECTION, 0.1, 0.1, "latent", view.groups[0].request)]
    page = render_compare(view.model_copy(update={"title": INJECTION, "groups": [group(INJECTION, runs)]}))
    assert "<img" not in page
    assert INJECTION in Reader(page).words


@pytest.mark.parametrize("name", [*RUN_NAMES, "compare"])
def test_pages_are_small(pages, name):
    assert len(pages[name].encode()) < (420_000 if name == "many" else 120_000)


def test_every_state_has_its_sentence_and_next_step(pages):
    seen = Reader(pages["running"]).words + Reader(pages["inconclusive"]).words + Reader(pages["good"]).words
    for state, (sentence, _) in words.STATES.items():
        assert sentence in seen, state
    assert "180 of the 400 done" in seen
    assert "expunge audit runs/npo-7 --recipe R" in seen
    assert "item 17: the loss stopped being finite" in seen


@pytest.mark.parametrize("name", RUN_NAMES)
def test_figures_on_the_page_are_those_of_the_view_model(pages, name):
    view, shown = page_views.RUNS[name](), Reader(pages[name]).values
    expected: set[float] = set()
    for score in view.scores:
        expected |= {v for v in (score.original, score.unlearned, score.noise_floor, score.n) if v is not None}
        expected |= set(score.retrained)
        expected |= {score.interval.low, score.interval.high} if score.interval else set()
        expected |= {score.e} if score.e is not None else set()
    points = [*view.plane.unlearned, *view.plane.retrained, *view.plane.baselines]
    expected |= {value for point in points for value in (point.e_forget, point.e_utility)}
    expected |= {row.wall_seconds for row in view.cost.rows if row.wall_seconds is not None}
    assert {v for v in expected if v not in shown} == set()


def test_a_comparison_shows_each_value_of_each_run(pages):
    shown = Reader(pages["compare"]).values
    for each in page_views.compare().groups:
        for run in each.runs:
            assert {reading.unlearned for reading in run.readings.values()} <= shown


def test_numpy_figures_are_written_as_plain_numbers():
    score = page_views.score(page_views.METRICS[0], 0.5, unlearned=np.float64(0.625), retrained=[np.float64(0.125)] * 5)
    page = render_run(page_views.run(scores=[score], verdict=_plain()))
    assert "np." not in page
    assert {0.625, 0.125} <= Reader(page).values


def test_e_is_not_stated_where_a_score_is_not_informative():
    hidden = page_views.score(page_views.METRICS[0], 0.987654, informative=False)
    assert 0.987654 not in Reader(render_run(page_views.run(scores=[hidden], verdict=_plain()))).values


def test_a_pass_leads_with_what_was_not_tested_and_a_failure_with_its_evidence(pages):
    assert pages["good"].index('id="untested"') < pages["good"].index('id="evidence"')
    assert pages["bad"].index('id="untested"') > pages["bad"].index('id="evidence"')
    assert "Removal, tested up to tier 2</h1>" in pages["good"]


def test_a_page_is_read_in_the_published_order(pages):
    order = ["<h1>", "evidence", "untested", "plane", "scores", "curves", "cost", "not-run", "rerun", "annex"]
    places = [pages["bad"].index(name if name == "<h1>" else f'<section id="{name}"') for name in order]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0.0, "0.000"), (-0.25, "−0.250"), (-1e-17, "0.000"), (0.00042, "4.2e−04"), (-0.0091, "−0.0091"),
     (12.345, "12.35"), (18412.0, "18,412"), (400, "400")],
)  # fmt: skip
def test_figures_are_written_plainly(value, shown):
    assert words.figure(value) == shown


def test_an_e_is_written_to_three_decimals():
    assert [words.ratio(e) for e in (0.004, -0.008, -1e-9, 1.0, None)] == ["0.004", "−0.008", "0.000", "1.000", "–"]


def test_lengths_of_time_and_sizes_are_written_plainly():
    assert [words.duration(s) for s in (0.5, 75, 184.2, 7800)] == ["0.50 s", "75 s", "3.1 min", "2.2 h"]
    assert [words.size(b) for b in (0, 512, 2_306_867_200)] == ["0 B", "512 B", "2.1 GiB"]


def test_a_view_that_contradicts_itself_is_refused():
    score = page_views.score(page_views.METRICS[0], 0.1)
    with pytest.raises(ValidationError, match=r"reference values although reference\.kind is none"):
        page_views.run(reference=Reference(kind="none"), plane=Plane(state="no-reference"))
    with pytest.raises(ValidationError, match="id used twice"):
        page_views.run(scores=[score, score], verdict=_plain())
    with pytest.raises(ValidationError, match="no score is called"):
        page_views.run(scores=[score])
    with pytest.raises(ValidationError, match="needs a verdict"):
        page_views.run(verdict=None)
    with pytest.raises(ValidationError, match="e without a reference"):
        Score(id="a", label="a", role="forget", family="behaviour", unlearned=1.0, e=0.0)
    with pytest.raises(ValidationError, match="has no figures"):
        Score(id="a", label="a", role="forget", family="behaviour", unlearned=1.0, state="redacted")
    with pytest.raises(ValidationError, match="has no points"):
        Plane(state="no-reference", unlearned=[Point(label="a", e_forget=0, e_utility=0)])
    with pytest.raises(ValidationError, match="above high"):
        Interval(low=1, high=0)
    with pytest.raises(ValidationError, match="Extra inputs"):
        Interval(low=0, high=1, width=1)  # type: ignore[call-arg]


def test_runs_on_different_requests_cannot_share_a_group():
    view = page_views.compare()
    other = page_views.compared("other", 0.0, 0.0, "removal", view.groups[1].request)
    with pytest.raises(RunError, match="answers request"):
        group("mixed", [page_views.compared("one", 0.0, 0.0, "removal", view.groups[0].request), other])


def test_marks_are_where_the_figures_are():
    scale = svg.Scale(0.0, 2.0, 100.0, 300.0)
    assert [scale(v) for v in (0.0, 0.5, 2.0)] == [100.0, 150.0, 300.0]
    assert scale.ticks(4) == [0.0, 0.5, 1.0, 1.5, 2.0]
    drawn = str(svg.row(page_views.score(page_views.METRICS[0], 0.5, original=1.0)))
    assert drawn.count('class="unlearned"') == 1
    assert drawn.count('class="original"') == 1
    assert drawn.count('class="reference"') == 5
    assert drawn.count('class="reference region"') == 3


def test_a_far_original_lies_past_a_break_and_keeps_its_figure():
    near, far = (page_views.score(page_views.METRICS[0], e) for e in (0.5, 0.0))
    assert not svg.is_broken(near)
    assert svg.is_broken(far)
    assert "0.912" in svg.row(far)


def test_names_in_the_plane_do_not_cover_each_other():
    labels = svg.Labels(svg.Scale(0, 1, 52, 386), svg.Scale(0, 1, 316, 10))
    for i in range(6):
        labels.reserve(200 + i, 150)
        labels.add(f"method {i}", 200 + i, 150)
    labels.draw()
    boxes = labels._taken[6:]
    overlaps = [
        (a, b) for i, a in enumerate(boxes) for b in boxes[:i]
        if a[0] < b[2] and a[2] > b[0] and a[1] < b[3] and a[3] > b[1]
    ]  # fmt: skip
    assert overlaps == []


def test_a_long_series_keeps_its_extremes_and_a_gap_stays_a_gap():
    values: list[float | None] = [1.0] * 50_000
    values[12_345], values[30_000] = 9.0, None
    drawn = str(svg.curve(page_views.Series(name="loss", steps=list(range(50_000)), values=values), 12_345))
    assert len(drawn) < 40_000
    assert drawn.count('class="line unlearned"') == 2
    top = min(float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", drawn.split('class="stop"')[0].split("line")[0]))
    assert top < 30


def _plain() -> page_views.Verdict:
    return page_views.Verdict(slug="latent", sentence="Brought back.")
