"""Ask a model once, keep the answers: every metric is then arithmetic on what is stored.

A stored answer is found again only if nothing that shaped it has changed: weights, guards, tokenizer, template, dtype,
decoding and the records themselves are all in its key.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from expunge.errors import EnvironmentError_, RunError
from expunge.learners import CausalLM, Learner, Reading
from expunge.metrics import Block, Want
from expunge.request import Resolved

PASS_VERSION = 1
"""Raised whenever the same model and records would give other stored answers."""


@dataclass(frozen=True)
class Passes:
    """Reads models through their learners, guards included, and remembers.

    Args:
        request: Whose records are asked about.
        folder: Where answers are kept; None keeps them in memory only.
        max_new_tokens: Longest generated answer, tokens.
    """

    request: Resolved
    folder: Path | None = None
    max_new_tokens: int = 64

    def read(self, learner: Learner, wants: Iterable[Want], *, identity: str = "") -> dict[Want, Block]:
        """Return the stored answer to every want, asking the model only for what is missing.

        Args:
            learner: The model as served.
            wants: What to ask; duplicates are asked once.
            identity: The learner's `hash()`, if it is at hand.
        """
        identity = identity or learner.hash()
        found: dict[Want, Block] = {}
        missing: dict[tuple[str, str], list[Want]] = {}
        for want in dict.fromkeys(wants):
            block = self._load(self.key(learner, want, identity))
            if block is not None:
                found[want] = block
            else:
                missing.setdefault((want.role, want.kind), []).append(want)
        for (_role, kind), group in missing.items():
            answers = self._score(learner, group) if kind == "score" else {w: self._generate(learner, w) for w in group}
            for want, block in answers.items():
                self._save(self.key(learner, want, identity), block)
                found[want] = block
        return found

    def key(self, learner: Learner, want: Want, identity: str) -> str:
        """Return the name under which an answer is kept: a digest of everything that shapes it."""
        facts: dict[str, Any] = {
            "version": PASS_VERSION,
            "model": identity,
            "dtype": str(next(learner.model.parameters()).dtype),
            "data": self.request.dataset.fingerprint,
            "ids": self.ids(want),
            "want": [want.role, want.field, want.kind],
        }
        options = ("template", "question", "answer", "input", "target", "max_length")
        facts["reading"] = {name: getattr(learner, name) for name in options if hasattr(learner, name)}
        if getattr(learner, "tokenizer", None) is not None:
            facts["tokenizer"] = _tokenizer_digest(learner)
        if want.kind == "generate":
            facts["decoding"] = ["greedy", self.max_new_tokens]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def ids(self, want: Want) -> list[str]:
        """Return the records of a want: those of its role that have its field."""
        ids = self.request.ids.get(want.role, [])
        if not want.field:
            return ids
        column = self.request.dataset.columns.get(want.field)
        if column is None:
            return []
        return [i for i in ids if column[self.request.dataset.row_of[i]] is not None]

    def _score(self, learner: Learner, wants: Sequence[Want]) -> dict[Want, Block]:
        """Fields over the same records are read together, so that their prompts are encoded once."""
        together: dict[tuple[str, ...], list[Want]] = {}
        for want in wants:
            together.setdefault(tuple(self.ids(want)), []).append(want)
        answers: dict[Want, Block] = {}
        for ids, group in together.items():
            readings = learner.score(self.request.dataset, list(ids), [w.field for w in group])
            answers |= {w: _block(readings[w.field]) for w in group}
        return answers

    def _generate(self, learner: Learner, want: Want) -> Block:
        """Let the model answer and keep how much of the true answer's words came back; the text is let go."""
        from rouge_score import rouge_scorer

        if not isinstance(learner, CausalLM):
            raise RunError(f"a {learner.kind} generates no text")
        ids = self.ids(want)
        texts = learner.generate(self.request.dataset, ids, max_new_tokens=self.max_new_tokens)
        scorer = rouge_scorer.RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
        truths = self.request.dataset.values(want.field, ids)
        scores = [scorer.score(truth, text) for truth, text in zip(truths, texts, strict=True)]
        extras = {
            "rouge_l_recall": np.array([s["rougeL"].recall for s in scores]),
            "rouge_l_f1": np.array([s["rougeL"].fmeasure for s in scores]),
            "rouge_1_recall": np.array([s["rouge1"].recall for s in scores]),
            "tokens": np.array([len(learner.tokenizer(t, add_special_tokens=False)["input_ids"]) for t in texts]),
        }
        none = np.zeros(0, dtype=np.float32)
        return Block(list(ids), np.zeros(len(ids) + 1, dtype=np.int64), none, none.astype(bool), none, none, extras)

    def _load(self, key: str) -> Block | None:
        path = self.folder / f"{key}.safetensors" if self.folder else None
        if path is None or not path.is_file():
            return None
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                ids = json.loads(file.metadata()["ids"])
        except SafetensorError:  # cut off: ask again
            return None
        extras = {n.removeprefix("extras."): a for n, a in arrays.items() if n.startswith("extras.")}
        fixed = {n: a for n, a in arrays.items() if not n.startswith("extras.")}
        return Block(ids=ids, extras=extras, **fixed)

    def _save(self, key: str, block: Block) -> None:
        if self.folder is None:
            return
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        arrays = {n: np.ascontiguousarray(getattr(block, n)) for n in ("offsets", "logp", "hit", "mean", "var")}
        arrays |= {f"extras.{n}": np.ascontiguousarray(a) for n, a in block.extras.items()}
        staging = self.folder / f".{key}.{os.getpid()}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file(arrays, staging, metadata={"ids": json.dumps(block.ids)})
            staging.replace(self.folder / f"{key}.safetensors")
        except (OSError, SafetensorError) as error:
            staging.unlink(missing_ok=True)
            why = getattr(error, "strerror", None) or error
            raise EnvironmentError_(f"cannot keep answers in {self.folder}: {why}", hint="free some space") from error


def _block(reading: Reading) -> Block:
    named = {k: reading[k] for k in ("ids", "offsets", "logp", "hit", "mean", "var")}
    return Block(**named, extras=reading.get("extras", {}))


def _tokenizer_digest(learner: Any) -> str:
    tokenizer = learner.tokenizer
    fast = getattr(tokenizer, "backend_tokenizer", None)
    rules = fast.to_str() if fast is not None else json.dumps(sorted(tokenizer.get_vocab().items()))
    facts = [rules, tokenizer.all_special_ids, tokenizer.eos_token_id, getattr(tokenizer, "chat_template", None)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
