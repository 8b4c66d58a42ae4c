"""Records without a label: the one line that refuses them and names the methods that need none."""

from __future__ import annotations

from collections.abc import Sequence

from expunge.data import Dataset
from expunge.errors import LearnerError
from expunge.registry import find, names


def refusal(who: str, dataset: Dataset, lacking: Sequence[str], kind: str) -> LearnerError:
    """Return the error for what reads labels that are not there.

    Args:
        who: What reads them, e.g. a method's name.
        dataset: Where the records stand.
        lacking: Ids of the records that have none.
        kind: Of learner; methods that forget on it without labels are the hint.
    """
    cards = [find("methods", name).card for name in names("methods")]
    free = [c.name for c in cards if kind in c.learners and c.aim != "control" and "labels" not in c.needs]
    return LearnerError(
        f"{who} reads labels, and {len(lacking)} record(s) of {dataset.name} have none, e.g. {lacking[0]!r}",
        hint=f"methods that read none: {', '.join(free) or 'none'}",
    )
