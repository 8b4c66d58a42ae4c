"""What the features beneath a head still know, for methods that change the head alone."""

from __future__ import annotations

import numpy as np
import torch

from acceptance.core._digits import Case
from expunge.learners import Learner
from expunge.methods.do_nothing import DoNothing
from expunge.metrics.cka import alignment
from expunge.train import Run, copied


def is_one(value: float) -> bool:
    """Whether an alignment is 1 to rounding."""
    return abs(value - 1) <= 1e-6


def agreement(case: Case, first: Learner, second: Learner) -> float:
    """Alignment (CKA) of what the heads of two models read, on the forgotten images."""
    features = []
    for learner in (first, second):
        with learner.evaluating():
            batch = learner.collate(case.data, case.request.ids["forget"])
            features.append(learner.features(batch).numpy().astype(np.float64))
    return float(alignment(features[0], features[1]).mean())


def under_the_old_head(case: Case, learner: Learner) -> float:
    """Accuracy on the forget set, in percent, of a model that is given the original's head."""
    twin = copied(learner)
    twin.head_module()[1].load_state_dict(case.original.head_module()[1].state_dict())
    with torch.no_grad():
        return 100 * Run(twin, case.request, DoNothing()).read("forget", "hit").mean().item()
