"""The pages: what they state is what the view model holds, in every state, without the script; nothing is fetched."""

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
    answer,
    differences,
    group,
    render_bench,
    render_compare,
    render_run,
    render_sweep,
    svg,
    words,
)
from expunge.pages.__main__ import FOLDER, SCHEMAS, text

INJECTION = "</script><img src=x onerror=alert(1)>\"'&</style><b>"
RUN_NAMES = sorted(page_views.RUNS)
NAMES = [*RUN_NAMES, "compare", "bench", "sweep"]


@pytest.fixture(scope="module")
def pages():
    """Return every fixture's page by name."""
    out = {name: render_run(builder()) for name, builder in page_views.RUNS.items()}
    rest = {"compare": render_compare(page_views.compare()), "bench": render_bench(page_views.bench())}
    return {**out, **rest, "sweep": render_sweep(page_views.sweep())}


class Reader(HTMLParser):
    """Collects the elements, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.values: set[float] = set()
        self.words = ""
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")
        if tag == "data":
            self.values.add(float(dict(attrs)["value"]))

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.words += data

    def handle_endtag(self, tag):
        self._inside = ""

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


def test_a_bench_is_valid_against_its_schema():
    jsonschema.Draft202012Validator(SCHEMAS["bench-1.json"]()).validate(
        json.loads(page_views.bench().model_dump_json())
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_same_view_gives_the_same_page(pages, name):
    whole = {
        "compare": lambda: render_compare(page_views.compare()),
        "bench": lambda: render_bench(page_views.bench()),
        "sweep": lambda: render_sweep(page_views.sweep()),
    }
    again = whole[name]() if name in whole else render_run(page_views.RUNS[name]())
    assert again == pages[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_fetches_nothing_and_runs_one_script_alone(pages, name):
    page, reader = pages[name], Reader(pages[name])
    _, script = reader.scripts
    assert "://" not in page.replace(script, "")
    assert not {tag for tag, _ in reader.tags} & {"img", "link", "iframe", "object", "embed", "image", "use"}
    for _, attributes in reader.tags:
        assert "style" not in attributes
        assert not [key for key in attributes if key.startswith("on") or key in ("src", "srcset", "xlink:href")]
    assert [a for tag, a in reader.tags if tag == "script"] == [{"type": "application/json", "id": "view"}, {}]
    links = [attributes["href"] or "" for _, attributes in reader.tags if "href" in attributes]
    assert all(link.startswith("#") or link.endswith(("report.html", "bench.html")) for link in links)
    style = page.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}';" in page


@pytest.mark.parametrize("name", RUN_NAMES)
def test_the_inlined_data_is_the_view_model(pages, name):
    data, _ = Reader(pages[name]).scripts
    assert RunView.model_validate_json(data) == page_views.RUNS[name]()


def test_the_inlined_data_holds_nothing_that_ends_it():
    view = page_views.hostile(f"<!--{INJECTION}\u2028\u2029")
    page = render_run(view)
    data, _ = Reader(page).scripts
    assert RunView.model_validate_json(data) == view
    assert not {"<", "\u2028", "\u2029"} & set(data)


def test_the_script_uses_no_way_round_the_policy(pages):
    _, script = Reader(pages["good"]).scripts
    assert not re.findall(
        r"\beval\(|new Function\(|insertAdjacentHTML|document\.write|import\(|fetch\(|XMLHttp", script
    )
    assert "<!--" not in script


@pytest.mark.parametrize("name", NAMES)
def test_links_in_a_page_lead_somewhere(pages, name):
    reader = Reader(pages[name])
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = [
        name for _, attributes in reader.tags if "aria-labelledby" in attributes
        for name in (attributes["aria-labelledby"] or "").split()
    ]  # fmt: skip
    inside = [a["href"][1:] for _, a in reader.tags if (a.get("href") or "").startswith("#")]
    assert {*named, *inside} <= set(ids)


def test_without_a_reference_nothing_blue_is_drawn(pages):
    reader = Reader(pages["inconclusive"])
    assert not reader.classes & {"referenced", "surrogate", "seed"}
    assert words.STATES["no-reference"][0] in reader.words


def test_blue_is_the_colour_of_retrained_models_alone(pages):
    assert "referenced" in Reader(pages["good"]).classes
    assert "referenced" not in Reader(pages["surrogate"]).classes
    style = pages["good"].split("<style>")[1].split("</style>")[0]
    assert re.findall(r"([^{}\n]*)\{[^{}]*#(?:0072B2|5DB4EE)", style) == [".referenced ", "  .referenced "]


def test_everything_is_shown_as_text():
    page = render_run(page_views.hostile(INJECTION))
    reader = Reader(page)
    assert "img" not in {tag for tag, _ in reader.tags}
    assert (page.count("</style>"), page.count("</script>")) == (1, 2)
    assert reader.words.count(INJECTION) >= 15


def test_a_comparison_shows_names_as_text():
    view = page_views.compare()
    runs = [page_views.compared(INJECTION, 0.1, 0.1, "latent", view.groups[0].request)]
    page = render_compare(view.model_copy(update={"title": INJECTION, "groups": [group(INJECTION, runs)]}))
    assert "<img" not in page
    assert INJECTION in Reader(page).words


def test_a_bench_shows_names_as_text():
    page = render_bench(page_views.bench(INJECTION))
    assert "<img" not in page
    assert Reader(page).words.count(INJECTION) >= 9


@pytest.mark.parametrize("name", NAMES)
def test_pages_are_small(pages, name):
    assert len(pages[name].encode()) < (400_000 if name == "many" else 210_000)


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


def test_a_bench_shows_each_figure_of_each_row(pages):
    shown = Reader(pages["bench"]).values
    for row in page_views.bench().rows:
        figures = [
            row.e_forget,
            row.e_utility,
            row.fraction_of_retraining,
            row.tug_of_war,
            row.peak_memory_bytes,
            *(row.rank or ()),
        ]
        attacked = (
            row.shadowed.model_dump(include={"accuracy", "accuracy_p95", "tpr_at_low_fpr"}) if row.shadowed else {}
        )
        assert {figure for figure in [*figures, *attacked.values()] if figure is not None} <= shown


def test_a_bench_says_how_many_deviations_of_retrained_models_a_reading_is_off(pages):
    words = Reader(pages["bench"]).words
    row = page_views.bench().rows[0]
    assert f"+{row.spreads['min-k/forget']:.1f} sd" in words
    assert "the loss is not finite" in words


def test_a_sweep_shows_each_distance_and_names_the_hardest_request(pages):
    view, page = page_views.sweep(), Reader(pages["sweep"])
    for row in view.rows:
        assert {c.distance for c in row.cells if c.distance is not None} <= page.values
        assert {c.tug_of_war for c in row.cells if c.tug_of_war is not None} <= page.values
    assert "alpha selects nothing" in page.words
    assert [a["href"] for tag, a in page.tags if tag == "a"] == [f"{r.name}/bench.html" for r in view.requests]
    jsonschema.Draft202012Validator(SCHEMAS["sweep-1.json"]()).validate(json.loads(view.model_dump_json()))


def test_a_bench_says_who_comes_first_and_who_beats_the_trivial_ways(pages):
    text = Reader(pages["bench"]).words
    assert "npo and simnpo come nearest to retraining. 4 of 6 methods beat every trivial way; for 1" in text
    assert "seed 1: the Hessian is not positive definite" in text


def test_differences_are_counted_in_noise_floors_and_the_largest_comes_first():
    each = page_views.compare().groups[0]
    rows = differences.differences(each, 0, 1)
    sizes = [abs(row.floors) for row in rows if row.floors is not None]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == 6
    first = rows[0]
    assert first.floors == (first.a - first.b) / first.metric.noise_floor
    assert all(row.floors == 0 for row in differences.differences(each, 2, 2))
    assert dict(differences.settings(each))["method"] == ["npo", "npo", "npo", "nothing"]


@pytest.mark.parametrize("name", RUN_NAMES)
def test_page_one_answers_five_questions_in_plain_words(pages, name):
    view = page_views.RUNS[name]()
    blocks = answer.answer(view)
    assert [block.heading for block in blocks] == [
        "What was asked and done", "How it was tested", "What was found", "What was not tested",
        "What remains uncertain",
    ]  # fmt: skip
    assert all(block.sentences for block in blocks)
    one = pages[name].split('id="answer"')[1].split("</header>")[0]
    assert all(answer.NOT_LEGAL_ADVICE in part for part in (one, Reader(one).words))
    text = " ".join([answer.finding(view), *(sentence for block in blocks for sentence in block.sentences)])
    assert _grade(text) < 9, "a reader of fourteen is in grade 8 or 9"


def test_the_reading_grade_is_that_of_the_published_formula():
    assert _grade("The cat sat on the mat.") == pytest.approx(0.39 * 6 + 11.8 * 1 - 15.59)


def test_a_stand_in_and_no_reference_at_all_are_told_on_page_one():
    told = " ".join(answer.answer(page_views.surrogate())[1].sentences)
    assert "A stand-in was used: the base model before it was trained on this data." in told
    assert "nothing fair to compare with" in " ".join(answer.answer(page_views.inconclusive())[1].sentences)
    assert not answer.answer(page_views.inconclusive())[2].scales


def test_a_scale_puts_its_marks_where_the_figures_are():
    drawn = str(svg.scale(0.5, Interval(low=0.0, high=1.0), [0.0, 9.0], width=296))
    assert 'cx="148.0"' in drawn
    assert 'd="M48.0 18H248.0" class="bar unlearned"' in drawn
    assert re.findall(r'd="M([\d.]+) 6V30"', drawn) == ["48.0", "288.0"]


def test_a_tier_is_tested_only_up_to_what_the_verdict_says():
    view = page_views.good()
    standings = lambda of: [tier.standing for tier in words.tiers(of)]  # noqa: E731
    assert standings(view) == ["run", "run", "missing", "part"]
    assert words.tiers(view)[3].sentence == "tested in part: 1 check run, 2 not run"
    lower = view.verdict.model_copy(update={"tested_up_to_tier": 0})
    assert standings(view.model_copy(update={"verdict": lower})) == ["run", "part", "missing", "part"]
    assert standings(page_views.inconclusive()) == ["missing", "part", "missing", "part"]


def _grade(text: str) -> float:
    """Return the Flesch-Kincaid grade: 0.39 words a sentence + 11.8 syllables a word − 15.59; figures are one each."""
    sentences = [part for part in re.split(r"(?<=[.:!?])\s", text) if part]
    terms = re.findall(r"[^\s“”()]+", text)
    syllables = [
        max(1, len(re.findall(r"[aeiouy]+", re.sub(r"(?<![aeiouyl])e[.,:]*$", "", word.lower())))) for word in terms
    ]
    return 0.39 * len(terms) / len(sentences) + 11.8 * sum(syllables) / len(terms) - 15.59


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _plain() -> page_views.Verdict:
    return page_views.Verdict(slug="latent", sentence="Brought back.")
