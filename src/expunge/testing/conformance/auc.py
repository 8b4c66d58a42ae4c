"""Area under the ROC curve of membership scores."""

from __future__ import annotations

from expunge.testing.conformance._suite import Suite, hand

MANN_WHITNEY = "Mann-Whitney statistic"
SUITE = Suite(
    title="Area under the ROC curve",
    source=MANN_WHITNEY,
    form="auc(members: [n], others: [m]) -> float",
    invariants=(
        hand(
            "told_apart",
            "1 where every member is above every other.",
            [3.0, 4.0],
            [1.0, 2.0],
            gives=1.0,
            source=MANN_WHITNEY,
        ),
        hand(
            "the_wrong_way_round",
            "0 where every member is below, not 1.",
            [1.0, 2.0],
            [3.0, 4.0],
            gives=0.0,
            source="max(AUC, 1 − AUC) hides the sign",
        ),
        hand("ties_count_half", "½ where all are equal.", [1.0, 1.0, 1.0], [1.0, 1.0], gives=0.5, source=MANN_WHITNEY),
        hand("sets_of_unequal_size", "3½ of 6 pairs.", [0.5, 2.0, 3.0], [1.0, 2.0], gives=3.5 / 6, source=MANN_WHITNEY),
    ),
)
