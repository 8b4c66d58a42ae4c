"""Multi-GAN: fine-tune on look-alikes, those of the forget set under inverted labels, beside the real records."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from expunge.card import Card
from expunge.errors import LearnerError, require
from expunge.learners import Batch, Classifier
from expunge.methods._generator import GAN, VAE, standard
from expunge.train import Batches, Method, Part, Run, Step, Stored

INVERSIONS = ("next", "random", "least_likely", "second")
KL = 1.0
"""Weight of the VAE's KL: what is drawn must lie where records do."""
AT_ONCE = 512
TRIES = 20
"""Rounds of look-alikes drawn, each as many as are wanted, before those that passed are used again."""


@dataclass(frozen=True, kw_only=True)
class MultiGAN(Method):
    """Unlearning with two generators, of what stays and of what goes.

        L = mean −log p(y'|x)   over R ∪ S_r ∪ F ∪ S_f
        y' = y on R,   argmax p_o(·|x) on S_r,   inv(y) on F,   inv(argmax p_o(·|x)) on S_f

    R and F are the retain and the forget set, S_r and S_f as many look-alikes of each, made once by a generator that
    saw only its own set. S_r keeps what the original classifies with confidence and not as a class that goes; a class
    goes when the retain set has none of it. An epoch is a pass over all records, each with its look-alike. Both
    generators are gone before the first step, since one of what goes is a model of it and remembers records; the log
    says so. It has the share of S_f that the original takes for classes of the forget set, and of draws that S_r took.

    For classes and sub-classes. Random records a retrained model still classifies rightly, and inverted labels are
    wrong for them; from the records alone that cannot be told and is not refused: `classes_gone` is then empty in the
    log. Teaches sure wrong answers, where a retrained model spreads its mass: a membership attack may see whom it was
    taught on. A generator costs more than retraining a small model does. Weights that you froze stay.

    Args:
        generator: "vae", which stands in for a GAN on small sets; "gan", of perceptrons, which collapses below some
            hundreds of records.
        inversion: inv: "random", uniform over the other classes, drawn once a record; "next", (y + 1) mod C;
            "least_likely" and "second": of the original's, the least and the most likely class that is not y.
        real_retain: Learn R too. False leaves look-alikes to hold what stays.
        real_forget: Learn F too.
        synthetic_retain: Learn S_r.
        synthetic_forget: Learn S_f. False forgets the stored records and less of what is like them.
        confidence: Least p_o of the label of a record of S_r, in [0, 1).
        latent: Latent numbers of a generator, ≥ 1.
        hidden: Widths of a generator's hidden layers.
        generator_epochs: Passes of a generator over its records, ≥ 1.

    Raises:
        ConfigError: A value is out of range, or nothing is left to learn of what stays or of what goes.
        LearnerError: Not a classifier, inputs that are no numbers, or a retain generator of which nothing passes.

    Source: arXiv:2407.18467, abstract; all values are ours. Deviations: perceptrons, for images and vectors alike; a
    VAE by default; every look-alike goes with one record, so that their numbers are those of the sets.
    """

    card: ClassVar[Card] = Card(
        name="multi_gan",
        title="Machine unlearning with a multi-GAN model",
        year=2024,
        source="arXiv:2407.18467",
        system="Multi-GAN",
        needs={"forget", "retain", "labels"},
        learners={"classifier"},
        reconstructed="No code was found, and the paper's settings and tables could not be read.",
    )

    generator: Literal["vae", "gan"] = "vae"
    inversion: Literal["next", "random", "least_likely", "second"] = "random"
    real_retain: bool = True
    real_forget: bool = True
    synthetic_retain: bool = True
    synthetic_forget: bool = True
    confidence: float = 0.9
    latent: int = 16
    hidden: tuple[int, ...] = (64,)
    generator_epochs: int = 60

    def __post_init__(self) -> None:
        require(self.generator in ("vae", "gan"), f"multi_gan: generator must be vae or gan, got {self.generator!r}")
        what = f"multi_gan: inversion must be one of {', '.join(INVERSIONS)}, got {self.inversion!r}"
        require(self.inversion in INVERSIONS, what)
        for side in ("retain", "forget"):
            learnt = getattr(self, f"real_{side}") or getattr(self, f"synthetic_{side}")
            require(learnt, f"multi_gan: one of real_{side} and synthetic_{side} must be true")
        require(0 <= self.confidence < 1, f"multi_gan: confidence must be in [0, 1), got {self.confidence}")
        require(self.latent >= 1, f"multi_gan: latent must be ≥ 1, got {self.latent}")
        require(min(self.hidden, default=1) >= 1, f"multi_gan: widths of hidden must be ≥ 1, got {self.hidden}")
        require(self.generator_epochs >= 1, f"multi_gan: generator_epochs must be ≥ 1, got {self.generator_epochs}")

    def begin(self, run: Run) -> None:
        inputs = {role: inputs_of(run, role) for role in ("forget", "retain")}
        classes = {
            role: set(run.learner.collate(run.request.dataset, run.ids(role)).targets.tolist()) for role in inputs
        }
        gone = classes["forget"] - classes["retain"]
        figures: dict[str, Any] = {"classes_gone": sorted(gone), "inversion": self.inversion, "seed": run.seed}
        with run.learner.evaluating():
            run.store(
                "label/forget", role="forget", read=lambda b: self.inverted(run, b, run.learner.logits(b), b.targets)
            )
            if self.synthetic_forget:
                figures["taken_for_forgotten"] = self.make_forget(run, inputs["forget"], classes["forget"])
            if self.synthetic_retain:
                figures["passed"] = self.make_retain(run, inputs["retain"], gone)
        run.log.append({"step": 0, **figures, "generators": "destroyed"})

    def batches(self, run: Run) -> Iterator[Step]:
        records = len(run.ids("forget")) + len(run.ids("retain"))
        yield from run.repeated(lambda: run.one_pass("forget", "retain"), math.ceil(records / run.train.batch_size))

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        parts = {}
        for role in ("forget", "retain"):
            if role not in batch:
                continue
            real: Batch = getattr(batch, role)
            if getattr(self, f"real_{role}"):
                label_B = real.stored["label/forget"] if role == "forget" else real.targets
                parts[role] = run.learner.nll(replace(real, targets=label_B))
            if getattr(self, f"synthetic_{role}"):
                made = replace(
                    with_inputs(real, real.stored[f"made/{role}"]), targets=real.stored[f"made label/{role}"]
                )
                parts[f"made {role}"] = run.learner.nll(made)
        return Part.pooled(parts)

    def make_forget(self, run: Run, inputs_NX: Float[Tensor, "N ..."], classes: set[int]) -> float:
        """Keep S_f and its labels; return the share that the original takes for classes of the forget set."""
        made_NX = next(self.look_alikes(run, inputs_NX, "forget"))
        logits_NV = asked(run, "forget", made_NX)
        label_N = logits_NV.argmax(1)
        whole = run.batch(run.ids("forget"), "forget")
        keep(run, "made/forget", made_NX)
        keep(run, "made label/forget", self.inverted(run, whole, logits_NV, label_N, "made"))
        return sum(int(label in classes) for label in label_N.tolist()) / len(label_N)

    def make_retain(self, run: Run, inputs_NX: Float[Tensor, "N ..."], gone: set[int]) -> float:
        """Keep S_r and its labels; return the share of draws that passed.

        Raises:
            LearnerError: None did.
        """
        passed: list[Tensor] = []
        labels: list[Tensor] = []
        drawn = found = 0
        for made_NX in itertools.islice(self.look_alikes(run, inputs_NX, "retain"), TRIES):
            surest_N, label_N = asked(run, "retain", made_NX).softmax(-1).max(1)
            kept_N = (surest_N >= self.confidence) & ~torch.isin(
                label_N, torch.tensor(sorted(gone), device=label_N.device)
            )
            passed.append(made_NX[kept_N])
            labels.append(label_N[kept_N])
            drawn, found = drawn + len(made_NX), found + int(kept_N.sum())
            if found >= len(inputs_NX):
                break
        if not found:
            what = f"multi_gan: of {drawn} look-alikes of the retain set the model is sure of none"
            raise LearnerError(what, hint="lower method.confidence, raise method.generator_epochs")
        again_N = torch.arange(len(inputs_NX), device=inputs_NX.device) % found
        keep(run, "made/retain", torch.cat(passed)[again_N])
        keep(run, "made label/retain", torch.cat(labels)[again_N])
        return found / drawn

    def look_alikes(self, run: Run, inputs_NX: Float[Tensor, "N ..."], role: str) -> Iterator[Tensor]:
        """Fit a generator to inputs and yield as many new ones, [N, ...], again and again, within their range."""
        x_ND, random = inputs_NX.flatten(1), run.generator(f"generator/{role}")
        mean_D, deviation_D = standard(x_ND)
        options: dict[str, Any] = {"hidden": self.hidden, "latent": self.latent, "epochs": self.generator_epochs}
        z_ND = (x_ND - mean_D) / deviation_D
        fitted = (
            VAE.fitted(z_ND, kl=KL, generator=random, **options)
            if self.generator == "vae"
            else GAN.fitted(z_ND, generator=random, **options)
        )
        while True:
            made_ND = fitted.sample(len(x_ND), random) * deviation_D + mean_D
            yield made_ND.clamp(x_ND.min(), x_ND.max()).view_as(inputs_NX)

    def inverted(
        self,
        run: Run,
        batch: Batch,
        logits_BV: Float[Tensor, "B V"],
        label_B: Int[Tensor, " B"],
        what: str = "real",
    ) -> Int[Tensor, " B"]:
        """Return inv of labels of a batch, [B]; logits are the original's."""
        classes = logits_BV.shape[1]
        if self.inversion == "least_likely":
            others_BV = logits_BV.scatter(1, label_B[:, None], math.inf)
            return others_BV.argmin(1)
        if self.inversion == "second":
            others_BV = logits_BV.scatter(1, label_B[:, None], -math.inf)
            return others_BV.argmax(1)
        if self.inversion == "next":
            return (label_B + 1) % classes
        return (label_B + 1 + run.draw(f"inversion/{what}", batch, classes - 1, per="example")) % classes


