"""UNSIR: impair a class with noise that the model errs on most, then repair the others; no forgotten record is read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from expunge.card import Card
from expunge.errors import LearnerError, RequestError, require
from expunge.learners import Batch, Classifier
from expunge.train import Batches, Method, Part, Run, Step

OTHERS = "use another method, such as `scrub`"


@dataclass(frozen=True, kw_only=True)
class UNSIR(Method):
    """Unlearning by selective impair and repair (UNSIR), for requests to forget whole classes.

        N_k:     maximise mean_n −log p_o(k|N_k[n]) − λ · mean_n ‖N_k[n]‖²,   one bank for each forgotten class k
        impair:  L = mean_kept (−log p(y|x) − w K log p(k|N_k[n])) / (1 + w K),   k of the K classes and n at random
        repair:  L = mean_kept −log p(y|x)

    Taught that noise as unlike class k as can be is of class k, the model loses what it knew of k, and some of all
    else, which repair brings back. Each phase takes `train.epochs` passes over the kept records (or `train.steps`),
    repair with a fresh optimiser; published one each with Adam. Of the forget set only the labels are read. What is
    left to the other classes varies from seed to seed at the published rate; at too low a rate nothing is forgotten.

    Args:
        noise: Noise inputs in a bank, ≥ 1. Published 256.
        noise_steps: Steps of Adam on them from N(0, 1), ≥ 0; 0 leaves plain noise. Published 40.
        noise_lr: Its learning rate, > 0, in units of the input. Published 0.1.
        penalty: λ, ≥ 0, nats per squared unit of input. Published 0.1.
        noise_weight: w, > 0: weight of one class's noise against a kept record. Published 20 copies of 256 to 9,000
            records, which is 0.57.
        kept: Records of each other class to show, ≥ 1; all where there are fewer. Published 1,000.
        repair_lr: Learning rate of repair as a share of that of impair, > 0. Published 0.5 (0.02 and 0.01).

    Raises:
        ConfigError: A value is out of range.
        LearnerError: No classifier, or one whose inputs are text.
        RequestError: A class that is to be forgotten is kept in part.

    Source: Tarun et al. (2021), arXiv:2111.08947, sections III and IV, and its released code. Deviations: noise bears
    the label of its own class, all 0 in the code; each kept record meets one noise input drawn at random and weighted,
    instead of 20 copies of a bank shuffled among the records.
    """

    card: ClassVar[Card] = Card(
        name="unsir",
        title="Unlearning by selective impair and repair",
        year=2021,
        source="arXiv:2111.08947",
        needs={"forget", "retain", "labels"},
        learners={"classifier"},
    )

    noise: int = 256
    noise_steps: int = 40
    noise_lr: float = 0.1
    penalty: float = 0.1
    noise_weight: float = 0.57
    kept: int = 1000
    repair_lr: float = 0.5

    def __post_init__(self) -> None:
        require(self.noise >= 1, f"unsir: noise must be ≥ 1, got {self.noise}")
        require(self.noise_steps >= 0, f"unsir: noise_steps must be ≥ 0, got {self.noise_steps}")
        require(self.noise_lr > 0, f"unsir: noise_lr must be > 0, got {self.noise_lr}")
        require(self.penalty >= 0, f"unsir: penalty must be ≥ 0, got {self.penalty}")
        require(self.noise_weight > 0, f"unsir: noise_weight must be > 0, got {self.noise_weight}")
        require(self.kept >= 1, f"unsir: kept must be ≥ 1, got {self.kept}")
        require(self.repair_lr > 0, f"unsir: repair_lr must be > 0, got {self.repair_lr}")

    def begin(self, run: Run) -> None:
        forgotten = sorted(set(labels(run, "forget")))
        if shared := sorted(set(labels(run, "retain")).intersection(forgotten)):
            what = f"unsir forgets whole classes, and records of class {shared[0]} are both to forget and to keep"
            raise RequestError(what, hint=f"forget every record of the class, or {OTHERS}")
        run.artefacts.put("classes", forgotten)
        run.artefacts.put("noise", self.learnt_noise(run, forgotten))

    def learnt_noise(self, run: Run, classes: list[int]) -> Float[Tensor, "M ..."]:
        """Return the banks of all classes one after another, [K · noise, ...]."""
        template = run.batch(run.ids("retain")[:1], "retain")
        like = next(iter(template.inputs.values()))
        if not like.is_floating_point():
            raise LearnerError("unsir: the inputs are text, and noise stands in for arrays", hint=OTHERS)
        shape = (len(classes) * self.noise, *like.shape[1:])
        noise = torch.randn(shape, generator=run.generator("noise")).to(like).requires_grad_()
        optimiser = torch.optim.Adam([noise], lr=self.noise_lr)
        run.learner.model.eval()
        for _ in range(self.noise_steps):
            error = run.learner.nll(labelled(template, noise, self.owners(classes, noise.device))).total
            noise.grad = torch.autograd.grad(self.penalty * noise.square().sum() - error, noise)[0]
            optimiser.step()
        return noise.detach()

    def owners(self, classes: list[int], device: torch.device) -> Tensor:
        """Return the class of each noise input, [K · noise]."""
        return torch.tensor(classes, device=device).repeat_interleave(self.noise)

    def parameters(self, run: Run) -> dict[str, dict[str, torch.nn.Parameter]]:
        return {"main": run.learner.trainable(), "repair": run.learner.trainable()}

    def batches(self, run: Run) -> Iterator[Step]:
        shown = self.shown(run)
        length = math.ceil(len(shown) / run.train.batch_size)
        for phase, optimiser, scale in (("impair", "main", 1.0), ("repair", "repair", self.repair_lr)):
            epoch = partial(run.one_pass, "retain", only={"retain": shown}, phase=phase)
            for step in run.repeated(epoch, length):
                yield replace(step, optimiser=optimiser, lr_scale=step.lr_scale * scale)

    def shown(self, run: Run) -> list[str]:
        """Return the kept records that are shown: at most `kept` of each class, drawn once."""
        ids = run.ids("retain")
        order = torch.randperm(len(ids), generator=run.generator("kept")).tolist()
        label = labels(run, "retain")
        met: dict[int, int] = {}
        chosen = []
        for place in order:
            met[label[place]] = met.get(label[place], 0) + 1
            if met[label[place]] <= self.kept:
                chosen.append(ids[place])
        return chosen

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        kept = run.learner.nll(batch.retain)
        if batch.phase == "repair":
            return {"retain": kept}
        bank, classes = run.artefacts["noise"].to(batch.retain.targets.device), run.artefacts["classes"]
        drawn_B = run.draw(f"noise/{run.cost.steps}", batch.retain, len(bank), per="example")
        noisy = labelled(batch.retain, bank[drawn_B], self.owners(classes, bank.device)[drawn_B])
        weight = self.noise_weight * len(classes)
        whole = kept.weight * (1 + weight)
        return {"retain": Part(kept.total, whole), "noise": Part(run.learner.nll(noisy).total * weight, whole)}


def labels(run: Run, role: str) -> list[int]:
    """Return the class of each record of a role. Raises LearnerError where there are none."""
    if not isinstance(run.learner, Classifier):
        raise LearnerError(f"unsir: a {run.learner.kind} has no classes", hint="use a classifier")
    rows = torch.from_numpy(run.request.dataset.rows(run.ids(role)))
    return run.learner.targets(run.request.dataset)[rows].tolist()


def labelled(like: Batch, inputs: Tensor, classes: Tensor) -> Batch:
    """Return other inputs as a batch of given classes, read as `like` is."""
    places = torch.arange(len(inputs), device=inputs.device)
    return replace(
        like,
        ids=[like.ids[0]] * len(inputs),
        inputs=dict.fromkeys(like.inputs, inputs),
        targets=classes,
        owner=places,
        places=places,
        stored={},
    )
