"""One rank of two: `torchrun --standalone --nproc-per-node 2 ranks.py FOLDER CASE...` writes what each rank has."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch

from expunge.card import Card
from expunge.config import TrainConfig
from expunge.registry import find
from expunge.testing import tiny
from expunge.train import Modifier, Run, _loop

SEEN: list[dict[str, dict[str, torch.Tensor]]] = []


@dataclass(frozen=True, kw_only=True)
class Recorder(Modifier):
    """Keeps the gradients by part of every step."""

    card: ClassVar[Card] = Card(name="recorder", title="Recorder", year=2026, source="a test")

    def adjust(self, run, parts):
        SEEN.append({name: {k: g.clone() for k, g in part.items()} for name, part in parts.items()})
        return parts


TRAIN = TrainConfig(epochs=2, batch_size=5, lr=0.05, optimiser="sgd", momentum=0.9, clip=1.0)
CASES = {
    "npo on a language model": ("causal_lm", "npo", (), TRAIN),
    "npo in micro-batches": ("causal_lm", "npo", (), replace(TRAIN, micro_batch_size=2)),
    "gu on a classifier": ("classifier", "grad_diff", ("gu", "recorder"), TRAIN),
    "unreduced": ("classifier", "grad_diff", ("recorder",), TRAIN),
}


def result(name: str, folder: Path | None = None) -> dict[str, object]:
    """Run one case in this process, alone or as a rank."""
    kind, method, modifiers, train = CASES[name]
    SEEN.clear()
    factory, request = tiny(kind)
    chosen = [Recorder() if m == "recorder" else find("modifiers", m)() for m in modifiers]
    train = replace(train, checkpoint_every=1) if folder else train
    run = Run(factory(), request, find("methods", method)(), modifiers=chosen, train=train, folder=folder)
    run.execute()
    losses = [{k: v for k, v in entry.items() if k in ("forget", "retain")} for entry in run.log]
    return {"state": run.learner.state(), "parts": list(SEEN), "losses": losses, "ranks": _loop.ranks()}


def agree(rank: dict[str, object], alone: dict[str, object]) -> bool:
    """Whether a rank has the weights and every gradient by part that one process alone has, to 1e-6."""
    pairs = [(rank["state"], alone["state"])]
    for theirs, ours in zip(rank["parts"], alone["parts"], strict=True):
        assert theirs.keys() == ours.keys()
        pairs += [(theirs[part], ours[part]) for part in ours]
    return all(torch.allclose(theirs[n], g, atol=1e-6, rtol=0) for theirs, ours in pairs for n, g in ours.items())


def keep_gradients_apart() -> None:
    """The defect: totals and weights are summed over ranks, gradients by part are not."""
    honest = _loop.reduced
    _loop.reduced = lambda tensor: tensor if tensor.numel() > 1 else honest(tensor)


if __name__ == "__main__":
    torch.set_num_threads(1)
    place, names = Path(sys.argv[1]), sys.argv[2:]
    assert os.environ["WORLD_SIZE"] == "2"
    for number, case in enumerate(names):
        if case == "unreduced":
            keep_gradients_apart()
        found = result(case, place / str(number))
        assert torch.distributed.get_world_size() == 2
        assert torch.distributed.get_rank() == int(os.environ["RANK"])
        torch.save(found, place / f"{case}.{torch.distributed.get_rank()}.pt")
    torch.distributed.destroy_process_group()
