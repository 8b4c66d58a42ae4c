"""Do nothing: the row that every method must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from expunge.card import Card
from expunge.train import Method


@dataclass(frozen=True, kw_only=True)
class DoNothing(Method):
    """Return the original unchanged. e = 1 by definition.

    Source: trivial baseline.
    """

    card: ClassVar[Card] = Card(
        name="do_nothing", title="Do nothing", year=2026, source="trivial baseline", aim="control", lives_in="nowhere"
    )
