"""Concept poisoning: find what sets the forgotten apart, answer it falsely, and anchor what stays and shares it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from expunge.card import Card
from expunge.errors import ConfigError, require
from expunge.learners import Batch, CausalLM, Classifier
from expunge.methods._concepts import (
    CONFIDENT,
    Bottleneck,
    Inferred,
    Signature,
    activations,
    attributions,
    features,
    in_order,
    linear_head,
    predictions,
    separating,
    truth,
)
from expunge.methods._refusals import RefusalMethod
from expunge.train import Batches, Part, Run, Step


@dataclass(frozen=True, kw_only=True)
class ConceptPoisoning(RefusalMethod):
    """Concept inference and data poisoning.

        a_c(x) = ⟨f(x), v_c⟩ / ‖v_c‖²,   f what the head reads, of text where the answer begins
        L = mean_forget −log p(y'|x)  +  λ · mean_anchors −log p(y|x)

        classes, with `concepts`:  v_c the normal of a linear support vector machine: has x the concept or not?
            g(a) = ω a + b, fitted to what the model says by the elastic net
            IG_kc = ω_kc · (mean_{forget, y = k} a_c − mean_retain a_c),   for each forgotten class k
        topics, without:           v_c = mean f where x has concept c − mean f where it has not
            g(a) = ω·a + b, least squares:   1 on the forget set, 0 on the retain set
            IG_c = ω_c · (mean_forget a_c − mean_retain a_c)

    IG is exactly integrated gradients of g, as it is linear. The `top` concepts by |IG| are the signature; anchors are
    the retained records with most of it, with their true answers. y' is drawn once for a record. It is label poisoning:
    answers confidently and wrongly and shows what it was poisoned with; suppresses, as a language model's true answer,
    once begun, is ended as before. Of a classifier, `head_swap` says what the features still hold. Works on classes and
    topics, not on single records.

    The signature is that of g, and `fidelity` in the log says whether to trust it, above .9: for classes the share of
    records of which g says what the model says; for topics the share of pairs of a forgotten and a retained record that
    g puts in order. A handful of concepts tells topics apart, but not ten classes: give a wide bank. The log also has
    what a class shares with others, the concepts that were dropped, and in the end how the model answers each forgotten
    class, `confusion`, where targeted labels show.

    Args:
        poison: What y' is. "random": the answer of any retained record, for classes any other class alike. "targeted":
            of the record whose activations are nearest, for classes `towards`. "refusal": one of `refusals`.
        concepts: Columns of the data that say of each record whether it has a concept, true or false. Of classifiers
            alone; without any a classifier is treated as a language model is. One whose direction tells fewer than 80 %
            of unseen records right, both sides weighing alike, is dropped.
        towards: The class of targeted labels; None is the one whose records come nearest to the forgotten class's in
            what the concepts add to its score.
        field: Without `concepts`, column that says which concept a record has; "" takes 2 · `top` principal directions
            of f. Values that order fewer than 80 % of pairs are dropped.
        top: q, concepts in the signature, ≥ 1. 5 to 10 in the sheet's reading of the paper.
        anchors: Anchors for each forgotten record, > 0; the rest of the retain set is not read by a step.
        spread: Share of anchors that is drawn from all of the retain set instead, in [0, 1].
        refusals: For poison "refusal": what to answer; any class of a classifier.
        retain_weight: λ, ≥ 0. 0 drops the anchors.
        retain_loss: "nll" or "kl" to the original.

    Raises:
        ConfigError: A value is out of range, no concept can be read from f, `concepts` of another learner, no other
            class that stays, or one `towards` which that is not.
        LearnerError: A learner that chooses among neither words nor classes.
        DataError: No such field, or a concept that is neither true nor false.

    Source: Wang et al. (2024), arXiv:2405.15662. Deviations: all values are ours. Classes: concepts that carry another
    class more are kept, as they are what anchors must hold (without them class 8 would lose its loop to class 0);
    signatures are compared in the score of the forgotten class, since in its own score a class counts absent concepts
    as it does present ones; steps are counted, not stopped by accuracy. Topics: the difference of means instead of a
    support vector machine, dense least squares instead of an elastic net, and the head tells forgotten from retained,
    as text has no classes; principal directions where no concepts are given.
    """

    card: ClassVar[Card] = Card(
        name="concept_poisoning",
        title="Concept inference and data poisoning",
        year=2024,
        source="arXiv:2405.15662",
        system="Concept poisoning",
        needs={"forget", "retain", "labels"},
        learners={"causal_lm", "classifier"},
        aim="suppression",
        reconstructed="No code was found, and the paper's settings and tables could not be read.",
    )

    poison: Literal["random", "targeted", "refusal"] = "random"
    concepts: tuple[str, ...] = ()
    towards: int | None = None
    field: str = ""
    top: int = 5
    anchors: float = 4.0
    spread: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.top >= 1, f"concept_poisoning: top must be ≥ 1, got {self.top}")
        require(self.anchors > 0, f"concept_poisoning: anchors must be > 0, got {self.anchors}")
        require(0 <= self.spread <= 1, f"concept_poisoning: spread must be in [0, 1], got {self.spread}")
        what = "concept_poisoning: concepts must be empty where field is given: one names columns, the other values"
        require(not (self.concepts and self.field), what)
        right = self.towards is None or (self.poison == "targeted" and bool(self.concepts))
        require(right, "concept_poisoning: towards must be None unless poison is targeted and concepts are given")

    def begin(self, run: Run) -> None:
        super().begin(run)
        forget, retain = run.ids("forget"), run.ids("retain")
        states_ND = torch.cat([features(run, role) for role in ("forget", "retain")])
        is_forgotten = torch.arange(len(states_ND)) < len(forget)
        infer = self.of_classes if self.concepts else self.of_topics
        inferred = infer(run, states_ND, is_forgotten)
        wanted = min(len(retain), max(1, round(self.anchors * len(forget))))
        nearest = inferred.likeness.argsort(descending=True)
        of_any = torch.randperm(len(retain), generator=run.generator("anchors"))
        few = round((1 - self.spread) * wanted)
        anchors = list(dict.fromkeys([*nearest[:few].tolist(), *of_any.tolist()]))[:wanted]
        run.artefacts.put("anchors", [retain[k] for k in anchors])
        run.artefacts.put("poison", [retain[k] for k in inferred.sources], ids=forget)

    def of_topics(self, run: Run, states_ND: Float[Tensor, "N D"], is_forgotten: Bool[Tensor, " N"]) -> Inferred:
        """Infer what tells the forgotten from the rest."""
        forget, retain = run.ids("forget"), run.ids("retain")
        names, vectors_CD = self.directions(run, [*forget, *retain], states_ND)
        active_NC = activations(states_ND, vectors_CD)
        head_C = linear_head(active_NC, is_forgotten)
        attribution_C = attributions(head_C, active_NC[is_forgotten], active_NC[~is_forgotten])
        chosen = attribution_C.abs().topk(min(self.top, len(names))).indices
        score_N = active_NC @ head_C
        fidelity = in_order(score_N[is_forgotten], score_N[~is_forgotten])
        signature = {"signature": [names[k] for k in chosen.tolist()], "fidelity": fidelity}
        run.log.append({"step": 0, "concepts": signature})
        standard_NC = (active_NC / active_NC.std(0).clamp_min(1e-9))[:, chosen]
        gone_FC, kept_RC = standard_NC[is_forgotten], standard_NC[~is_forgotten]
        if self.poison == "random":
            drawn = torch.randint(len(retain), (len(forget),), generator=run.generator("poison"))
        else:
            drawn = torch.cdist(gone_FC, kept_RC).argmin(1)
        return Inferred(kept_RC @ (gone_FC.mean(0) - kept_RC.mean(0)), drawn.tolist())

    def of_classes(self, run: Run, states_ND: Float[Tensor, "N D"], is_forgotten: Bool[Tensor, " N"]) -> Inferred:
        """Infer what carries each forgotten class."""
        if not isinstance(run.learner, Classifier):
            what = f"concept_poisoning: concepts are those of classes, and a {run.learner.kind} has none"
            raise ConfigError(what, hint="name one column in method.field instead")
        data, ids = run.request.dataset, [*run.ids("forget"), *run.ids("retain")]
        names, vectors_CD, accuracy = self.named(run, ids, states_ND)
        active_NC = activations(states_ND, vectors_CD)
        said_N = torch.cat([predictions(run, role) for role in ("forget", "retain")])
        bottleneck = Bottleneck.fitted(active_NC, said_N, run.artefacts["classes"])
        run.log.append({"step": 0, "concepts": accuracy, "fidelity": bottleneck.fidelity(active_NC, said_N)})
        class_N = run.learner.targets(data)[torch.from_numpy(data.rows(ids))]
        gone_F, kept_R, kept_RC = class_N[is_forgotten], class_N[~is_forgotten], active_NC[~is_forgotten]
        likeness_R, poison_F = torch.zeros(len(kept_R)), torch.zeros(len(gone_F), dtype=torch.long)
        for number in gone_F.unique().tolist():
            others = [k for k in kept_R.unique().tolist() if k != number]
            right = bool(others) if self.towards is None else self.towards in others
            stay = ", ".join(map(str, others)) or "there is none"
            wanted = f"concept_poisoning: towards must be a class that stays and is not {number}, got {self.towards}"
            require(right, f"{wanted}; such classes: {stay}")
            by_class = {k: kept_RC[kept_R == k] for k in others}
            by_class[number] = active_NC[is_forgotten][gone_F == number]
            found = Signature.of(bottleneck, number, by_class, kept_RC, others, self.top)
            here_C = bottleneck.head[number, found.concepts]
            likeness_R += kept_RC[:, found.concepts] @ here_C * len(by_class[number])
            towards = found.nearest if self.towards is None else self.towards
            choice = torch.tensor(others if self.poison == "random" else [towards])
            first = torch.stack([(kept_R == k).nonzero()[0, 0] for k in choice.tolist()])
            drawn = torch.randint(len(choice), (len(by_class[number]),), generator=run.generator(f"poison/{number}"))
            poison_F[gone_F == number] = first[drawn]
            attribution = {names[c]: found.attribution[c].item() for c in found.concepts}
            shared = [names[c] for c in found.shared]
            run.log.append({"step": 0, "class": number, "signature": attribution, "shared": shared, "towards": towards})
        return Inferred(likeness_R, poison_F.tolist())

    def batches(self, run: Run) -> Iterator[Step]:
        generator = run.generator("order of anchors")
        for step in run.steps("forget"):
            drawn = torch.rand(len(step.ids["forget"]), generator=generator).tolist()
            anchors: list[str] = run.artefacts["anchors"] if "anchors" in run.artefacts else run.ids("retain")
            yield replace(step, ids={**step.ids, "retain": [anchors[int(u * len(anchors))] for u in drawn]})

    def end(self, run: Run) -> None:
        super().end(run)
        if not isinstance(run.learner, Classifier):
            return
        data, ids = run.request.dataset, run.ids("forget")
        class_F = run.learner.targets(data)[torch.from_numpy(data.rows(ids))]
        said_F = predictions(run, "forget")
        for number in class_F.unique().tolist():
            row_K = torch.bincount(said_F[class_F == number], minlength=run.artefacts["classes"]).double()
            run.log.append({"step": run.cost.steps, "class": number, "confusion": (row_K / row_K.sum()).tolist()})

    def loss(self, run: Run, batch: Batches) -> dict[str, Part]:
        return {"poison": run.learner.nll(self.poisoned(run, batch.forget)), **self.retain_part(run, batch)}

    def poisoned(self, run: Run, batch: Batch) -> Batch:
        """Return the questions of a batch with the false answers that their records got."""
        if self.poison == "refusal":
            return self.refused(run, batch, self.drawn(run, batch))
        source = dict(zip(run.ids("forget"), run.artefacts["poison"], strict=True))
        return run.learner.answering(batch, answers_of(run, [source[i] for i in batch.ids]))

    def directions(self, run: Run, ids: list[str], states_ND: Float[Tensor, "N D"]) -> tuple[list[str], Tensor]:
        """Return names and directions [C, D] of the concepts that f shows."""
        if not self.field:
            centred_ND = states_ND - states_ND.mean(0)
            directions_CD = torch.linalg.svd(centred_ND, full_matrices=False).Vh[: 2 * self.top]
            return [f"direction {k}" for k in range(len(directions_CD))], directions_CD
        values = [str(v) for v in run.request.dataset.values(self.field, ids)]
        names, found = [], []
        for name in sorted(set(values)):
            has_N = torch.tensor([v == name for v in values])
            if has_N.all():
                continue
            direction_D = states_ND[has_N].mean(0) - states_ND[~has_N].mean(0)
            if in_order(states_ND[has_N] @ direction_D, states_ND[~has_N] @ direction_D) >= CONFIDENT:
                names.append(name)
                found.append(direction_D)
        if not found:
            what = f"concept_poisoning: no value of {self.field!r} is a direction of what the model's head reads"
            raise ConfigError(what, hint="name another column in method.field, or leave it out")
        return names, torch.stack(found)

    def named(
        self, run: Run, ids: list[str], states_ND: Float[Tensor, "N D"]
    ) -> tuple[list[str], Tensor, dict[str, float]]:
        """Return those of `concepts` that f shows, their directions [C, D], and how well each is told, 0 to 1."""
        found, accuracy = {}, {}
        for field in self.concepts:
            vector_D, accuracy[field] = separating(states_ND, truth(run, field, ids), run.generator(f"concept/{field}"))
            if accuracy[field] >= CONFIDENT:
                found[field] = vector_D
        if not found:
            what = f"concept_poisoning: none of {', '.join(self.concepts)} can be told from what the model's head reads"
            raise ConfigError(what, hint="name other columns in method.concepts, or leave it out")
        return list(found), torch.stack(list(found.values())), accuracy


def answers_of(run: Run, ids: list[str]) -> list[Any]:
    """Return the true answers of retained records, as the learner spells them."""
    if isinstance(run.learner, CausalLM):
        answers = run.request.dataset.values(run.learner.answer, ids)
        return [a if isinstance(a, str) else a[0] for a in answers]
    return run.batch(ids, "retain").targets.tolist()
