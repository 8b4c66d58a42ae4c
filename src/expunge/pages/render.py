"""Pages from view models: one file of HTML that opens offline and asks for nothing.

All words, figures and tables are written here; the page's one script draws over them and is not needed to read them.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from expunge.pages import svg, words
from expunge.pages.answer import NOT_LEGAL_ADVICE, answer, finding
from expunge.pages.bench_view import BenchView
from expunge.pages.columns import sentence, top_rows
from expunge.pages.compare_view import CompareView
from expunge.pages.differences import differences, settings
from expunge.pages.run_view import Method, Reference, RunView, Score, Series
from expunge.pages.stated import WITHOUT_FIGURES
from expunge.pages.sweep_view import SweepView
from expunge.pages.threshold import comparisons

FORMS: dict[str, Callable[[Any], str]] = {
    "figure": words.figure,
    "ratio": words.ratio,
    "duration": words.duration,
    "size": words.size,
    "percent": words.percent,
}


ASSETS = Path(__file__).parent / "assets"


def render_run(view: RunView) -> str:
    """Return a run's page."""
    return _page(
        "run.html.j2",
        view,
        blocks=answer(view),
        finding=finding(view),
        not_legal_advice=NOT_LEGAL_ADVICE,
        comparisons=comparisons(view.records),
        records_sentence=sentence(view.records),
        top_rows=top_rows(view.records),
    )


def render_compare(view: CompareView) -> str:
    """Return a page that puts runs side by side."""
    return _page("compare.html.j2", view)


def render_bench(view: BenchView) -> str:
    """Return the page of a bench."""
    return _page("bench.html.j2", view)


def render_sweep(view: SweepView) -> str:
    """Return the page of a bench's requests side by side."""
    return _page("sweep.html.j2", view)


def _page(template: str, view: RunView | CompareView | BenchView | SweepView, **words_of_its_own: Any) -> str:
    style, style_hash = _asset("style.css")
    script, script_hash = _asset("page.js")
    return (
        _environment()
        .get_template(template)
        .render(
            view=view,
            data=_inert(view.model_dump_json()),
            style=style,
            style_hash=style_hash,
            script=script,
            script_hash=script_hash,
            **words_of_its_own,
        )
    )


def _inert(json: str) -> Markup:
    """Return JSON that no HTML parser and no old script parser can mistake for anything else."""
    return Markup(json.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


@cache
def _asset(name: str) -> tuple[Markup, str]:
    """Return a file that is inlined, and its hash for the content security policy."""
    text = (ASSETS / name).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Markup(text), f"sha256-{digest}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        differences=differences,
        reference_class=_reference_class,
        settings=settings,
        svg=svg,
        without_figures=WITHOUT_FIGURES,
        words=words,
    )
    environment.filters.update(
        digest=_short,
        facts=_facts,
        mean=words.mean,
        plural=words.plural,
        setting=_setting,
        stations=_stations,
        turns=_turns,
        value=_value,
        when=lambda moment: f"{moment.day} {moment:%B %Y, %H:%M} {moment.tzname() or ''}".strip(),
    )
    return environment


def _value(value: float | int | None, form: str = "figure") -> Markup:
    """Return a figure as it is read, with the exact value beside it for machines."""
    text = escape(FORMS[form](value))
    if value is None:
        return text
    exact = value if isinstance(value, int) else float(value)
    return Markup(f'<data value="{exact!r}">{text}</data>')


def _reference_class(reference: Reference) -> str:
    """Return the class under which reference models get their colour: blue is for retrained ones alone."""
    return {"retrained": "referenced", "surrogate": "surrogate", "none": "unreferenced"}[reference.kind]


def _short(name: str) -> Markup:
    """Shorten an id or digest in the middle for the eye; it is copied whole."""
    if len(name) <= 24:
        return Markup("<code>{}</code>").format(name)
    return Markup('<code title="{}">{}<span class="middle">{}</span>{}</code>').format(
        name, name[:12], name[12:-8], name[-8:]
    )


def _setting(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, list):
        return ", ".join(_setting(item) for item in value) or "none"
    return f"{value:g}".replace("-", "−") if isinstance(value, float) else str(value)


def _facts(method: Method) -> list[tuple[str, str]]:
    """Return a method's card in words."""
    guarantees = {"exact": "exact", "certified": "certified (ε, δ)", None: "none"}
    places = {"nowhere": "nowhere", "output": "the outputs", "retrieval": "retrieval", "adapter": "an adapter"}
    facts = [
        ("Method", f"{method.name}: {method.title}" if method.title else method.name),
        ("Source", ", ".join(filter(None, [method.source, str(method.year or "")]))),
        ("Aim", {"control": "control (a baseline)"}.get(method.aim, method.aim)),
        ("The forgetting is in", places.get(method.lives_in, "the weights")),
        ("Guarantee", guarantees[method.guarantee]),
        ("Reconstructed", method.reconstructed),
    ]
    return [(name, text) for name, text in facts if text]


@dataclass(frozen=True)
class _Turn:
    """One row of an attack's table."""

    at: float | None
    counted: bool
    unlearned: float | None
    original: float | None
    retrained: list[float]


def _turns(score: Score) -> list[_Turn]:
    """Return what an attack got out of each model, turn by turn; one row without a knob."""
    curve = score.curve
    if curve is None:
        return [_Turn(None, True, score.unlearned, score.original, score.retrained)]
    return [
        _Turn(
            turn, turn == curve.at, curve.unlearned[k], curve.original[k] if curve.original else None,
            [line[k] for line in curve.retrained],
        )
        for k, turn in enumerate(curve.turns)
    ]  # fmt: skip


def _stations(series: Series, stop: int | None) -> list[tuple[str, int, float]]:
    """Return the steps of a series that its table lists: first, lowest, highest, chosen, last."""
    points = [(step, value) for step, value in zip(series.steps, series.values, strict=True) if value is not None]
    if not points:
        return []
    out = [("first", *points[0])]
    out.append(("lowest", *min(points, key=lambda point: point[1])))
    out.append(("highest", *max(points, key=lambda point: point[1])))
    out += [("chosen", step, value) for step, value in points if step == stop]
    return [*out, ("last", *points[-1])]
