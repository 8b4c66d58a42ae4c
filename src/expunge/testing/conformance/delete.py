"""DELETE: the original's own answer without the forgotten class is taught on the forget set alone."""

from __future__ import annotations

import torch

from expunge.testing.conformance._common import class_is_forgotten, method_suite, retain_set_is_not_read
from expunge.testing.conformance._suite import invariant
from expunge.testing.conformance._trial import Trial, outputs

PAPER = "arXiv:2503.23751"


@invariant(
    "On the forgotten images the model comes nearer to the original's answer without their class, as a mean KL "
    "summed over classes.",
    source=f"{PAPER}, the mask",
)
def the_masked_answer_is_followed(trial: Trial) -> tuple[bool, str]:
    x, y = trial.case.forget
    original = trial.case.network()
    target = outputs(original, x).scatter(1, y[:, None], -1e10).log_softmax(1)
    before, after = (_divergence(target, outputs(m, x).log_softmax(1)) for m in (original, trial.run().model))
    return after < before / 4, f"{before:.3g} nats before, {after:.3g} after"


def _divergence(target: torch.Tensor, log_p: torch.Tensor) -> float:
    return float(torch.nn.functional.kl_div(log_p, target, log_target=True, reduction="batchmean"))


SUITE = method_suite(
    "DELETE",
    PAPER,
    retain_set_is_not_read(f"{PAPER}: no retain data"),
    the_masked_answer_is_followed,
    class_is_forgotten(f"{PAPER}, class forgetting"),
)
