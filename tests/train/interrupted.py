"""Runs that are cut down by SIGKILL at a chosen step: `python interrupted.py FOLDER` leaves one folder for each.

Each case runs in a process of its own, forked before any training, so that the imports are paid once.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from expunge.card import Card
from expunge.config import TrainConfig
from expunge.learners import Learner, Part
from expunge.registry import find
from expunge.testing import tiny
from expunge.train import Batches, Method, Run, _loop, copied


@dataclass(frozen=True, kw_only=True)
class Assisted(Method):
    """Pull the learner to what two assistants say, which are fitted in nested runs first."""

    card: ClassVar[Card] = Card(
        name="assisted", title="Assisted", year=2026, source="a test", needs={"forget", "retain"}
    )

    def begin(self, run: Run) -> None:
        for name in ("first", "second"):
            assistant = run.fit(name, find("methods", "finetune")(), learner=copied(run.learner), train=INNER)
            run.store(name, role="retain", read=assistant.log_likelihood)

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        gap_B = run.learner.log_likelihood(batch.retain) - batch.retain.stored["first"] - batch.retain.stored["second"]
        return {"gap": Part.mean(gap_B.square())}


INNER = TrainConfig(epochs=2, batch_size=4, lr=1e-2, checkpoint_every=1)


@dataclass(frozen=True)
class Cut:
    """A run, and the nested fit ("" is the run itself) and step before which it is killed."""

    kind: str
    method: Callable[[], Method]
    modifiers: tuple[str, ...] = ()
    path: str = ""
    step: int = 5

    def run(self, folder: Path | None) -> Run:
        factory, request = tiny(self.kind)
        options = {"lora": {"dropout": 0.2}}
        return Run(
            dropping(factory()),
            request,
            self.method(),
            modifiers=[find("modifiers", m)(**options.get(m, {})) for m in self.modifiers],
            train=TrainConfig(epochs=4, batch_size=3, lr=1e-2, schedule="cosine", checkpoint_every=2),
            seed=7,
            folder=folder,
        )


def dropping(learner: Learner) -> Learner:
    """Have language models drop attention weights, so that the global random generator matters."""
    for module in learner.model.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.2
    return learner


def scrub() -> Method:
    return find("methods", "scrub")(forget_batch=2, retain_batch=4, alpha=0.1)


CUTS = {
    "scrub, pushing away": Cut("classifier", scrub, step=9),
    "scrub, holding": Cut("classifier", scrub, step=13),
    "scrub on a language model": Cut("causal_lm", scrub, step=9),
    "npo": Cut("causal_lm", lambda: find("methods", "npo")(retain_loss="kl")),
    "gu with stored gradients": Cut("classifier", find("methods", "grad_diff"), ("gu",)),
    "lora": Cut("causal_lm", find("methods", "npo"), ("lora",)),
    "the second nested fit": Cut("classifier", Assisted, path="/second", step=6),
    "after nested fits": Cut("classifier", Assisted, step=4),
}


def main(folder: Path) -> None:
    import transformers.models.llama.modeling_llama  # noqa: F401  heavy imports once, before the forks

    for name, cut in CUTS.items():
        own = folder / name
        own.mkdir(parents=True)
        marker = own / "reached"
        child = os.fork()
        if not child:
            train_until(cut, own, marker)
            os._exit(1)
        while not marker.exists():
            if os.waitpid(child, os.WNOHANG) != (0, 0):
                raise SystemExit(f"{name}: ended before it was killed")
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL


def train_until(cut: Cut, folder: Path, marker: Path) -> None:
    take = _loop._take

    def stop(run, step):
        if (run.path, run.cost.steps) == (cut.path, cut.step):
            marker.touch()
            time.sleep(100)
        take(run, step)

    _loop._take = stop
    cut.run(folder).execute()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
