"""IMU on the head: the forget set alone, weighted by influence; the backbone stays."""

from __future__ import annotations

from torch import nn

from expunge.testing.conformance._common import method_suite, retain_set_is_not_read
from expunge.testing.conformance._suite import invariant
from expunge.testing.conformance._trial import Trial

PAPER = "arXiv:2508.01620"


@invariant("Only the last linear layer's weights move.", source='"fc" by substring catches layers called fc1, fc2 too')
def the_backbone_stays(trial: Trial) -> tuple[bool, str]:
    done = trial.run()
    *_, head = (name for name, module in done.given.named_modules() if isinstance(module, nn.Linear))
    after = done.after
    moved = [n for n, _ in done.given.named_parameters() if not done.before[n].equal(after[n])]
    strays = [n for n in moved if not n.startswith(f"{head}.")]
    return bool(moved) and not strays, f"moved: {', '.join(moved) or 'none'}"


SUITE = method_suite(
    "Influence-guided unlearning of the head",
    PAPER,
    the_backbone_stays,
    retain_set_is_not_read(f"{PAPER}: only the forget set"),
)
