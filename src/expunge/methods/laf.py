"""LAF: move what the head reads of the forget set out of its own density, without a label."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from expunge.card import Card
from expunge.errors import LearnerError, require
from expunge.learners import Batch
from expunge.methods._generator import VAE, standard
from expunge.train import Batches, Method, Part, Run, Step

KL = 0.025
"""Weight of the VAEs' KL, published."""


@dataclass(frozen=True, kw_only=True)
class LAF(Method):
    """Label-Agnostic Forgetting, and LAF+R.

        r_h, r_f = ‖VAE(z) − z‖²,   z = (e − mean) / deviation, e what the head reads
        unlearn: L = mean_retain exp(r_h / (r_h + 1)) − mean_forget exp(r_f / (r_f + 1))
        align:   L = mean_retain c − log Σ_forget exp(c / τ),   c = 1 − cos(e, e_original)

    One VAE knows e of the trained records, the other of the forgotten ones; both are fitted first and then fixed. Each
    batch takes one step of each kind, with its own moments; the head stays as it is. An epoch is a pass over the retain
    set, forgotten records cycled beside; every batch counts for two of `train.steps`. Published `train.lr` 1e-5 to
    5e-5; small models need ten times as much. No label is read, so nothing says when to stop: the log has the mean c of
    the forget set (`moved`) and both mean r at the start and at the end. Costs about as much as retraining a small
    model: what is gained is freedom from labels. Features below the head may still tell the forgotten apart. Weights
    that you froze stay.

    Args:
        align_scale: lr of the align step over that of the other, `train.lr`, ≥ 0; 0 leaves it out. Published 2 to 5.
            Well below 1 what stays suffers.
        temperature: τ, > 0. Published 5 or 20. At 20 records may become ever less likely and keep their class, as no
            term knows the head: whether they do differs from seed to seed. At 5 they turn away as well.
        latent: Latent numbers of a VAE, ≥ 1. Published 8 or 16.
        vae_epochs: Passes of a VAE over its records, ≥ 1. Published 10, on larger sets. With too few r_f is so large
            from the start that its term is flat, and nothing is forgotten.
        density: What the VAE of r_h is fitted to: "trained" is retain and forget set, as released; "retain" the paper's
            text.
        decoder: "linear", or "sigmoid" with z = e, as released: it says [0, 1] of unbounded e, so that r hardly tells
            one record from another. For replication.
        sampled: Draw the VAEs' noise in unlearn steps, as released; else their mean is taken.
        repair: LAF+R: share of the retain set whose labels then teach the head alone, in [0, 1]. 0 is LAF.
        repair_epochs: Passes over that share, ≥ 1.

    Raises:
        ConfigError: A value is out of range.
        LearnerError: The learner shows no head, or nothing below it learns.

    Source: Shen et al. (2024), arXiv:2404.00506, and its released code. Deviations: linear decoder on standardised
    features; the VAEs' mean; means instead of sums over a batch; the forget set is cycled where the release stops a
    pass at the shorter set; widths of the VAEs are D, D/2, D/8, which are the published ones at D = 256; features of
    the original are stored, no second model.
    """

    card: ClassVar[Card] = Card(
        name="laf",
        title="Label-Agnostic Forgetting",
        year=2024,
        source="arXiv:2404.00506",
        system="LAF",
        needs={"forget", "retain"},
        learners={"classifier"},
        accumulates=False,
    )

    align_scale: float = 2.0
    temperature: float = 5.0
    latent: int = 8
    vae_epochs: int = 60
    density: Literal["trained", "retain"] = "trained"
    decoder: Literal["linear", "sigmoid"] = "linear"
    sampled: bool = False
    repair: float = 0.0
    repair_epochs: int = 5

    def __post_init__(self) -> None:
        require(self.align_scale >= 0, f"laf: align_scale must be ≥ 0, got {self.align_scale}")
        require(self.temperature > 0, f"laf: temperature must be > 0, got {self.temperature}")
        require(self.latent >= 1, f"laf: latent must be ≥ 1, got {self.latent}")
        require(self.vae_epochs >= 1, f"laf: vae_epochs must be ≥ 1, got {self.vae_epochs}")
        require(self.density in ("trained", "retain"), f"laf: density must be trained or retain, got {self.density!r}")
        require(self.decoder in ("linear", "sigmoid"), f"laf: decoder must be linear or sigmoid, got {self.decoder!r}")
        require(0 <= self.repair <= 1, f"laf: repair must be in [0, 1], got {self.repair}")
        require(self.repair_epochs >= 1, f"laf: repair_epochs must be ≥ 1, got {self.repair_epochs}")

    def begin(self, run: Run) -> None:
        self.parameters(run)
        known: dict[str, Tensor] = {}
        for role in ("forget", "retain"):
            run.store(f"features/{role}", role=role, read=run.learner.features)
            known[role] = run.artefacts[f"features/{role}"].values.float()
        known["trained"] = torch.cat([known["forget"], known["retain"]])
        width = known["trained"].shape[1]
        raw = (known["forget"].new_zeros(width), known["forget"].new_ones(width))
        mean_D, deviation_D = standard(known["trained"]) if self.decoder == "linear" else raw
        fitted = {"scale": {"mean": mean_D, "deviation": deviation_D}}
        for role, density in (("retain", self.density), ("forget", "forget")):
            fitted[f"vae/{role}"] = VAE.fitted(
                (known[density] - mean_D) / deviation_D,
                hidden=(max(1, width // 2), max(1, width // 8)),
                latent=self.latent,
                epochs=self.vae_epochs,
                kl=KL,
                generator=run.generator(f"vae/{role}"),
                output=self.decoder,
            ).weights
        for name, tensors in fitted.items():
            run.artefacts.put(name, tensors, ids=run.ids("forget"))
        self.report(run)

    def parameters(self, run: Run) -> Mapping[str, Mapping[str, nn.Parameter]]:
        head = run.learner.head_module()[0]
        below, of_head = dict[str, nn.Parameter](), dict[str, nn.Parameter]()
        for name, weight in run.learner.trainable().items():
            (of_head if name.startswith(f"{head}.") else below)[name] = weight
        lacking = "below the head" if not below else "of the head" if self.repair and not of_head else ""
        if lacking:
            raise LearnerError(
                f"laf: no weight {lacking} learns", hint="thaw it, or name what scores the classes: `head_layer=`"
            )
        return {"unlearn": below, "align": below, "repair": of_head if self.repair else {}}

    def batches(self, run: Run) -> Iterator[Step]:
        kinds = {"unlearn": 1.0} | ({"align": self.align_scale} if self.align_scale else {})
        beside = itertools.chain.from_iterable(run.one_pass("forget") for _ in itertools.count())

        def epoch() -> Iterator[Step]:
            for step in run.one_pass("retain"):
                ids = {**step.ids, **next(beside).ids}
                for kind in kinds:
                    yield Step(ids, phase=kind, optimiser=kind)

        length = len(kinds) * math.ceil(len(run.ids("retain")) / run.train.batch_size)
        for step in run.repeated(epoch, length):
            yield replace(step, lr_scale=step.lr_scale * kinds[step.phase])
        if self.repair:
            ids = run.ids("retain")
            order = torch.randperm(len(ids), generator=run.generator("labelled"))
            labelled = [ids[k] for k in order[: max(1, round(self.repair * len(ids)))].tolist()]
            for _ in range(self.repair_epochs):
                for step in run.one_pass("retain", only={"retain": labelled}, phase="repair"):
                    yield replace(step, optimiser="repair")

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        if batch.phase == "repair":
            return {"labelled": run.learner.nll(batch.retain)}
        if batch.phase == "align":
            away_B = self.moved(run, batch.forget) / self.temperature
            return {"retain": Part.mean(self.moved(run, batch.retain)), "forget": Part(-away_B.logsumexp(0), 1.0)}
        likely_B, unlikely_B = self.unlikeness(run, batch.retain), self.unlikeness(run, batch.forget)
        return {"retain": Part.mean(bounded(likely_B)), "forget": -Part.mean(bounded(unlikely_B))}

    def end(self, run: Run) -> None:
        self.report(run)

    def unlikeness(self, run: Run, batch: Batch) -> Float[Tensor, " B"]:
        """Return r of a batch under the VAE of its role, [B], ≥ 0."""
        scale = run.artefacts["scale"]
        z_BD = (run.learner.features(batch).float() - scale["mean"]) / scale["deviation"]
        generator = run.generator("noise") if self.sampled else None
        return VAE(run.artefacts[f"vae/{batch.role}"], self.decoder).error(z_BD, generator)

    def moved(self, run: Run, batch: Batch) -> Float[Tensor, " B"]:
        """Return c of a batch, [B], 0 to 2."""
        return 1 - cosine_similarity(run.learner.features(batch).float(), batch.stored[f"features/{batch.role}"])

    def report(self, run: Run) -> None:
        """Log the mean r of both sets and the mean c of the forget set."""
        sums = {"r_retain": 0.0, "r_forget": 0.0, "moved": 0.0}
        with run.learner.evaluating(), run.generators_untouched():
            for role in ("retain", "forget"):
                ids = run.ids(role)
                for start in range(0, len(ids), 64):
                    batch = run.batch(ids[start : start + 64], role)
                    sums[f"r_{role}"] += self.unlikeness(run, batch).sum().item() / len(ids)
                    if role == "forget":
                        sums["moved"] += self.moved(run, batch).sum().item() / len(ids)
        run.log.append({"step": run.cost.steps, **sums})


def bounded(r_B: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """Return exp(r / (r + 1)), 1 to e."""
    return (r_B / (r_B + 1)).exp()
