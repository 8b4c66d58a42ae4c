"""Which attacks an audit makes, what they are given, and where their outcomes are kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from expunge.attacks import Attack, Case, Outcome
from expunge.auditing._passes import Passes, load_block, reading_of, rows_only, save_block
from expunge.config import build
from expunge.errors import ConfigError, NothingToMeasure, Unfinished
from expunge.learners import Learner
from expunge.metrics import Blocks, Measure, Want
from expunge.registry import find
from expunge.request import Resolved

ATTACK_VERSION = 2
"""Raised whenever the same attack on the same model would come to other figures."""
Settings = dict[str, object]
BATTERIES: dict[str, list[tuple[str, Settings]]] = {
    "causal_lm": [
        ("unplugging", {}),
        ("forced_prefix", {}),
        ("paraphrase", {}),
        ("sampling", {}),
        ("rounding", {"bits": 4}),
        ("rounding", {"bits": 4, "codes": "nf4"}),
        ("head_swap", {}),
        ("logit_lens", {"head": "own"}),
        ("logit_lens", {"head": "original"}),
        ("activation_patching", {}),
        ("soft_prompt", {}),
        ("relearning", {"on": "forgotten"}),
        ("relearning", {"on": "retained"}),
    ],
    "classifier": [
        ("unplugging", {}),
        ("recalibration", {}),
        ("rounding", {"bits": 4}),
        ("head_swap", {}),
        ("relearning", {"on": "forgotten"}),
        ("relearning", {"on": "retained"}),
    ],
    "regressor": [("relearning", {"on": "forgotten"}), ("relearning", {"on": "retained"})],
}
"""Kind of learner to the attacks it is put to, with their settings; the audit orders them by tier."""


@dataclass(frozen=True, eq=False)
class Models:
    """The models of one audit.

    Args:
        unlearned: The model under audit.
        original: The model before, if any.
        retrained: One a seed.
        hashes: Of the models, by `id`.
    """

    unlearned: Learner
    original: Learner | None
    retrained: Sequence[Learner]
    hashes: Mapping[int, str]

    @classmethod
    def of(cls, unlearned: Learner, original: Learner | None, retrained: Sequence[Learner]) -> Models:
        """Hash every model once."""
        found = cls(unlearned, original, retrained, {})
        return replace(found, hashes={id(m): m.hash() for m in found.every})

    @property
    def every(self) -> list[Learner]:
        """Unlearned, original if there is one, retrained."""
        return [self.unlearned, *([self.original] if self.original is not None else []), *self.retrained]

    def hash_of(self, learner: Learner) -> str:
        """Return a model's hash, or "" for one that an attack made."""
        return self.hashes.get(id(learner), "")

    @property
    def identical(self) -> bool:
        """Whether the model under audit serves just what the original does."""
        return self.original is not None and self.hash_of(self.unlearned) == self.hash_of(self.original)


def chosen(learner: Learner, names: Sequence[Any] | None) -> list[Attack]:
    """Return the attacks of an audit, cheapest tier first.

    Args:
        learner: Picks the battery.
        names: Names or `{name: ..., field: value}` instead of the battery; None takes it.

    Raises:
        ConfigError: An unknown name, or an attack for another kind of learner.
    """
    blocks = BATTERIES.get(learner.kind, []) if names is None else [_named(given) for given in names]
    attacks: list[Attack] = [build(find("attacks", name), fields, f"attacks.{name}") for name, fields in blocks]
    for attack in attacks:
        if learner.kind not in attack.card.learners:
            known = ", ".join(sorted(attack.card.learners))
            raise ConfigError(f"the attack {attack.card.name} is not for a {learner.kind}", hint=f"it is for: {known}")
    return sorted(attacks, key=lambda a: a.tier)


