"""The divergence by which SCRUB, Bad Teacher and others follow a teacher or leave it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from expunge.testing.conformance._suite import Suite, hand, invariant

PAPER = "arXiv:2302.09880"
MEAN = "divided by the classes too, as `reduction='mean'` does, the learning rate is that much smaller"


def _logits(*p: float) -> torch.Tensor:
    return torch.tensor([[math.log(v) for v in p]])


@invariant("Eight further classes of probability 0 change nothing: classes are summed, records averaged.", source=MEAN)
def classes_are_summed(divergence: Callable[..., Any]) -> tuple[bool, str]:
    student, teacher = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    empty = torch.full((4, 8), -1e4)
    few = float(divergence(student, teacher, 1.0))
    many = float(divergence(torch.cat([student, empty], 1), torch.cat([teacher, empty], 1), 1.0))
    return abs(few - many) <= 1e-5, f"{few:.5f} with 3 classes, {many:.5f} with 11"


@invariant(
    "At temperature 4 the gradient is that of probabilities at temperature 4, times 4.", source=f"{PAPER}: T² · KL"
)
def the_temperature_squared_is_there(divergence: Callable[..., Any]) -> tuple[bool, str]:
    student, teacher = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1))
    student.requires_grad_()
    (found,) = torch.autograd.grad(divergence(student, teacher, 4.0), student)
    wanted = 4 * ((student / 4).softmax(1) - (teacher / 4).softmax(1)).detach() / len(student)
    return bool(torch.allclose(found, wanted, atol=1e-6)), f"off by at most {float((found - wanted).abs().max()):.1e}"


SUITE = Suite(
    title="Distillation loss",
    source=PAPER,
    form="divergence(student: Tensor [B, C], teacher: Tensor [B, C], temperature: float) -> Tensor [], of logits",
    invariants=(
        hand(
            "the_teacher_comes_first",
            "KL(teacher ‖ student) of (.5, .5) and (.9, .1): .5108 nats, not .3681.",
            _logits(0.9, 0.1),
            _logits(0.5, 0.5),
            1.0,
            gives=0.510826,
            source=PAPER,
        ),
        classes_are_summed,
        the_temperature_squared_is_there,
    ),
)
