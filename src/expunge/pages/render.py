"""Pages from view models: one file of HTML that opens offline, asks for nothing and runs no script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from expunge.pages import svg, words
from expunge.pages.compare_view import CompareView
from expunge.pages.run_view import WITHOUT_FIGURES, Method, RunView, Series

FORMS: dict[str, Callable[[Any], str]] = {
    "figure": words.figure,
    "ratio": words.ratio,
    "duration": words.duration,
    "size": words.size,
    "percent": words.percent,
}


def render_run(view: RunView) -> str:
    """Return a run's page."""
    return _page("run.html.j2", view)


def render_compare(view: CompareView) -> str:
    """Return a page that puts runs side by side."""
    return _page("compare.html.j2", view)


def _page(template: str, view: RunView | CompareView) -> str:
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return _environment().get_template(template).render(view=view, style=Markup(style), style_hash=f"sha256-{digest}")


@cache
def _style() -> str:
    return (Path(__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(svg=svg, words=words, without_figures=WITHOUT_FIGURES)
    environment.tests["broken"] = svg.is_broken
    environment.filters.update(
        digest=_short,
        facts=_facts,
        mean=words.mean,
        plural=words.plural,
        setting=_setting,
        stations=_stations,
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
