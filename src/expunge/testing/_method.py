"""What every method and modifier must hold to; see `METHOD_CHECKS` for the names."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import random
import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from expunge.config import TrainConfig
from expunge.data import Dataset
from expunge.errors import BuriedError, ConfigError, LearnerError, RequestError, UntestedLearnerWarning
from expunge.learners import Batch, Learner, load
from expunge.request import Resolved
from expunge.testing._case import Case, ContractError, claim, same
from expunge.train import Method, Modifier, copied

CLOSE = 1e-6


class _Killed(BaseException):
    """Ends a run where it stands, as a signal would."""


def check_method(
    method: Method,
    learner: Callable[[], Learner],
    request: Resolved,
    *,
    modifiers: Iterable[Modifier] = (),
    train: TrainConfig | None = None,
    only: Iterable[str] = (),
) -> None:
    """Run every check, or those named in `only`.

    A method that cannot work on this kind of learner holds the contract by refusing it: with a LearnerError of one line
    and a hint, whatever is asked of it, before a weight has changed, and only if its card does not list the kind. One
    that cannot serve this request, such as one for part of a class, refuses it with a RequestError of the same form;
    check it with a request that it serves too.

    Args:
        method: To be checked.
        learner: See `Case`; `tiny` gives one, and a request.
        request: See `Case`.
        modifiers: To be checked with the method.
        train: A few short steps; None takes two epochs of batches of four.
        only: Names from `METHOD_CHECKS`; none means all.

    Raises:
        ContractError: A check failed; the message begins with its name.
    """
    case = Case(method=method, learner=learner, request=request, modifiers=tuple(modifiers))
    if train is not None:
        case = dataclasses.replace(case, train=train)
    for name in only or METHOD_CHECKS:
        try:
            try:
                METHOD_CHECKS[name](case)
            except (LearnerError, RequestError) as error:
                _claim_refusal(case, error)
        except ContractError as error:
            raise ContractError(f"{name}: {error}") from error


def is_described(case: Case) -> None:
    """Every idea is a frozen dataclass whose docstring names each field and its source."""
    for idea in _ideas(case):
        name = idea.card.name
        claim(
            bool(idea.card.title and idea.card.year and idea.card.source),
            f"{name}: the card lacks title, year or source",
        )
        claim(idea.__dataclass_params__.frozen, f"{name} is not frozen")  # type: ignore[union-attr]
        text = inspect.getdoc(type(idea)) or ""
        claim("Source:" in text, f"{name}: the docstring names no source")
        for item in dataclasses.fields(idea):
            claim(f"{item.name}:" in text, f"{name}: the docstring says nothing of {item.name}")


def same_seed_gives_same_weights(case: Case) -> None:
    """Two runs of one seed end bit for bit alike."""
    claim(same(case.learner().state(), case.learner().state()), "the factory does not give equal learners")
    claim(same(case.run().learner.state(), case.run().learner.state()), "two runs of one seed differ")


def inputs_stay_untouched(case: Case) -> None:
    """A run on a copy changes neither the original, nor the data, nor the request, nor any global random state."""
    original, method = case.learner(), dataclasses.replace(case.method)
    before = (original.hash(), _fingerprint(case.request), _random_states())
    case.run(copied(original))
    claim(original.hash() == before[0], "the original changed with the copy")
    claim(_fingerprint(case.request) == before[1], "the request or its data changed")
    claim(_random_states() == before[2], "a global random generator was moved")
    claim(case.method == method, "the method changed itself")


def references_stay_as_they_were(case: Case) -> None:
    """What is frozen shares no storage with what learns, and says at the end what it said at first."""
    spy = _spied(case.learner(), case.request.dataset)
    run = case.run(spy.learner)
    live = _storages(run.learner)
    for twin, before in spy.copies:
        claim(not live & _storages(twin), "a frozen copy shares storage with the learner")
        claim(twin.hash() == before, "a frozen copy changed during the run")
    for head, states_ND, before_NV in spy.heads:
        with torch.no_grad():
            claim(torch.equal(head(states_ND), before_NV), "a frozen head changed during the run")


def earlier_runs_leave_no_trace(case: Case) -> None:
    """A run on other weights ends alike whether or not the same records were seen in a run before."""
    case.run()
    moved = case.learner()
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in moved.model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=noise))
    after = case.run(copied(moved)).learner.state()
    alone = case.run(copied(moved), request=_renamed(case.request)).learner.state()
    claim(same(after, alone), "something of an earlier run was used, such as a stale stored reference")


def resumes_to_the_same_weights(case: Case) -> None:
    """A run that was cut down and started again ends where an uninterrupted one does, bit for bit."""
    whole = case.run()
    for cut in sorted({2, whole.cost.steps}):
        with tempfile.TemporaryDirectory() as folder:

            def stop(step: int, cut: int = cut) -> None:
                if step == cut:
                    raise _Killed

            with contextlib.suppress(_Killed):
                case.run(folder=Path(folder), checkpoint_every=1, progress=stop)
            again = case.run(folder=Path(folder), checkpoint_every=1)
        claim(same(whole.learner.state(), again.learner.state()), f"a run that was cut at step {cut} ends elsewhere")


def micro_batches_equal_one_batch(case: Case) -> None:
    """Gradients of micro-batches add up to the batch's; a card that says `accumulates=False` is refused instead."""
    slow = case.train.lr / 10  # a steep loss would blow rounding errors up over the steps
    plain: dict[str, Any] = {"optimiser": "sgd", "clip": None, "momentum": 0.0, "lr": slow}
    if not all(idea.card.accumulates for idea in _ideas(case)):
        _refused(case, "micro-batches of a loss that couples the batch", micro_batch_size=1)
        return
    whole = case.run(**plain).learner.state()
    parts = case.run(**plain, micro_batch_size=max(1, case.train.batch_size // 3)).learner.state()
    furthest = max((float((whole[n].double() - parts[n].double()).abs().max()) for n in whole), default=0.0)
    claim(furthest <= CLOSE, f"weights differ by {furthest:.1e} under accumulation: is a part a mean, not a total?")


def saves_and_loads(case: Case) -> None:
    """What was saved and read back is served alike, guards included."""
    learner = case.run().learner
    with tempfile.TemporaryDirectory() as folder:
        learner.save(Path(folder) / "model")
        again: Learner = load(Path(folder) / "model", type(learner))
    claim(again.hash() == learner.hash(), "weights or guards differ after saving and loading")
    ids = case.request.ids["forget"] + case.request.ids.get("test", [])
    first, second = (x.score(case.request.dataset, ids)[""]["logp"] for x in (learner, again))
    claim(np.array_equal(first, second), "likelihoods differ after saving and loading")


def refuses_an_unmet_need(case: Case) -> None:
    """Without a set that the card needs, nothing is done and the message says so."""
    for need in case.method.card.needs | frozenset().union(*(m.card.needs for m in case.modifiers)):
        if need in ("forget", "retain", "holdout"):
            ids = {r: i for r, i in case.request.ids.items() if r != need}
            lacking = Resolved(case.request.dataset, ids, case.request.target)
        elif need == "target":
            lacking = Resolved(case.request.dataset, case.request.ids)
        else:
            continue
        _refused(dataclasses.replace(case, request=lacking), f"a request without {need}")


def warns_on_an_untested_learner(case: Case) -> None:
    """A kind of learner on which no forgetting test passed brings a warning; a control and a tested kind bring none."""
    base: Any = type(case.learner())
    unheard = case.learner()
    unheard.__class__ = type("Unheard", (base,), {"kind": "unheard of"})
    ideas = [idea.card for idea in _ideas(case)]
    untested = any(card.aim != "control" for card in ideas)
    claim(
        _warns(case, unheard) == untested,
        "no warning on an untested kind of learner" if untested else "a control warns",
    )
    if all(base.kind in card.learners for card in ideas):
        claim(not _warns(case, case.learner()), f"a warning on {base.kind}, which the card lists")


def condemned_are_read_only_to_be_forgotten(case: Case) -> None:
    """Records being forgotten are read in role "forget" alone, and afterwards no more."""
    spy = _spied(case.learner(), case.request.dataset)
    try:
        run = case.run(spy.learner)
    except BuriedError as error:
        raise ContractError(f"the engine stopped the run: {error}") from error
    condemned = set(case.request.ids["forget"])
    for role, ids in spy.read:
        if role not in ("forget", ""):
            claim(not condemned.intersection(ids), f"a record that is being forgotten was read in role {role!r}")
    for name in run.artefacts.names():
        claim(not condemned.intersection(run.artefacts.ids(name)), f"artefact {name!r} still lists forgotten records")
    try:
        run.batch(case.request.ids["forget"][:1], "forget")
    except BuriedError:
        return
    raise ContractError("a forgotten record can be read again")


METHOD_CHECKS: dict[str, Callable[[Case], None]] = {
    check.__name__: check
    for check in (
        is_described,
        same_seed_gives_same_weights,
        inputs_stay_untouched,
        references_stay_as_they_were,
        earlier_runs_leave_no_trace,
        resumes_to_the_same_weights,
        micro_batches_equal_one_batch,
        saves_and_loads,
        refuses_an_unmet_need,
        warns_on_an_untested_learner,
        condemned_are_read_only_to_be_forgotten,
    )
}


@dataclasses.dataclass
class _Spy:
    """What one learner was asked for: reads (role, ids), frozen copies and heads with what they were at first."""

    learner: Learner
    read: list[tuple[str, list[str]]] = dataclasses.field(default_factory=list)
    copies: list[tuple[Learner, str]] = dataclasses.field(default_factory=list)
    heads: list[tuple[Callable[[Tensor], Tensor], Tensor, Tensor]] = dataclasses.field(default_factory=list)


def _spied(learner: Learner, dataset: Dataset) -> _Spy:
    """Have a learner report what is asked of it; what is read of its copies, as in nested fits, does not count."""
    spy = _Spy(learner)
    base: Any = type(learner)

    class Spied(base):
        def collate(self, dataset: Dataset, ids: Any, role: str = "", field: str = "") -> Batch:
            if self is learner:
                spy.read.append((role, list(ids)))
            return super().collate(dataset, ids, role, field)

        def frozen_copy(self) -> Any:
            twin = super().frozen_copy()
            spy.copies.append((twin, twin.hash()))
            return twin

        def frozen_head(self) -> Callable[[Tensor], Tensor]:
            head = super().frozen_head()
            with self.evaluating():
                states_ND = self.states(super().collate(dataset, dataset.ids[:4]).to(self.device)).clone()
                spy.heads.append((head, states_ND, head(states_ND).clone()))
            return head

    learner.__class__ = Spied
    return spy


def _ideas(case: Case) -> list[Method | Modifier]:
    return [case.method, *case.modifiers]


def _claim_refusal(case: Case, error: LearnerError | RequestError) -> None:
    learner = case.learner()
    before = learner.hash()
    listed = isinstance(error, LearnerError) and all(learner.kind in idea.card.learners for idea in _ideas(case))
    claim(not listed, f"a {learner.kind}, which the card lists, is refused: {error}")
    try:
        case.run(learner)
    except (LearnerError, RequestError) as again:
        claim(learner.hash() == before, f"a {learner.kind} was refused after the weights had changed")
        claim("\n" not in str(again) and bool(again.hint), "the refusal is not one line with a hint")
        return
    raise ContractError(f"a {learner.kind} is taken by a plain run, yet: {error}")


def _refused(case: Case, what: str, **train: Any) -> None:
    learner = case.learner()
    before = learner.hash()
    try:
        case.run(learner, **train)
    except ConfigError:
        claim(learner.hash() == before, f"{what} was refused after the weights had changed")
        return
    raise ContractError(f"{what} was not refused")


def _warns(case: Case, learner: Learner) -> bool:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        case.prepare(learner, stop_at=1).execute()
    return any(issubclass(w.category, UntestedLearnerWarning) for w in caught)


def _storages(learner: Learner) -> set[int]:
    return {t.untyped_storage().data_ptr() for t in learner.model.state_dict(keep_vars=True).values() if t.numel()}


def _fingerprint(request: Resolved) -> tuple[str, str]:
    data = request.dataset
    return Dataset(data.name, list(data.ids), data.columns).fingerprint, repr(request.ids)


def _random_states() -> tuple[bytes, str, str]:
    return torch.get_rng_state().numpy().tobytes(), repr(random.getstate()), repr(np.random.get_state())


def _renamed(request: Resolved) -> Resolved:
    """The same request over the same records under other ids."""
    data = request.dataset
    other = Dataset(data.name, [f"other {i}" for i in data.ids], data.columns)
    return Resolved(other, {r: [f"other {i}" for i in ids] for r, ids in request.ids.items()}, request.target)
