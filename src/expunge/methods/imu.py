"""IMU: gradient ascent on the last layers, each forgotten record weighted by its influence on the whole forget set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from expunge.card import Card
from expunge.errors import require
from expunge.learners import Batch, CausalLM, Learner, block_weights, blocks
from expunge.methods._frozen import alone, thaw
from expunge.train import Batches, Method, Part, Run, Step, Stored

AT_ONCE = 64
TINY = 1e-8  # as released: what a step divides by that has no record of any weight


@dataclass(frozen=True, kw_only=True)
class IMU(Method):
    """Influence-guided Machine Unlearning.

        g_i = ∂CE_i/∂φ,   F = mean_i g_i² + damping · mean of all entries of that,   I_i = −⟨g_i / F, mean_j g_j⟩
        w_i = √|I_i| where I_i < 0, else 0; at most their `quantile`
        L   = −Σ_i w_i CE_i / Σ_i w_i  +  l1 · ‖φ‖₁

    CE_i is the mean over a record's scored positions. φ is the attention of the last blocks of a language model, the
    last linear layer of any other. Influences are taken over the whole forget set, in closed form from what each matrix
    reads and the gradient of what it gives. Reads no retained record. Still ascent: unbounded, so stop it early; the
    gain is in what is spared at equal depth. What is below φ is left as it is: a head that says nothing hides what the
    features know. Suppresses: audit it with relearning and, on classifiers, with `head_swap` and `cka`.

    Args:
        last_blocks: Whose attention is φ in a language model, ≥ 1; at most all of them. Published 3 of 22.
        update: "influential" steps φ alone; "all" steps every weight.
        damping: Share of the mean of F that is added to F, > 0. Published as .01 in absolute terms, which is all there
            is of F where a model is certain.
        quantile: Above which weights are cut, in (0, 1]. Published .93.
        top: Share of the records with I_i < 0 that is kept, those with the largest |I_i|, in (0, 1].
        l1: ≥ 0. Published .02 on language models, where the code gives it no gradient; set by experiment on others.
        refresh_every: Passes after which the weights are computed anew, ≥ 0; 0 is once. Published once on classifiers,
            where the two differ little.

    Raises:
        ConfigError: A value is out of range.
        LearnerError: No linear layer, or none of φ that learns.

    Source: Fan et al. (2025), arXiv:2508.01620, and its released code. Deviations: logits are compared with the tokens
    that follow, where the code for language models lacks the shift; influences over the whole forget set once a pass,
    where it takes those of each batch, at twice the cost; relative damping.
    """

    card: ClassVar[Card] = Card(
        name="imu",
        title="Influence-guided Machine Unlearning",
        year=2025,
        source="arXiv:2508.01620",
        system="IMU",
        needs={"forget", "labels"},
        learners={"causal_lm", "classifier"},
        aim="suppression",
    )

    last_blocks: int = 3
    update: Literal["influential", "all"] = "influential"
    damping: float = 0.1
    quantile: float = 0.93
    top: float = 1.0
    l1: float = 0.0
    refresh_every: int = 1

    def __post_init__(self) -> None:
        require(self.last_blocks >= 1, f"imu: last_blocks must be ≥ 1, got {self.last_blocks}")
        require(self.damping > 0, f"imu: damping must be > 0, got {self.damping}")
        require(0 < self.quantile <= 1, f"imu: quantile must be in (0, 1], got {self.quantile}")
        require(0 < self.top <= 1, f"imu: top must be in (0, 1], got {self.top}")
        require(self.l1 >= 0, f"imu: l1 must be ≥ 0, got {self.l1}")
        require(self.refresh_every >= 0, f"imu: refresh_every must be ≥ 0, got {self.refresh_every}")

    def parameters(self, run: Run) -> Mapping[str, Mapping[str, nn.Parameter]]:
        chosen = self.influential(run.learner)
        what = f"the attention of the last {self.last_blocks} blocks, or of the last linear layer,"
        weights = chosen if self.update == "influential" else run.learner.trainable()
        return {"main": alone(run, weights, what)}

    def batches(self, run: Run) -> Iterator[Step]:
        started = 0

        def epoch() -> Iterator[Step]:
            nonlocal started
            due = started % self.refresh_every == 0 if self.refresh_every else started == 0
            started += 1
            for number, step in enumerate(run.one_pass("forget")):
                yield replace(step, call="weigh" if due and number == 0 else "")

        yield from run.repeated(epoch, -(-len(run.ids("forget")) // run.train.batch_size))

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        weight_B = batch.forget.stored["weight"]
        weighted_B = weight_B * run.learner.mean_log_likelihood(batch.forget)
        ascent = Part(weighted_B.sum(), max(weight_B.sum().item(), TINY))
        if not self.l1:
            return {"forget": ascent}
        size = torch.stack([p.abs().sum() for p in self.influential(run.learner).values()]).sum()
        return {"forget": ascent, "l1": Part(self.l1 * size, 1.0)}

    def end(self, run: Run) -> None:
        thaw(run)

    def influential(self, learner: Learner) -> dict[str, nn.Parameter]:
        """Return φ: those of its weights that learn, by their names in the model."""
        if isinstance(learner, CausalLM):
            count = min(self.last_blocks, len(blocks(learner)))
            return block_weights(learner, parts=("attention",), numbers=range(-count, 0))
        owner = learner.head_module()[0]
        return {n: p for n, p in learner.trainable().items() if n.rpartition(".")[0] == owner}

    def weigh(self, run: Run) -> None:
        """Compute every forgotten record's weight from where the model stands, and keep it."""
        influences = Influences.over(run, list(self.influential(run.learner)), self.damping)
        run.store("weight", role="forget", read=influences.of)
        stored = run.artefacts["weight"]
        weights_M = self.weights(stored.values)
        run.artefacts.put("weight", Stored(stored.role, stored.ids, weights_M, stored.offsets))
        run.log.append({"step": run.cost.steps, "weighted": int((weights_M > 0).sum()), "of": len(weights_M)})

    def weights(self, influence_M: Float[Tensor, " M"]) -> Float[Tensor, " M"]:
        """Return w ≥ 0 of influences I; ones where no I is below 0."""
        strength_M = (-influence_M).clamp_min(0).sqrt()
        kept = strength_M > 0
        if not kept.any():
            return torch.ones_like(strength_M)
        if self.top < 1:
            count = max(1, round(self.top * int(kept.sum())))
            strength_M = torch.where(strength_M >= strength_M.topk(count).values[-1], strength_M, 0.0)
            kept = strength_M > 0
        return strength_M.clamp_max(torch.quantile(strength_M[kept], self.quantile))


