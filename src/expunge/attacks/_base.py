"""The shape of an attack: it changes the model or the questions, and what it reads of each record is what came back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from expunge.card import Card
from expunge.data import Dataset
from expunge.errors import DataError, NothingToMeasure, require
from expunge.learners import CausalLM, Learner, Regressor
from expunge.metrics import RECOVERED, Block, Blocks, Want
from expunge.metrics._predictions import truth_and_prediction
from expunge.request import Resolved
from expunge.train import copied

Evidence = Literal["e2", "e3", "e4", "e5", "e6", "e7"]
Tier = Literal[0, 1, 2, 3]
FACTS = ("value", "answer")
"""Columns that hold what a record states, the shortest first."""
FEWEST_FACTS = 8
UNSEEN = "holdout"
"""Drawn like the forgotten records and seen by nobody: whatever an attack brings out of them is chance."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What an attack got out of one model.

    Args:
        ids: Record of each row [n]: the forgotten ones and, where the request has them, unseen ones of the same kind.
        values: [K, n] how much of the record's target came back at each turn of the attack's knob (steps, layers,
            shares), larger = more; a probability or a share unless the attack's `unit` says else. [n] where there is
            no knob.
        turns: [K] where the knob stood; () without one. Every model's are the same.
        parts: Further figures, never re-weighed.

    Raises:
        DataError: No rows, unequal lengths, or a value that is not finite; the record is named.
    """

    ids: list[str]
    values: np.ndarray
    turns: tuple[float, ...] = ()
    parts: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = (len(self.turns), len(self.ids)) if self.turns else (len(self.ids),)
        if not self.ids or self.values.shape != shape:
            raise DataError(f"an attack gave values {self.values.shape} where {shape} are needed")
        lost = np.flatnonzero(~np.isfinite(self.table).all(0))
        if len(lost):
            raise DataError(f"record {self.ids[lost[0]]!r} has a value that is not finite after an attack")

    @property
    def table(self) -> np.ndarray:
        """The values as [K, n] in double precision, K = 1 without a knob."""
        return np.atleast_2d(self.values).astype(np.float64)

    def mean(self, ids: Iterable[str]) -> np.ndarray:
        """Return the mean over the rows of some records, at each turn [K]."""
        wanted = set(ids)
        return self.table[:, [i in wanted for i in self.ids]].mean(1)


@dataclass(frozen=True, eq=False)
class Case:
    """What every attack of one audit is given.

    Args:
        request: What was to be forgotten, with the data.
        original: The model before, where there is one.
        ask: Puts wants to a model, guards included, and keeps the answers: (learner, wants, request) -> blocks.
        clusters: Record id to author, user or document; {} where the data name none.
        seed: Of everything drawn.
        max_new_tokens: Longest generated answer, tokens.
    """

    request: Resolved
    original: Learner | None
    ask: Callable[[Learner, Sequence[Want], Resolved], Blocks]
    clusters: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    max_new_tokens: int = 64

    @property
    def dataset(self) -> Dataset:
        """All records."""
        return self.request.dataset

    @cached_property
    def roles(self) -> list[str]:
        """The forget set and, where there is one, the unseen set that serves as placebo."""
        return [r for r in ("forget", UNSEEN) if self.request.ids.get(r)]

    @cached_property
    def ids(self) -> list[str]:
        """Records on trial: forgotten, then unseen."""
        return [i for role in self.roles for i in self.request.ids[role]]

    def cluster(self, record: str) -> str:
        """Return the author, user or document of a record, or the record itself."""
        return self.clusters.get(record, f"record {record}")

    def generator(self, *names: str) -> np.random.Generator:
        """Return the generator of that name: the same for every model, so that all are attacked alike."""
        digest = hashlib.sha256("/".join([str(self.seed), *names]).encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "big"))

    def halves(self, name: str, share: float = 0.5) -> tuple[list[str], list[str]]:
        """Split the records on trial by chance into those an attacker holds and those it is judged on.

        Records that state the same fact go together, so that what is held never tells what is judged: the fact is the
        column `value`, else the answer. Records without text, and data with fewer than eight facts, are split one by
        one.

        Args:
            name: Of the generator.
            share: Of the facts that the attacker holds, in (0, 1).

        Raises:
            NothingToMeasure: There is only one forgotten record.
        """
        require(0 < share < 1, f"attacks: share must be in (0, 1), got {share}")
        column = next((f for f in FACTS if f in self.dataset.columns), None)
        facts = [str(v) for v in self.dataset.values(column, self.ids)] if column else self.ids
        if len(set(facts)) < FEWEST_FACTS:
            facts = self.ids
        different = sorted(set(facts))
        mixed = self.generator("halves", name).permutation(len(different))
        held = {different[k] for k in mixed[: max(1, round(share * len(different)))]}
        sides = {
            side: [i for i, f in zip(self.ids, facts, strict=True) if (f in held) == side] for side in (True, False)
        }
        forgotten = set(self.request.ids["forget"])
        if not all(forgotten.intersection(side) for side in sides.values()):
            raise NothingToMeasure("the forget set cannot be split in two", hint="it needs two records or more")
        return sides[True], sides[False]

    def read(
        self,
        learner: Learner,
        *,
        dataset: Dataset | None = None,
        answer: str = "",
        kind: Literal["score", "generate"] = "score",
        ids: Sequence[str] | None = None,
    ) -> Block:
        """Ask a model about the records on trial and return all rows as one block.

        Args:
            learner: The model, guards included.
            dataset: The same records asked otherwise; None asks as the data do.
            answer: Field to score; "" is what was trained.
            kind: "score" or "generate".
            ids: Only these of the records on trial.
        """
        kept = None if ids is None else set(ids)
        of_role = {r: [i for i in self.request.ids[r] if kept is None or i in kept] for r in self.roles}
        of_role = {r: found for r, found in of_role.items() if found}
        request = replace(self.request, dataset=dataset or self.dataset, ids=of_role)
        field_name = answer or (_answer(learner) if kind == "generate" or isinstance(learner, CausalLM) else "")
        wants = [Want(role, field_name, kind) for role in of_role]
        blocks = self.ask(learner, wants, request)
        return joined([blocks[w] for w in wants])

    def probability(
        self,
        learner: Learner,
        *,
        dataset: Dataset | None = None,
        answer: str = "",
        ids: Sequence[str] | None = None,
    ) -> Outcome:
        """Return how likely the true answer of each record on trial is, exp(mean log p) over its positions, 0 to 1.

        The length-normalised probability of `probability`; of a classifier, p of the true class. A density is no
        probability: of a regressor it is `nearness`, on the same scale.
        """
        block = self.read(learner, dataset=dataset, answer=answer, ids=ids)
        if isinstance(learner, Regressor):
            return Outcome(ids=block.ids, values=nearness(block, learner.targets(self.dataset).numpy().std(axis=0)))
        return Outcome(ids=block.ids, values=np.exp(block.mean_logp()))


@dataclass(frozen=True, kw_only=True)
class Attack:
    """A change to the model or to the questions that tries to bring the forgotten back.

    Every model of an audit, the original and the retrained ones included, is attacked alike, so that what counts is
    what the attack brings back *beyond* what it gets out of a model that never knew:

        e = (attacked unlearned − attacked retrained) / (attacked original − attacked retrained)

    Attributes:
        card: What it is; `needs` lists "holdout" or "reference" where it cannot do without.
        tier: What it takes: 0 weights only, 1 inference, 2 gradients, 3 training.
        evidence: Which evidence of the verdict it brings ("e2" to "e7").
        reads_original: Whether what it gets out of a model depends on the original; if not, one outcome of a retrained
            model serves audits of all originals.
        knob: What it turns, such as "steps", "" where it turns nothing. Every turn is read against retraining; the one
            that speaks loudest counts, and the placebo allows for having tried them all.
    """

    card: ClassVar[Card]
    tier: ClassVar[Tier]
    evidence: ClassVar[Evidence]
    family: ClassVar[Literal["attack"]] = "attack"
    unit: ClassVar[str] = "probability"
    higher_is: ClassVar[str] = "more brought back"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    knob: ClassVar[str] = ""
    reads_original: ClassVar[bool] = True

    @property
    def label(self) -> str:
        """The attack with the settings that tell it from its like."""
        return self.card.name

    def wants(self) -> list[Want]:
        """Return nothing: an attack asks as it goes."""
        return []

    def lacks(self, learner: Learner, case: Case) -> str:
        """Return why it cannot be made here, in words, or ""."""
        return ""

    def limit(self, learner: Learner) -> float:
        """Return the excess over retraining above which the attack brings the knowledge back."""
        return RECOVERED

    def cost(self, case: Case) -> float:
        """Return about how many times one record on trial is read forward; a training step on it counts three."""
        return float(len(case.ids))

    def run(self, learner: Learner, case: Case) -> Outcome:
        """Attack one model and return what came back. The model is left as it is.

        Raises:
            NothingToMeasure: The request has no record that it could be judged on.
        """
        raise NotImplementedError


def bare(learner: Learner) -> Learner:
    """Return a trainable copy without guards, adapters merged: what somebody with the weights has."""
    twin = copied(learner)
    twin.guards = []
    model: Any = twin.model
    if hasattr(model, "merge_and_unload"):
        twin.model = model.merge_and_unload().requires_grad_(True)  # peft froze what is below its adapters
    return twin


def reworded(dataset: Dataset, ids: Iterable[str], **columns: Callable[[str], Any]) -> Dataset:
    """Return the records of some ids with other values in some columns, each a function of the record's id.

    Args:
        dataset: Where the records stand; all other columns stay.
        ids: Which.
        columns: Column name to what it holds for an id.
    """
    ids = list(ids)
    kept = {name: dataset.values(name, ids) for name in dataset.columns}
    return Dataset(dataset.name, ids, kept | {name: [make(i) for i in ids] for name, make in columns.items()})


def joined(blocks: Sequence[Block]) -> Block:
    """Return consecutive blocks as one; extras that all of them have are kept."""
    counts = np.concatenate([np.diff(b.offsets) for b in blocks])
    both = [name for name in blocks[0].extras if all(name in b.extras for b in blocks)]
    return Block(
        ids=[i for b in blocks for i in b.ids],
        offsets=np.concatenate([[0], counts.cumsum()]),
        **{n: np.concatenate([getattr(b, n) for b in blocks]) for n in ("logp", "hit", "mean", "var")},
        extras={n: np.concatenate([b.extras[n] for b in blocks]) for n in both},
    )


def nearness(block: Block, spread: np.ndarray) -> np.ndarray:
    """Return how near predicted numbers come to the true ones, of each row [n], 0 to 1, 1 = met.

        exp(−½ · mean_k ((y_k − μ_k) / s_k)²),   s = the standard deviation of the target over all of the data

    The density of a Gaussian over its largest value. Its width is the data's: a model that says wide noise of its own
    predictions comes no nearer by that.

    Args:
        block: A regressor's answers.
        spread: s, of each target [K] or of the only one; 1 where it is 0.

    Raises:
        DataError: The answers are no regressor's.
    """
    truth_nK, prediction_nK = truth_and_prediction("an attack", block)
    off_nK = (truth_nK - prediction_nK) / np.where(spread > 0, spread, 1)
    return np.asarray(np.exp(-np.square(off_nK).mean(axis=1) / 2))


def _answer(learner: Learner) -> str:
    return getattr(learner, "answer", "")
