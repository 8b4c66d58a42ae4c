"""Wrong labels made on purpose: some records of two classes change places, and the true label stands beside."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from expunge.errors import require


def confused(
    label_N: Int[np.ndarray, " N"], rows: Sequence[int], how: Mapping[str, Any], *, seed: int = 0
) -> Int[np.ndarray, " N"]:
    """Return labels [N] in which some records of two classes bear the other's.

    Args:
        label_N: The true labels.
        rows: Where a label may be changed: what is trained on.
        how: `{classes: [3, 8], count: 60}`: the two classes, and how many records in all, half of each, an even number.
        seed: Of the draw.

    Raises:
        ConfigError: Another key, not two different classes, or not so many records of each.
    """
    require(set(how) == {"classes", "count"}, f"confuse must be {{classes: [a, b], count: n}}, got {dict(how)}")
    classes, count = how["classes"], how["count"]
    two = isinstance(classes, (list, tuple)) and len(classes) == 2 and len(set(classes)) == 2
    require(two, f"confuse.classes must be two different classes, got {classes!r}")
    found = [[row for row in rows if label_N[row] == one] for one in classes]
    most = 2 * min(map(len, found))
    right = isinstance(count, int) and not isinstance(count, bool) and 2 <= count <= most and count % 2 == 0
    require(right, f"confuse.count must be an even number from 2 to {most}, got {count!r}")
    draw, changed = random.Random(seed), label_N.copy()
    for members, other in zip(found, reversed(classes), strict=True):
        changed[draw.sample(members, count // 2)] = other
    return changed
