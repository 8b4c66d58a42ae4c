"""A run: one method on one learner for one request, with everything that it may ask of the engine."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import itertools
import math
import resource
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from expunge.config import TrainConfig
from expunge.errors import BuriedError, ConfigError, LearnerError, UntestedLearnerWarning
from expunge.learners import Batch, Learner
from expunge.learners._unlabelled import refusal
from expunge.request import Resolved
from expunge.train import _checkpoint, _loop
from expunge.train._artefacts import Artefacts, Stored
from expunge.train._method import Method, Modifier
from expunge.train._part import Step


@dataclass(frozen=True)
class Watch:
    """Something measured while a run goes on; the weights and every random generator are left as they were.

    Args:
        every: Steps between readings; one is taken before the first step.
        read: Run to named figures.
        until: Figures to whether the run should stop here.
    """

    every: int
    read: Callable[[Run], dict[str, float]]
    until: Callable[[dict[str, float]], bool] = lambda figures: False


@dataclass
class Cost:
    """What a run took: CPU and wall seconds, peak memory of the process in bytes, optimiser steps."""

    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_bytes: int = 0
    steps: int = 0


@dataclass(eq=False)
class Run:
    """What a method speaks to: data by role, stored references, snapshots, generators, nested fits.

    Args:
        learner: The model; it is changed in place. Pass a copy to keep the original.
        request: Whose roles are read.
        method: What to do.
        modifiers: Applied in order.
        train: How to step.
        seed: From which every random generator of the run is seeded.
        folder: Where checkpoints and finished nested fits are kept; None keeps nothing and cannot resume.
        start: What the original was trained from, for methods that train anew; None is new random weights.
        watch: Something to measure on the way.
        progress: Called with the number of steps done.
        path: Names of the nested fits around this one.
    """

    learner: Learner
    request: Resolved
    method: Method
    modifiers: Sequence[Modifier] = ()
    train: TrainConfig = field(default_factory=TrainConfig)
    seed: int = 0
    folder: Path | None = None
    start: Learner | None = None
    watch: Watch | None = None
    progress: Callable[[int], None] = lambda step: None
    path: str = ""

    def __post_init__(self) -> None:
        self.artefacts = Artefacts()
        self.snapshots: dict[str, dict[str, Tensor]] = {}
        self.log: list[dict[str, Any]] = []
        self.cost = Cost()
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        self.condemned: set[str] = set(self.request.ids.get("forget", ()))
        self.buried: set[str] = set()
        self.purged: list[str] = []
        self._generators: dict[str, torch.Generator] = {}
        self._teacher: Learner | None = None
        self._untrained: Learner | None = None
        self._reference_head: Callable[[Tensor], Tensor] | None = None

    # Data ----------------------------------------------------------------------------------------------------------

    def ids(self, role: str) -> list[str]:
        """Return the ids of a role. Raises ConfigError when the request has none."""
        ids = self.request.ids.get(role, [])
        if not ids:
            raise ConfigError(
                f"{self.method.card.name} needs {role} records and the request has none", hint=f"give `{role}=`"
            )
        return ids

    def batch(self, ids: Sequence[str], role: str) -> Batch:
        """Read records, with the rows stored for them.

        Raises:
            BuriedError: A record that was forgotten, or one that is being forgotten in any role but "forget".
        """
        if self.buried and (gone := self.buried.intersection(ids)):
            raise BuriedError(f"record {min(gone)!r} was forgotten and cannot be read again")
        if role != "forget" and (gone := self.condemned.intersection(ids)):
            raise BuriedError(f"record {min(gone)!r} is being forgotten and cannot be read in role {role!r}")
        batch = self.learner.collate(self.request.dataset, ids, role).to(self.learner.device)
        for name, stored in self.artefacts.stored(role).items():
            batch.stored[name] = stored.gather(ids)
        return batch

    def steps(
        self, anchor: str, *others: str, phase: str = "", epochs: float | None = None, batch_size: int | None = None
    ) -> Iterator[Step]:
        """Yield steps over shuffled passes of one role, with as many random records of the others beside.

        Other roles are drawn without replacement, shuffled anew when they run out. The learning rate follows the
        run's schedule over these steps.
        """
        size = batch_size or self.train.batch_size
        streams = {role: self._endless(role, phase) for role in others}

        def epoch() -> Iterator[Step]:
            for step in self.one_pass(anchor, batch_size=size, phase=phase):
                beside = {role: [next(stream) for _ in step.ids[anchor]] for role, stream in streams.items()}
                yield replace(step, ids={**step.ids, **beside})

        yield from self.repeated(epoch, math.ceil(len(self.ids(anchor)) / size), epochs=epochs)

    def repeated(
        self, epoch: Callable[[], Iterator[Step]], length: int, *, epochs: float | None = None
    ) -> Iterator[Step]:
        """Yield one epoch of `length` steps after another, as many as the run takes, with its schedule."""
        total = self.train.steps or max(1, round((epochs or self.train.epochs) * length))
        steps = itertools.chain.from_iterable(epoch() for _ in itertools.count())
        for number, step in enumerate(itertools.islice(steps, total)):
            yield replace(step, lr_scale=_loop.schedule(self.train, number, total))

    def one_pass(
        self,
        *roles: str,
        only: Mapping[str, Sequence[str]] = MappingProxyType({}),
        batch_size: int | None = None,
        phase: str = "",
        lr_scale: float = 1.0,
    ) -> Iterator[Step]:
        """Yield the steps of one shuffled pass over a role, or over the union of several: a batch then mixes them.

        `only` names the records of a role to take instead of all.
        """
        size = batch_size or self.train.batch_size
        role_of = {i: role for role in roles for i in only.get(role, self.ids(role))}
        order = self._shuffled(list(role_of), f"order/{phase}/{'+'.join(roles)}")
        for start in range(0, len(order), size):
            chunk = order[start : start + size]
            ids = {role: [i for i in chunk if role_of[i] == role] for role in roles}
            yield Step({role: found for role, found in ids.items() if found}, phase=phase, lr_scale=lr_scale)

    def draw(self, name: str, batch: Batch, below: int, *, per: Literal["example", "position"]) -> Int[Tensor, " _"]:
        """Return a random whole number in [0, below) for each example [B] or scored position [N] of a batch.

        It depends on the run's seed, the name and the record only, so that neither a split of the step nor a resumed
        run draws another. A name that tells the step draws anew at each.
        """
        counts = batch.positions().tolist() if per == "position" else [1] * len(batch)
        drawn = []
        for row, count in zip(batch.dataset.rows(batch.ids).tolist(), counts, strict=True):
            generator = torch.Generator().manual_seed(derive(self.seed, f"{self.path}/{name}/{row}"))
            drawn.append(torch.randint(below, (count,), generator=generator))
        return torch.cat(drawn).to(batch.targets.device)

    def generator(self, name: str) -> torch.Generator:
        """Return the named random generator of this run, seeded from the run's seed and the name."""
        if name not in self._generators:
            self._generators[name] = torch.Generator().manual_seed(derive(self.seed, f"{self.path}/{name}"))
        return self._generators[name]

    @contextlib.contextmanager
    def generators_untouched(self) -> Iterator[None]:
        """Put every random generator, the global one too, back to where it was before the block."""
        before = {n: g.get_state() for n, g in self._generators.items()}
        with torch.random.fork_rng(devices=[]):
            yield
        self._generators = {n: g for n, g in self._generators.items() if n in before}
        for name, state in before.items():
            self._generators[name].set_state(state)

    # References ----------------------------------------------------------------------------------------------------

    def store(self, name: str, *, role: str, read: Callable[[Batch], Tensor]) -> None:
        """Read numbers of every record of a role once, and hand them to its batches as `batch.stored[name]`.

        `read` returns one row an example, [B, ...], or one a scored position, [N, ...].
        """
        ids, values, lengths = self.ids(role), [], []
        size = min(64, self.train.micro_batch_size or self.train.batch_size)  # no more memory than a step
        with self.learner.evaluating():
            for start in range(0, len(ids), size):
                batch = self.batch(ids[start : start + size], role)
                place = {i: n for n, i in enumerate(ids[start : start + size])}
                rows = read(batch)
                values.append(rows)
                counts = (
                    batch.positions().cpu() if len(rows) != len(batch) else torch.ones(len(batch), dtype=torch.long)
                )
                record_B = torch.tensor([place[i] for i in batch.ids])
                lengths.append(
                    torch.zeros(len(ids[start : start + size]), dtype=torch.long).index_add(0, record_B, counts)
                )
        offsets = torch.cat([torch.zeros(1, dtype=torch.long), torch.cat(lengths).cumsum(0)])
        self.artefacts.put(name, Stored(role, list(ids), torch.cat(values), offsets))

    def store_distribution(self, role: str) -> None:
        """Keep what the model says now about every record of a role: last states and the head; no second model."""
        self.store(f"reference_states/{role}", role=role, read=self.learner.states)
        self._keep_head()

    def reference_logits(self, batch: Batch) -> Float[Tensor, "N V"]:
        """Return the logits of the model as it was when `store_distribution` was called in `begin`, [N, V]."""
        assert self._reference_head is not None, "call store_distribution in begin"
        with torch.no_grad():
            return self._reference_head(batch.stored[f"reference_states/{batch.role}"]).float()

    def _keep_head(self) -> None:
        if self._reference_head is None:
            self._reference_head = self.learner.frozen_head()
            self.artefacts.put("reference_head", 1)

    def teacher(self) -> Learner:
        """Return a frozen copy of the model as it was when the run began; ask for it in `begin`."""
        if self._teacher is None:
            self._teacher = self.learner.frozen_copy()
            self.artefacts.put("teacher", 1)
        return self._teacher

    def untrained(self) -> Learner:
        """Return the same architecture with new random weights, frozen; one and the same in a run, resumed or not."""
        if self._untrained is None:
            self._untrained = self.learner.fresh(derive(self.seed, f"{self.path}/untrained"))
            self._untrained.model.to(self.learner.device).eval().requires_grad_(False)
        return self._untrained

    def snapshot(self, name: str) -> None:
        """Keep a copy of the weights under a name."""
        self.snapshots[name] = self.learner.state()

    def restore(self, name: str) -> None:
        """Put the weights of a snapshot back, bit for bit."""
        self.learner.load_state(self.snapshots[name])

    def gradient_of(self, role: str, ids: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Return the gradient of the mean negative log-likelihood over records of a role, in evaluation mode."""
        chosen = self.ids(role) if ids is None else ids
        sums: dict[str, Tensor] = {}
        weight = 0.0
        self.learner.model.eval()
        for start in range(0, len(chosen), 64):
            part = self.learner.nll(self.batch(chosen[start : start + 64], role))
            weight += part.weight
            for name, gradient in self.learner.gradient(part.total).items():
                sums[name] = sums[name] + gradient if name in sums else gradient
        return {name: gradient / weight for name, gradient in sums.items()}

    def read(self, role: str, field: str = "logp") -> Float[Tensor, " N"]:
        """Return "logp" (nats) or "hit" (0 or 1) at every scored position of a role, [N], as the model is now."""
        with self.learner.evaluating():
            ids = self.ids(role)
            batches = (self.batch(ids[k : k + 64], role) for k in range(0, len(ids), 64))
            return torch.cat(
                [torch.from_numpy(self.learner.read(b, self.learner.logits(b))[field]).float() for b in batches]
            )

    # Running -------------------------------------------------------------------------------------------------------

    def fit(
        self,
        name: str,
        method: Method,
        *,
        learner: Learner,
        train: TrainConfig | None = None,
        request: Resolved | None = None,
    ) -> Learner:
        """Run a nested method on another learner: an assistant, a shadow model, a shard. Finished ones are kept."""
        inner = Run(
            learner=learner,
            request=request or self.request,
            method=method,
            train=train or self.train,
            seed=derive(self.seed, name),
            folder=self.folder / "stages" / name if self.folder else None,
            path=f"{self.path}/{name}",
        )
        inner.buried |= self.buried
        done = inner.folder / "done.pt" if inner.folder else None
        if done and (state := _checkpoint.read(done)) is not None:
            learner.load_state(state["model"])
            return learner
        inner.execute()
        if done:
            _checkpoint.write(done, {"model": learner.state()})
            inner.checkpoint_path().unlink(missing_ok=True)
        return learner

    def execute(self) -> Learner:
        """Do everything, from the last checkpoint if there is one, and return the learner.

        Raises:
            DivergedError: The loss stopped being finite or exploded; the last checkpoint is kept.
            ConfigError: The method needs what the request or the learner lacks.
        """
        _loop.join_ranks()
        self.check()
        self._generators.clear()
        _loop.warm_up()
        cpu, wall = time.process_time(), time.monotonic()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(self.seed, f"{self.path}/torch"))
            state = _checkpoint.read(self.checkpoint_path()) if self.folder else None
            if state and "teacher" in state["artefacts"]:
                self.teacher()
            if state and "reference_head" in state["artefacts"]:
                self._keep_head()
            for modifier in self.modifiers:
                modifier.attach(self)
            if state is None:
                self.method.begin(self)
                for modifier in self.modifiers:
                    modifier.begin(self)
            _loop.optimise(self, state)
            self.method.solve(self)
            self.method.end(self)
            for modifier in self.modifiers:
                modifier.end(self)
            guard = self.method.wrap(self)
            if guard is not None:
                self.learner.guards.append(guard)
        self.bury()
        self.cost.cpu_seconds += time.process_time() - cpu
        self.cost.wall_seconds += time.monotonic() - wall
        self.cost.peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return self.learner

    def checkpoint_path(self) -> Path:
        """Where the checkpoint of this run is kept."""
        assert self.folder is not None
        return self.folder / "checkpoint.pt"

    def save_checkpoint(self, step: int) -> None:
        """Write everything that a resumed run needs after `step` steps."""
        _checkpoint.write(
            self.checkpoint_path(),
            {
                "step": step,
                "model": self.learner.state(),
                "optimisers": {n: o.state_dict() for n, o in self.optimisers.items()},
                "generators": {n: g.get_state() for n, g in self._generators.items()},
                "torch": torch.random.get_rng_state(),
                "threads": torch.get_num_threads(),
                "artefacts": self.artefacts.state(),
                "snapshots": self.snapshots,
                "log": self.log,
                "cost": vars(self.cost),
            },
        )

    def load_checkpoint(self, state: dict[str, Any]) -> None:
        """Put a checkpoint's state back, generators last."""
        self.learner.load_state(state["model"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.artefacts.load_state(state["artefacts"])
        self.snapshots = state["snapshots"]
        self.log = state["log"]
        self.cost = Cost(**state["cost"])
        for name, generator in state["generators"].items():
            self.generator(name).set_state(generator)
        torch.random.set_rng_state(state["torch"])
        torch.set_num_threads(state["threads"])  # another number of threads gives other last bits

    def bury(self) -> None:
        """Drop what the event itself made, purge the forgotten records from the rest, and check that none is listed."""
        self.purged = self.artefacts.names()
        self.artefacts.purge(self.condemned)
        for name in self.purged:
            self.artefacts.drop(name)
        self.purged += [f"snapshot {n}" for n in self.snapshots] + [
            f"moments of optimiser {n}" for n in self.optimisers
        ]
        self.snapshots.clear()
        self.optimisers.clear()
        self._teacher = self._untrained = None
        self._reference_head = None
        self.buried |= self.condemned
        self.artefacts.check_free_of(self.buried)

    def check(self) -> None:
        """Raise what keeps the method from running: a need unmet, records that do not fit, a batch to be split."""
        card = self.method.card
        needs = set(card.needs).union(*(m.card.needs for m in self.modifiers))
        for role in ("forget", "retain", "holdout"):
            if role in needs:
                self.learner.check(self.request.dataset, self.ids(role))
                lacking = self.learner.unlabelled(self.request.dataset, self.ids(role)) if "labels" in needs else []
                if lacking:
                    raise refusal(card.name, self.request.dataset, lacking, self.learner.kind)
        if "target" in needs and not self.request.target:
            raise ConfigError(f"{card.name} needs a target and the request names none", hint="give `target=`")
        adapted = any(m.card.lives_in == "adapter" for m in self.modifiers)
        if card.lives_in == "weights" and not ("recipe" in needs or adapted or self.learner.trainable()):
            hint = "let some learn: `learner.model.requires_grad_(True)`, or a method that lives in the output"
            raise LearnerError(f"{card.name} changes weights, and all of the model's are frozen", hint=hint)
        for idea in (card, *(m.card for m in self.modifiers)):
            if idea.aim != "control" and self.learner.kind not in idea.learners and not self.path:
                known = ", ".join(sorted(idea.learners)) or "none"
                what = f"no forgetting test of {idea.name} has passed on a {self.learner.kind}; passed on: {known}"
                warnings.warn(what, UntestedLearnerWarning, stacklevel=3)
        splits = self.train.micro_batch_size is not None and self.train.micro_batch_size < self.train.batch_size
        coupled = next((i for i in (card, *(m.card for m in self.modifiers)) if not i.accumulates), None)
        if coupled and (splits or _loop.ranks() > 1):
            raise ConfigError(
                f"{coupled.name} couples the examples of a batch and cannot be split",
                hint="leave micro_batch_size out, use one rank",
            )

    def _endless(self, role: str, phase: str) -> Iterator[str]:
        while True:
            yield from self._shuffled(self.ids(role), f"draw/{phase}/{role}")

    def _shuffled(self, ids: Sequence[str], name: str) -> list[str]:
        return [ids[k] for k in torch.randperm(len(ids), generator=self.generator(name)).tolist()]


def derive(seed: int, name: str) -> int:
    """Return a seed for a named purpose, the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big") >> 1


def copied(learner: Learner) -> Learner:
    """Return a learner that shares no storage and can be trained."""
    twin = copy.copy(learner)
    twin.model = copy.deepcopy(learner.model)
    twin.guards = list(learner.guards)
    return twin
