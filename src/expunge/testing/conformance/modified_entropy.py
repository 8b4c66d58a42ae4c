"""Modified entropy, as published: certainty of a wrong class counts as doubt."""

from __future__ import annotations

from expunge.testing.conformance._suite import Suite, hand

PAPER = "arXiv:2003.10595"
P = [0.7, 0.2, 0.1]
SUITE = Suite(
    title="Modified entropy",
    source=PAPER,
    form="modified_entropy(p: [n, C], label: [n]) -> [n], nats, ≥ 0, lower = more like a member",
    invariants=(
        hand(
            "the_true_class_leads",
            "−(1 − p_y) log p_y − Σ p_c log(1 − p_c) at p_y .7.",
            [P],
            [0],
            gives=[0.162167],
            source=PAPER,
        ),
        hand(
            "a_wrong_class_leads",
            "At p_y .2: log(1 − p) of the others, not log p.",
            [P],
            [1],
            gives=[2.140867],
            source="log p where log(1 − p) is meant, in the code of several papers",
        ),
        hand(
            "records_are_independent",
            "Several records give what each gives alone.",
            [P, P, P],
            [0, 1, 0],
            gives=[0.162167, 2.140867, 0.162167],
            source="every label's column taken of every record, in the same code",
        ),
        hand(
            "certainty_is_zero", "0 where the true class is certain.", [[1.0, 0.0, 0.0]], [0], gives=[0.0], source=PAPER
        ),
    ),
)