class Influences:
    """F and the mean gradient over the forget set, by matrix, and what they say of a record.

    A matrix that reads x and gives z has g_i = Σ_t δ_it x_itᵀ with δ = ∂CE/∂z; x ends on 1 where a bias is in φ.

    Args:
        learner: Whose matrices, as it is now.
        names: Of the parameters of φ.
    """

    def __init__(self, learner: Learner, names: Sequence[str]) -> None:
        self.learner = learner
        owners = dict.fromkeys(name.rpartition(".")[0] for name in names)
        biased = {name.rpartition(".")[0] for name in names if name.rpartition(".")[2] == "bias"}
        self.modules = {learner.model.get_submodule(owner): owner in biased for owner in owners}
        self.towards: list[Float[Tensor, "O I"]] = []

    @classmethod
    def over(cls, run: Run, names: Sequence[str], damping: float) -> Influences:
        """Read the forget set once."""
        found, ids = cls(run.learner, names), run.ids("forget")
        squares: list[Tensor] = []
        means: list[Tensor] = []
        examples = 0
        for start in range(0, len(ids), AT_ONCE):
            batch = run.batch(ids[start : start + AT_ONCE], "forget")
            examples += len(batch)
            for number, (x_RTI, delta_RTO) in enumerate(found.traces(batch)):
                if number == len(squares):
                    squares.append(x_RTI.new_zeros(delta_RTO.shape[-1], x_RTI.shape[-1]))
                    means.append(torch.zeros_like(squares[-1]))
                owner_R = found.owner(batch, len(x_RTI))
                for example in range(len(batch)):
                    rows_R = owner_R == example
                    gradient_OI = delta_RTO[rows_R].flatten(0, 1).T @ x_RTI[rows_R].flatten(0, 1)
                    squares[number] += gradient_OI.square()
                    means[number] += gradient_OI
        entries = sum(s.numel() for s in squares)
        damped = damping * sum(s.sum().item() for s in squares) / examples / entries
        tiny = torch.finfo(torch.float32).tiny
        found.towards = [
            (m / examples) / (s / examples + damped).clamp_min(tiny) for s, m in zip(squares, means, strict=True)
        ]
        return found

    def of(self, batch: Batch) -> Float[Tensor, " B"]:
        """Return I of each example, [B]; negative where its gradient agrees with the mean one."""
        influence_B = torch.zeros(len(batch), device=batch.owner.device)
        for (x_RTI, delta_RTO), towards_OI in zip(self.traces(batch), self.towards, strict=True):
            agree_R = ((x_RTI @ towards_OI.T) * delta_RTO).sum((1, 2))
            influence_B.index_add_(0, self.owner(batch, len(agree_R)), -agree_R.to(influence_B.dtype))
        return influence_B

    def traces(self, batch: Batch) -> list[tuple[Float[Tensor, "R T I"], Float[Tensor, "R T O"]]]:
        """Return what each matrix reads, and the gradient of each row's CE with respect to what it gives."""
        heard: dict[nn.Module, tuple[Tensor, Tensor]] = {}

        def hear(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            heard[module] = (inputs[0].detach(), output)

        hooks = [module.register_forward_hook(hear) for module in self.modules]
        self.learner.model.eval()
        try:
            with torch.enable_grad():
                loss = -self.learner.mean_log_likelihood(batch).sum()
        finally:
            for hook in hooks:
                hook.remove()
        deltas = torch.autograd.grad(loss, [heard[module][1] for module in self.modules])
        found = []
        for (module, has_bias), delta in zip(self.modules.items(), deltas, strict=True):
            x = heard[module][0]
            if has_bias:
                x = torch.cat([x, torch.ones_like(x[..., :1])], -1)
            found.append((x.view(len(x), -1, x.shape[-1]), delta.reshape(len(delta), -1, delta.shape[-1])))
        return found

    def owner(self, batch: Batch, rows: int) -> Tensor:
        """Return which example each of the model's rows belongs to, [R]; a conversation may have several."""
        if rows == len(batch):
            return torch.arange(rows, device=batch.owner.device)
        longest = batch.inputs["input_ids"].shape[1]
        owner_R = torch.zeros(rows, dtype=torch.long, device=batch.owner.device)
        owner_R[batch.places // longest] = batch.owner
        return owner_R
