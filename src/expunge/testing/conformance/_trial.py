"""Runs of one implementation, observed from outside."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from expunge.testing.conformance._cases import Case, Pair, digits
from expunge.testing.conformance._suite import NotApplicable, takes
from expunge.testing.conformance._watched import Log, same, state

Unlearn = Callable[..., nn.Module]


@dataclass(frozen=True, kw_only=True, eq=False)
class Done:
    """One run.

    Args:
        given: The network that was given, as it is afterwards.
        before: Its weights before.
        model: What was returned.
        forget: The forgotten records that were given, as they are afterwards.
        retain: Likewise.
        log: What ran.
    """

    given: nn.Module
    before: dict[str, Tensor]
    model: nn.Module
    forget: Pair
    retain: Pair
    log: Log

    @property
    def after(self) -> dict[str, Tensor]:
        """Weights and buffers of what was returned."""
        return state(self.model)

    def moved(self) -> Tensor:
        """Return of each weight whether it changed [P]."""
        pairs = zip(self.given.named_parameters(), self.model.parameters(), strict=True)
        return torch.cat([(self.before[name] != after).detach().flatten() for (name, _), after in pairs])


class Trial:
    """An implementation and the case that it is run on.

    Args:
        unlearn: `unlearn(model, forget, retain, *, seed, **settings) -> model`.
        case: Records and the trained network.
    """

    def __init__(self, unlearn: Unlearn, case: Callable[[], Case] = digits) -> None:
        self.unlearn = unlearn
        self.case = case()
        self._done: dict[Any, Done] = {}
        self._runs = 0

    def run(
        self,
        *,
        forget: Pair | None = None,
        retain: Pair | None = None,
        model: nn.Module | None = None,
        seed: int = 0,
        fresh: bool = False,
        **settings: Any,
    ) -> Done:
        """Run once; an equal run on the case's own records and network is not repeated unless `fresh`.

        Raises:
            NotApplicable: The implementation does not take one of the settings.
        """
        for name in settings:
            self.needs(name)
        plain = forget is None and retain is None and model is None and not fresh
        key = (seed, *sorted(settings.items()))
        if plain and key in self._done:
            return self._done[key]
        self._runs += 1
        forgotten, retained = (_cloned(p) for p in (forget or self.case.forget, retain or self.case.retain))
        given = model or self.case.network()
        log = _log(forgotten, retained)
        given.log = log  # type: ignore[assignment]
        before = state(given)
        with scattered(self._runs):
            returned = self.unlearn(given, forgotten, retained, seed=seed, **settings)
        if not isinstance(returned, nn.Module):
            raise TypeError(f"the implementation returned a {type(returned).__name__}, not a network")
        done = Done(given=given, before=before, model=returned, forget=forgotten, retain=retained, log=log)
        if plain:
            self._done[key] = done
        return done

    def brief(self, **changed: Any) -> Done:
        """Run one epoch where the implementation takes `epochs`, else a whole run."""
        if takes(self.unlearn, "epochs"):
            changed["epochs"] = 1
        return self.run(**changed)

    def on(self, case: Callable[[], Case]) -> Trial:
        """Return a trial of the same implementation on another case."""
        return Trial(self.unlearn, case)

    def needs(self, name: str) -> None:
        """Raise NotApplicable where the implementation does not take a setting."""
        if not takes(self.unlearn, name):
            raise NotApplicable(f"the implementation takes no setting `{name}`")


@contextlib.contextmanager
def scattered(seed: int) -> Iterator[None]:
    """Have the global generators of random, numpy and torch stand elsewhere for a while."""
    kept = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(kept[0])
            np.random.set_state(kept[1])


def accuracy(model: nn.Module, data: Pair) -> float:
    """Return the accuracy in percent, as the model stands when it is served."""
    return 100 * float((outputs(model, data[0]).argmax(1) == data[1]).float().mean())


def outputs(model: nn.Module, x: Tensor) -> Tensor:
    """Return what a model gives in evaluation mode; its mode is as before afterwards."""
    mode = model.training
    model.eval()
    try:
        with torch.no_grad():
            found: Tensor = model(x)
    finally:
        model.train(mode)
    return found


def gradient(case: Case, model: nn.Module, data: Pair) -> Tensor:
    """Return the gradient of the mean loss as one vector [P]."""
    mode = model.training
    model.eval()
    weights = list(model.parameters())
    with torch.enable_grad():
        loss = case.loss(model(data[0]), data[1])
        found = torch.autograd.grad(loss, weights)
    model.train(mode)
    return torch.cat([g.flatten() for g in found])


def flat(weights: dict[str, Tensor], like: nn.Module) -> Tensor:
    """Return the weights that a network trains as one vector [P]."""
    return torch.cat([weights[name].flatten() for name, _ in like.named_parameters()])


def equal(first: Done, second: Done) -> bool:
    """Whether two runs ended alike, bit for bit."""
    return same(first.after, second.after)


def _cloned(pair: Pair) -> Pair:
    return pair[0].clone(), pair[1].clone()


def _log(forget: Pair, retain: Pair) -> Log:
    roles: dict[bytes, str] = {}
    for role, (x, _) in (("retain", retain), ("forget", forget)):
        roles |= dict.fromkeys((row.tobytes() for row in x.numpy()), role)
    return Log(roles)
