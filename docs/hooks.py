"""Pages that are written at build time from cards, docstrings and the list of systems, so that nothing drifts."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import expunge
from expunge.card import Card
from expunge.systems import KINDS, ideas, systems

log = logging.getLogger("mkdocs.hooks.gallery")
BLURB = {
    "methods": "What makes a model forget, or learn without forgetting.",
    "modifiers": "What changes the trainable weights, the gradients by part, or the realised step.",
    "metrics": "Figures that are read from a model's outputs.",
    "attacks": "Changes to the model or to the questions that try to bring the knowledge back.",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those in the folder."""
    pages = {f"gallery/{kind}.md": gallery(kind, _ideas(kind)) for kind in KINDS}
    pages |= {"gallery/systems.md": systems_page(), "reference.md": reference()}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def gallery(kind: str, classes: Sequence[Any]) -> str:
    """Return the page of one kind: a table of the cards, then every docstring."""
    head = [f"# {kind.capitalize()}", "", BLURB[kind], ""]
    if not classes:
        return "\n".join([*head, f"No {kind} yet."])
    titles = ("name", "title", "year", "source", "needs", "forgets on", "aim", "lives in", "guarantee")
    head += [_line(titles), _line(["---"] * len(titles)), *(_card(cls.card) for cls in classes), ""]
    return "\n".join(head + [line for cls in classes for line in (f"## {cls.card.name}", "", *_docs(cls))])


def systems_page() -> str:
    """Return the page of published systems, grouped as the index groups them."""
    found = _quiet(systems)
    works = sum(system.status == "works" for system in found)
    page = ["# Systems", "", f"{len(found)} published systems; {works} of them work here.", ""]
    page += [
        "*works*: each of its ideas has a committed passing record and none that fails. *reconstructed*: the code is",
        "here, but no public code or table could be matched. *planned*: anything else. An id with a question mark was",
        "not looked up.",
        "",
    ]
    for group in dict.fromkeys(system.group for system in found):
        page += [f"## {group}", "", _line(("system", "title", "year", "arXiv", "ideas", "status")), _line(["---"] * 6)]
        for system in (system for system in found if system.group == group):
            names = ", ".join(f"`{idea}`" for idea in system.ideas)
            arxiv = system.arxiv + ("" if system.arxiv_checked else "?")
            page.append(_line((system.name, system.title, system.year, arxiv, names, system.status)))
        page.append("")
    return "\n".join(page)


def reference() -> str:
    """Return the page of everything that `import expunge` offers."""
    page = ["# Reference", "", "What `import expunge` offers.", ""]
    for name in sorted(getattr(expunge, "__all__", ())):
        thing = getattr(expunge, name)
        page += [f"## {name}", "", *(_docs(thing) if callable(thing) else [f"`{thing!r}`", ""])]
    return "\n".join(page)


def _card(card: Card) -> str:
    name, guarantee = f"[`{card.name}`](#{card.name})", card.guarantee or "none"
    source = card.source + (f" (reconstructed: {card.reconstructed})" if card.reconstructed else "")
    needs, learners = _listed(card.needs), _listed(card.learners)
    return _line((name, card.title, card.year, source, needs, learners, card.aim, card.lives_in, guarantee))


def _docs(thing: Any) -> list[str]:
    """Signature and docstring as they stand in the code; equations keep their layout."""
    try:
        signature = f"{thing.__name__}{inspect.signature(thing)}"
    except (TypeError, ValueError):
        signature = thing.__name__
    return ["````text", signature, "", inspect.getdoc(thing) or "", "````", ""]


def _ideas(kind: str) -> list[Any]:
    return [cls for cls in _quiet(ideas, kind) if isinstance(getattr(cls, "card", None), Card)]


def _quiet(call: Any, *arguments: Any) -> Any:
    """Turn Python warnings into build warnings, which a strict build refuses."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        result = call(*arguments)
    for warning in caught:
        if issubclass(warning.category, UserWarning):
            log.warning("%s", warning.message)
    return result


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words)) or "none"


def _line(cells: Iterable[Any]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