def case_of(request: Resolved, models: Models, passes: Passes, clusters: Mapping[str, str] | None, seed: int) -> Case:
    """Return what the attacks of one audit are given; what they ask is not kept, only what it comes to."""
    own, loose = replace(passes, keeps=False), replace(passes, folder=None)

    def ask(learner: Learner, wants: Sequence[Want], of: Resolved) -> Blocks:
        identity = models.hash_of(learner)
        store = own if identity else loose
        return replace(store, request=of).read(learner, wants, identity=identity or "not kept")

    return Case(request, models.original, ask, clusters or {}, seed, passes.max_new_tokens)


def readings(learner: Learner, request: Resolved, names: Sequence[Any] | None, tier: int) -> float:
    """Return about how many readings of one record the attacks up to a tier take, of one model."""
    case = Case(request, None, lambda *_: {})
    return sum(a.cost(case) for a in chosen(learner, names) if a.tier <= tier) if request.ids.get("forget") else 0.0


def measured(attack: Attack, outcome: Outcome, case: Case) -> list[Measure]:
    """Return an outcome's rows on the forgotten records as a measure for each turn of its knob.

    Raises:
        NothingToMeasure: It was judged on no forgotten record.
    """
    wanted = set(case.request.ids["forget"])
    rows = [n for n, i in enumerate(outcome.ids) if i in wanted]
    if not rows:
        raise NothingToMeasure(f"{attack.label} was judged on no forgotten record")
    ids = [outcome.ids[n] for n in rows]
    return [Measure.mean(attack.label, ids, values[rows], **outcome.parts) for values in outcome.table]


def key_of(attack: Attack, learner: Learner, case: Case, *, model: str, original: str) -> str:
    """Return the name under which an outcome is kept: a digest of everything that shapes it, hashes of models too."""
    facts = {
        "version": ATTACK_VERSION,
        "attack": [attack.card.name, asdict(attack)],
        "model": model,
        "original": original if attack.reads_original else "",
        "data": case.dataset.fingerprint,
        "ids": {r: case.request.ids[r] for r in (*case.roles, "retain") if r in case.request.ids},
        "clusters": sorted(case.clusters.items()),
        "seed": case.seed,
        "decoding": case.max_new_tokens,
    } | reading_of(learner)
    return "attack-" + hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def kept(folder: Path | None, key: str) -> Outcome | None:
    """Return the outcome that is kept under a key, or None.

    Raises:
        NothingToMeasure: What is kept is that there was nothing to measure.
    """
    block = load_block(folder, key)
    if block is None:
        return None
    if "nothing" in block.extras:
        reason, hint, unfinished = json.loads(block.extras["nothing"].tobytes())
        raise (Unfinished if unfinished else NothingToMeasure)(reason, hint=hint)
    turns = tuple(block.extras["turns"].tolist())
    parts = {n.removeprefix("part."): float(a[0]) for n, a in block.extras.items() if n.startswith("part.")}
    return Outcome(ids=block.ids, values=block.extras["values"], turns=turns, parts=parts)


def keep(folder: Path | None, key: str, outcome: Outcome) -> None:
    """Keep an outcome: numbers by record id."""
    extras = {"values": np.asarray(outcome.values, dtype=np.float64), "turns": np.array(outcome.turns)}
    extras |= {f"part.{n}": np.array([v], dtype=np.float64) for n, v in outcome.parts.items()}
    save_block(folder, key, rows_only(outcome.ids, extras))


def keep_nothing(folder: Path | None, key: str, why: NothingToMeasure) -> None:
    """Keep that an attack had nothing to measure on a model, and why."""
    said = json.dumps([str(why), why.hint, isinstance(why, Unfinished)]).encode()
    save_block(folder, key, rows_only([], {"nothing": np.frombuffer(said, dtype=np.uint8)}))


def _named(given: Any) -> tuple[str, Settings]:
    values = {"name": given} if isinstance(given, str) else dict(given)
    name = values.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError("audit.attacks: an attack has no name", hint="`expunge ls attacks` lists the names")
    return name, values
