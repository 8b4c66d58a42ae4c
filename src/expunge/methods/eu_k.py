"""EU-k: train the last k layers anew, from random weights, on what stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from expunge.card import Card
from expunge.errors import require
from expunge.methods._last_layers import BatchNorm, LastLayers, inside, within
from expunge.train import Run, derive


@dataclass(frozen=True, kw_only=True)
class EUK(LastLayers):
    """Exact unlearning of the last k layers (EU-k).

        φ ← new random weights;   L = mean_retain −log p(y|x)   over φ, the last k layers; all others keep every bit

    Layers are counted as in `cf_k`. Exact for φ given what is below: that never saw less than everything, so features
    of a forgotten class stay, and a new head that is shown the class reads it. With every layer it is retraining. Takes
    as many steps as new layers need; what is forgotten is what the retained records do not teach the new head.

    Frozen weights stay frozen, at their values. Running statistics of BatchNorm below stay unless `train.batch_norm` is
    "recompute".

    Args:
        k: Layers that are trained anew, the head included, ≥ 1. Published 1 (10 epochs at .01).
        layers: Names of the modules to train anew instead; () takes the last k.

    Raises:
        ConfigError: k is out of range, or BatchNorm in these layers and `train.batch_norm` "freeze".
        LearnerError: No head is found, no module bears a name, nothing in them learns, or a module of the model cannot
            be initialised anew.

    Source: Goel et al. (2022), arXiv:2201.06640, EU-k. Deviations: k counts blocks, where a release counts every
    convolution, norm and linear module; new weights are drawn as `retrain` draws them.
    """

    card: ClassVar[Card] = Card(
        name="eu_k",
        title="Exact unlearning of the last k layers",
        year=2022,
        source="arXiv:2201.06640",
        needs={"retain", "labels"},
        learners={"classifier"},
        aim="suppression",
    )

    def begin(self, run: Run) -> None:
        chosen = self.chosen(run.learner)
        modules = run.learner.model.named_modules()
        averaged = [n for n, m in modules if isinstance(m, BatchNorm) and within(n, chosen)]
        require(
            not averaged or run.train.batch_norm != "freeze",
            f"eu_k: the statistics of {', '.join(averaged)} would stay at mean 0 and variance 1",
            hint="set train.batch_norm=train",
        )
        start = run.start or run.learner.fresh(derive(run.seed, "initial weights"))
        anew = dict(start.model.named_parameters())
        weights = inside(run.learner, chosen)
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(anew[name])
        for name in averaged if weights else ():
            run.learner.model.get_submodule(name).reset_running_stats()  # type: ignore[operator]
