"""SSD's variants on digits: without losses and labels, with other batches, with a sweep; each on seeds new to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from acceptance.baselines._classes import ADAM, SEEDS, cases, class_rows, random_rows, tenths
from acceptance.core import _digits
from acceptance.core._digits import Case, accuracy, every, retain_floor, shown
from expunge.data import Dataset
from expunge.methods.ssd import SSD
from expunge.records import Claim, Record
from expunge.request import Resolved
from expunge.train import Run, copied

ALPHAS = (5.0, 6.0, 8.0, 10.0, 12.0)
SHEET = {2.0: "0/20/18/.44", 10.0: "0/99.5/96/.05"}
SIZES = (16, 32, 64, 128, 256, 1300)
COLUMNS = "forget train/retain train/retain test, %, share selected"


@dataclass(frozen=True, kw_only=True)
class PublishedBatches(SSD):
    """As published: whole batches and one of what is left over, all of equal weight."""

    def importances(self, run: Run, ids: Sequence[str]) -> dict[str, Tensor]:
        sums = {n: torch.zeros_like(p) for n, p in run.learner.trainable().items()}
        chunks = [list(ids[k : k + self.batch_size]) for k in range(0, len(ids), self.batch_size)]
        for chunk in chunks:
            for name, gradient in self.mean_gradient(run, chunk).items():
                sums[name] += gradient.square() / len(chunks)
        return sums


@dataclass(frozen=True, kw_only=True)
class WholeBatches(PublishedBatches):
    """As published, and what fills no whole batch is left out, as the sheet did."""

    def importances(self, run: Run, ids: Sequence[str]) -> dict[str, Tensor]:
        return super().importances(run, ids[: len(ids) // self.batch_size * self.batch_size])


@dataclass(frozen=True, kw_only=True)
class OneSize(SSD):
    """Both sets in batches of one size: that of the forget set, cut into as few as `batch_size` allows."""

    def importances(self, run: Run, ids: Sequence[str]) -> dict[str, Tensor]:
        forget = len(run.ids("forget"))
        size = forget / -(-forget // self.batch_size)
        count = round(len(ids) / size)
        sums = {n: torch.zeros_like(p) for n, p in run.learner.trainable().items()}
        for chunk in np.array_split(np.array(ids, dtype=object), count):
            for name, gradient in self.mean_gradient(run, list(chunk)).items():
                sums[name] += gradient.square() / count
        return sums


def run() -> Record:
    claims = [*class_rows(), *loss_free_claims(), *sweep_claims(), *size_claims(), *random_rows(), *batch_claims()]
    note = (
        "Batch 128 in the data's order unless said. Loss-free: few α both forget and keep, and not those of the loss: "
        "α does not carry over. Without labels: the data had no such field. The trap of the last batch: 130 images in "
        "batches of 128 are one of 128 and one of 2, whose squared mean gradient is huge and counts as much, and a "
        "random tenth is a no-op on some seeds and wreckage on others. The method's near-equal batches, 65 for the "
        "forget set and 118 for everything, are no cure, because batches of 65 have the larger squared mean gradients "
        "too: what cures it is one size for both sets. Tried on seeds 0 to 2 after the other demands had failed; for a "
        "class it is the milder α that a batch of 64 shows, so it is no default yet."
    )
    return Record.now("ssd_variants", "classifiers", claims, n=1797, seeds=SEEDS, note=note)


def loss_free_claims() -> list[Claim]:
    """LFSSD: some threshold forgets and keeps, on every seed; the sheet's two rows; and without any label."""
    floor = retain_floor(cases(), 4)
    rows = {a: [_row(case, SSD(importance="loss_free", alpha=a)) for case in cases()] for a in (2.0, *ALPHAS)}
    works = [[a for a in ALPHAS if rows[a][k][0] <= 3 and rows[a][k][2] >= floor] for k in range(len(SEEDS))]
    blind = [_blind(case) for case in cases()]
    return [
        Claim(
            f"loss-free: α of {_listed(ALPHAS)} with forget train ≤ 3 %, retain test ≥ {floor:.1f} (4 below retrained)",
            "at least one, each seed",
            "; ".join(_listed(found) or "none" for found in works),
            all(works),
        ),
        *(
            shown(
                f"loss-free, α {a:g}: {COLUMNS}" + (f" (sheet {SHEET[a]})" if a in SHEET else ""),
                [_text(r) for r in each],
            )
            for a, each in rows.items()
        ),
        Claim(
            "loss-free, α 10: seeds of 3 on which data without a label field give other weights",
            "0",
            sum(not same for same in blind),
            all(blind),
        ),
    ]


