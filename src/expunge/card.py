"""What an idea says of itself: the card from which tables, checks, docs and tests are derived."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Aim = Literal["removal", "suppression", "control"]
Place = Literal["weights", "adapter", "retrieval", "output", "nowhere"]
Need = Literal["forget", "retain", "labels", "reference", "holdout", "recipe", "target"]


@dataclass(frozen=True, kw_only=True)
class Card:
    """Facts about one published idea, read by the command line, the docs, the engine and the contract tests.

    Args:
        name: The word by which users call it; equal to its module's name.
        title: Its full name.
        year: Of first publication.
        source: arXiv id, DOI or a sentence.
        system: Name of the published system it belongs to, as `expunge ls systems` spells it, or "".
        needs: Which sets and extras it cannot work without.
        learners: Kinds of learner on which a *forgetting* test passed. It may run on others, with a warning.
        aim: "removal" changes what the model knows, "suppression" what it says, "control" is a baseline row.
        lives_in: Where the forgetting is: unplug that and it is undone.
        guarantee: "exact", "certified", or None.
        accumulates: Whether gradients of micro-batches add up to the gradient of the batch. False couples the batch.
        reconstructed: Why no public code or table could be matched, or "".
    """

    name: str
    title: str
    year: int
    source: str
    system: str = ""
    needs: frozenset[Need] | set[Need] = frozenset()
    learners: frozenset[str] | set[str] = frozenset()
    aim: Aim = "removal"
    lives_in: Place = "weights"
    guarantee: Literal["exact", "certified"] | None = None
    accumulates: bool = True
    reconstructed: str = ""
