"""The gallery is written from cards and docstrings."""

import importlib.util
from pathlib import Path

import pytest

from expunge.card import Card

pytest.importorskip("mkdocs", reason="the docs extra is not installed")
SPEC = importlib.util.spec_from_file_location("docs_hooks", Path(__file__).parents[1] / "docs" / "hooks.py")
hooks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(hooks)


class Halve:
    """Halve every weight.

    θ ← θ / 2
    """

    card = Card(
        name="halve", title="a|b", year=2024, source="a test", needs={"retain", "forget"}, learners={"classifier"}
    )


def test_a_card_is_a_row_and_its_docstring_keeps_its_layout():
    page = hooks.gallery("methods", [Halve])
    row = "| [`halve`](#halve) | a\\|b | 2024 | a test | forget, retain | classifier | removal | weights | none |"
    assert row in page
    assert "## halve" in page
    assert "\nθ ← θ / 2\n" in page


def test_a_kind_without_ideas_says_so():
    assert "No methods yet." in hooks.gallery("methods", [])


def test_the_systems_page_lists_all_and_marks_ids_nobody_looked_up():
    page = hooks.systems_page()
    assert page.startswith("# Systems\n\n65 published systems;")
    assert "| 2404.00506? |" in page