def sweep_claims() -> list[Claim]:
    """The sweep with the loss forgets and keeps; the loss-free one is shown."""
    floor = retain_floor(cases(), 4)
    found = [_row(case, SSD(alpha="sweep")) for case in cases()]
    free = [_row(case, SSD(alpha="sweep", importance="loss_free")) for case in cases()]
    return [
        every("sweep: forget train, %", "≤ 3, each seed", [r[0] for r in found], lambda v: v <= 3),
        every(
            "sweep: retain test, %",
            f"≥ {floor:.1f}, 4 below retrained, each seed",
            [r[2] for r in found],
            lambda v: v >= floor,
        ),
        shown(f"sweep: {COLUMNS}", [_text(r) for r in found]),
        shown(f"loss-free sweep: {COLUMNS}", [_text(r) for r in free]),
    ]


def size_claims() -> list[Claim]:
    """What α 10 does depends on the batch size, which is part of the definition."""
    rows = {size: [_row(case, SSD(batch_size=size)) for case in cases()] for size in SIZES}
    spread = [
        max(rows[s][k][3] for s in SIZES) / max(1e-6, min(rows[s][k][3] for s in SIZES)) for k in range(len(SEEDS))
    ]
    return [
        every("α 10: largest share selected / smallest, over batch sizes", "≥ 2: it matters", spread, lambda v: v >= 2),
        *(shown(f"α 10, batch {size}: {COLUMNS}", [_text(r) for r in each]) for size, each in rows.items()),
    ]


def batch_claims() -> list[Claim]:
    """What batches of unlike size do to 130 random images, and which kinds of batches leave them as they are."""
    methods = {
        "published batches of 128 and 2": PublishedBatches(),
        "whole batches of 128 alone": WholeBatches(),
        "near-equal, 65 and 118": SSD(),
        "one size for both sets, 65": OneSize(),
    }
    rows = {name: [_row(case, method) for case in tenths()] for name, method in methods.items()}
    published, whole, equal, one = rows.values()
    less = [p[3] - e[3] for p, e in zip(published, equal, strict=True)]
    kept = {"whole batches": whole, "near-equal": equal, "one size": one}
    return [
        every(
            "random 10 %, α 10: share selected by published batches less by near-equal", "> 0", less, lambda v: v > 0
        ),
        *(
            every(
                f"random 10 %, α 10, {name}: retain train, %", "≥ 99: a no-op", [r[1] for r in each], lambda v: v >= 99
            )
            for name, each in kept.items()
        ),
        *(shown(f"random 10 %, α 10, {n}: {COLUMNS}", [_text(r) for r in each]) for n, each in rows.items()),
    ]


def _row(case: Case, method: SSD) -> tuple[float, float, float, float]:
    run = _digits.forget(case, method, train=ADAM)
    found = accuracy(case, run.learner)
    return found.forget, found.retain, found.test, run.log[-1]["selected"]


def _blind(case: Case) -> bool:
    """Whether data without labels lead to the very same weights."""
    method = SSD(importance="loss_free")
    columns = {name: values for name, values in case.data.columns.items() if name != "label"}
    ids = {role: case.request.ids[role] for role in ("forget", "retain")}
    request = Resolved(Dataset("digits without labels", case.data.ids, columns), ids)
    blind = Run(copied(case.original), request, method, train=ADAM, seed=case.seed).execute()
    seen = _digits.forget(case, method, train=ADAM).learner
    return all(np.array_equal(t, blind.state()[n]) for n, t in seen.state().items())


def _text(row: tuple[float, float, float, float]) -> str:
    return "/".join(f"{v:.1f}" for v in row[:3]) + f"/{row[3]:.3f}"


def _listed(alphas: Sequence[float]) -> str:
    return " ".join(f"{a:g}" for a in alphas)
