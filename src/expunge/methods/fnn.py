"""FNN: the neurons of a layer fade along a forgetting curve, with an epoch on what stays after each step of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from expunge.card import Card
from expunge.errors import LearnerError, require
from expunge.learners import Classifier, Learner
from expunge.train import Batches, Method, Part, Run, Step

FAINT = 0.01
"""Share of its first length below which a neuron's outgoing weights count as dead."""


@dataclass(frozen=True, kw_only=True)
class FNN(Method):
    """Forgetting neural networks, with the four kinds of forgetting layer.

        a_j(x, t) = φ_j(t) · h_j(x),   φ_j(t) = exp(−t/τ_j)                  t = 0, 1, 2, … unlearning steps
        for t = 1, 2, …:  φ ← φ(t);  stop after this t where forget accuracy ≤ `target`;
                          `every` epochs of  L = mean_retain −log p(y|x)

        rate      ranked=False: every neuron         ranked=True: the `share` of neurons that rank first, others φ = 1
        fixed     τ_j = τ                            τ_j = τ
        varying   τ_j uniform in [τ_min, τ_max]      τ_j = τ_min + (τ_max − τ_min) · place_j / (n − 1), first place 0

    φ is folded into the outgoing weights at each t, W_:j ← W_:j · φ_j(t)/φ_j(t−1), so that the net is ordinary at every
    step and gives the same answers. The optimiser sees W and not W/φ: along a faded neuron's outgoing weights the
    gradient is 1/φ_j times that of the net with the factor apart. Plain SGD hence moves what the neuron says 1/φ_j²
    times as far, Adam 1/φ_j times: faded neurons are not lost as capacity, and can grow back. What is below the layer
    is as it was but for the learning, so this suppresses: audit it with relearning and `head_swap`.

    Type 1 (fixed, not ranked) only divides all logits by one number, as far as the bias fades too, and so changes no
    prediction before the learning; a normalisation that follows cancels it altogether.

    The run is `train.epochs` epochs over the retain set, so T = `train.epochs` / `every` unless it stops before. In the
    log: at each t the forget accuracy, and how many neurons are `dead`, their outgoing weights below a hundredth of
    what they were.

    Args:
        rate: "fixed" or "varying".
        ranked: Whether only the neurons that rank first fade.
        ranking: Order by the mean of |h_j| over the forget set ("activation"), or by that less its mean over the
            retain set ("contrast"): what is active for everything should stay.
        share: r, of neurons that fade when ranked, in (0, 1]; at least one does.
        tau: τ of rate "fixed", > 0, unlearning steps.
        tau_min: Of rate "varying", > 0, unlearning steps.
        tau_max: ≥ tau_min.
        every: Epochs over the retain set at each t, ≥ 1.
        target: Forget accuracy at which it stops, 0 to 1; "chance" is 1/C; "holdout" the original's accuracy on the
            holdout set, for records drawn at random.
        layer: Name of the linear layer that READS the neurons and takes their factors; "" is the head.
        decay_bias: Let that layer's bias fade as exp(−t/τ): for type 1 alone.

    Raises:
        ConfigError: A value is out of range, or decay_bias of another type.
        LearnerError: Not a classifier, or no linear layer of that name, or one that is frozen or not used.

    Source: Hatua et al. (2024), arXiv:2410.22374; all values are ours. Deviations: layers, ranking scores and the stop
    are reconstructed from the abstracts; contrast; the factor is folded at each t instead of at the end; the bias.
    """

    card: ClassVar[Card] = Card(
        name="fnn",
        title="Forgetting neural networks",
        year=2024,
        source="arXiv:2410.22374",
        system="FNN",
        needs={"forget", "retain", "labels"},
        learners={"classifier"},
        aim="suppression",
        reconstructed="No code was found; the layers' equations are made from the abstracts of both versions.",
    )

    rate: Literal["fixed", "varying"] = "varying"
    ranked: bool = True
    ranking: Literal["contrast", "activation"] = "contrast"
    share: float = 0.2
    tau: float = 2.0
    tau_min: float = 0.5
    tau_max: float = 4.0
    every: int = 1
    target: float | Literal["chance", "holdout"] = "chance"
    layer: str = ""
    decay_bias: bool = False

    def __post_init__(self) -> None:
        require(self.rate in ("fixed", "varying"), f"fnn: rate must be fixed or varying, got {self.rate!r}")
        right = self.ranking in ("contrast", "activation")
        require(right, f"fnn: ranking must be contrast or activation, got {self.ranking!r}")
        require(0 < self.share <= 1, f"fnn: share must be in (0, 1], got {self.share}")
        require(self.tau > 0, f"fnn: tau must be > 0, got {self.tau}")
        require(self.tau_min > 0, f"fnn: tau_min must be > 0, got {self.tau_min}")
        require(self.tau_max >= self.tau_min, f"fnn: tau_max must be ≥ tau_min = {self.tau_min}, got {self.tau_max}")
        require(self.every >= 1, f"fnn: every must be ≥ 1, got {self.every}")
        right = self.target in ("chance", "holdout") or (not isinstance(self.target, str) and 0 <= self.target <= 1)
        require(right, f"fnn: target must be in [0, 1], 'chance' or 'holdout', got {self.target!r}")
        alone = self.rate == "fixed" and not self.ranked
        require(alone or not self.decay_bias, "fnn: decay_bias must be false unless rate is fixed and ranked is false")

    def begin(self, run: Run) -> None:
        if not isinstance(run.learner, Classifier):
            what = f"fnn: a {run.learner.kind} has no accuracy over classes to stop at"
            raise LearnerError(what, hint="use a classifier")
        weight_KJ = self.reader(run.learner).weight.detach()
        run.artefacts.put("lengths", weight_KJ.norm(dim=0), ids=run.ids("forget"))
        run.artefacts.put("tau", self.time_constants(run), ids=run.ids("forget"))
        run.artefacts.put("goal", self.goal(run), ids=run.ids("forget"))
        run.artefacts.put("t", 0)

    def batches(self, run: Run) -> Iterator[Step]:
        started = 0

        def epoch() -> Iterator[Step]:
            nonlocal started
            due = started % self.every == 0
            started += 1
            for number, step in enumerate(run.one_pass("retain")):
                yield replace(step, call="unlearn" if due and number == 0 else "")

        for step in run.repeated(epoch, math.ceil(len(run.ids("retain")) / run.train.batch_size)):
            if step.call and "reached" in run.artefacts:
                return
            yield step

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        return {"retain": run.learner.nll(batch.retain)}

    def unlearn(self, run: Run) -> None:
        """Go from φ(t) to φ(t + 1) and see how much of the forget set is left."""
        t, reader = run.artefacts["t"] + 1, self.reader(run.learner)
        run.artefacts.put("t", t)
        with torch.no_grad():
            reader.weight.mul_((-1 / run.artefacts["tau"]).exp())
            if self.decay_bias and reader.bias is not None:
                reader.bias.mul_(math.exp(-1 / self.tau))
            dead = int((reader.weight.norm(dim=0) < FAINT * run.artefacts["lengths"]).sum())
        left = run.read("forget", "hit").mean().item()
        if left <= run.artefacts["goal"]:
            run.artefacts.put("reached", 1)
        fading = int(run.artefacts["tau"].isfinite().sum())
        run.log.append({"step": run.cost.steps, "t": t, "accuracy_forget": left, "fading": fading, "dead": dead})

    def time_constants(self, run: Run) -> Float[Tensor, " J"]:
        """Return τ of each neuron [J], unlearning steps; infinite where it does not fade."""
        neurons = self.reader(run.learner).in_features
        if not self.ranked:
            between_J = torch.rand(neurons, generator=run.generator("tau"))
            tau_J = self.tau_min + (self.tau_max - self.tau_min) * between_J
            return (tau_J if self.rate == "varying" else torch.full((neurons,), self.tau)).to(run.learner.device)
        score_J = self.activity(run, "forget")
        if self.ranking == "contrast":
            score_J = score_J - self.activity(run, "retain")
        chosen = score_J.argsort(descending=True, stable=True)[: max(1, round(self.share * neurons))]
        place = torch.arange(len(chosen), device=score_J.device) / max(1, len(chosen) - 1)
        tau_J = torch.full_like(score_J, math.inf)
        tau_J[chosen] = self.tau if self.rate == "fixed" else self.tau_min + (self.tau_max - self.tau_min) * place
        return tau_J

    def activity(self, run: Run, role: str) -> Float[Tensor, " J"]:
        """Return the mean of |h_j| over a role's records, and over positions where the layer reads several, [J]."""
        caught: list[Tensor] = []
        hook = self.reader(run.learner).register_forward_pre_hook(lambda _module, inputs: caught.append(inputs[0]))
        ids = run.ids(role)
        try:
            with run.learner.evaluating():
                for start in range(0, len(ids), 256):
                    run.learner.logits(run.batch(ids[start : start + 256], role))
        finally:
            hook.remove()
        if not caught:
            raise LearnerError(
                f"fnn: the model never reads its layer {self.layer!r}", hint="name another in method.layer"
            )
        rows = [c.float().abs().flatten(1, -2).mean(1) if c.dim() > 2 else c.float().abs() for c in caught]
        return torch.cat(rows).mean(0)

    def goal(self, run: Run) -> float:
        """Return the forget accuracy at which to stop, 0 to 1."""
        if self.target == "holdout":
            return run.read("holdout", "hit").mean().item()
        if self.target == "chance":
            with run.learner.evaluating():
                return 1 / run.learner.logits(run.batch(run.ids("forget")[:1], "forget")).shape[1]
        return float(self.target)

    def reader(self, learner: Learner) -> nn.Linear:
        """Return the layer that reads the neurons."""
        found = dict(learner.model.named_modules()).get(self.layer) if self.layer else learner.head_module()[1]
        if not isinstance(found, nn.Linear) or not found.weight.requires_grad:
            named = ", ".join(n for n, m in learner.model.named_modules() if isinstance(m, nn.Linear))
            what = f"fnn: {self.layer or 'the head'} is no linear layer that learns"
            raise LearnerError(what, hint=f"method.layer names what reads the neurons: {named or 'there is none'}")
        return found