def inputs_of(run: Run, role: str) -> Float[Tensor, "N ..."]:
    """Return the inputs of a role. Raises LearnerError for a learner or inputs of which no look-alike can be made."""
    if not isinstance(run.learner, Classifier):
        raise LearnerError(f"multi_gan: a {run.learner.kind} predicts no class", hint="use a classifier")
    inputs = run.batch(run.ids(role), role).inputs
    only = next(iter(inputs.values()))
    if len(inputs) > 1 or not only.is_floating_point():
        what = f"multi_gan: look-alikes of {', '.join(inputs)} cannot be made"
        raise LearnerError(what, hint="give images or vectors of numbers; for texts take random_labels")
    return only


def with_inputs(batch: Batch, inputs_BX: Float[Tensor, "B ..."]) -> Batch:
    """Return a batch with other inputs."""
    return replace(batch, inputs=dict.fromkeys(batch.inputs, inputs_BX))


def asked(run: Run, role: str, inputs_NX: Float[Tensor, "N ..."]) -> Float[Tensor, "N V"]:
    """Return the model's logits of inputs in place of a role's, [N, V]."""
    ids = run.ids(role)
    chunks = (slice(start, start + AT_ONCE) for start in range(0, len(ids), AT_ONCE))
    return torch.cat([run.learner.logits(with_inputs(run.batch(ids[c], role), inputs_NX[c])) for c in chunks])


def keep(run: Run, name: str, values_NX: Tensor) -> None:
    """Hand rows, one a record of the role that ends the name, to its batches."""
    role = name.partition("/")[2]
    run.artefacts.put(name, Stored(role, run.ids(role), values_NX, torch.arange(len(values_NX) + 1)))
