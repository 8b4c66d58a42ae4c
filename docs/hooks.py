"""Pages that are written at build time from cards, records, docstrings and commands, so that nothing drifts."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import _conformance
import _gallery
import _metric_quality
import _reference
import _removal
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from expunge import records
from expunge.card import Card
from expunge.systems import KINDS, ideas, systems

log = logging.getLogger("mkdocs.hooks.gallery")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to those in the folder, and the source files that they link to."""
    evidence, published = records.load(), _quiet(systems)
    found = {kind: _ideas(kind) for kind in KINDS}
    pages = {f"gallery/{kind}.md": _gallery.kind_page(kind, found[kind], evidence, published) for kind in KINDS}
    pages |= {"gallery/systems.md": _gallery.systems_page(published)}
    pages |= {"gallery/removal_or_suppression.md": _removal.page(found["methods"], found["attacks"], evidence)}
    pages |= {"gallery/metric_quality.md": _metric_quality.page(evidence)}
    pages |= {"gallery/conformance.md": _conformance.page()}
    pages |= {"reference.md": _reference.python_page(), "commands.md": _reference.commands_page()}
    pages |= {"formats.md": _reference.formats_page(), **_reference.schemas()}
    sources = {path: text for kind in KINDS for idea in found[kind] for path, text in [_gallery.source(idea)]}
    for path, text in (pages | sources).items():
        files.append(File.generated(config, path, content=text))
    return files


def _ideas(kind: str) -> Sequence[Any]:
    return [cls for cls in _quiet(lambda: ideas(kind)) if isinstance(getattr(cls, "card", None), Card)]


def _quiet(call: Callable[[], Any]) -> Any:
    """Turn Python warnings into build warnings, which a strict build refuses."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        result = call()
    for warning in caught:
        if issubclass(warning.category, UserWarning):
            log.warning("%s", warning.message)
    return result
