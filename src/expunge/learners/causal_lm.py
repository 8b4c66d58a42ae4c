"""Causal language models: any transformers one, read as question and answer.

Dimension letters: B examples, L tokens, N scored positions, D features, V vocabulary.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from expunge.data import Dataset
from expunge.errors import DataError, LearnerError
from expunge.learners import _folder
from expunge.learners._base import Learner, Reading, join
from expunge.learners._batch import Batch
from expunge.learners._decoder import Decoder

PLAIN = "Question: {question}\nAnswer:"
MOST_CUT = 0.05


class CausalLM(Learner):
    """A transformers causal language model with its tokenizer.

    An example is prompt + answer + EOS; only the answer and EOS are scored. Prompt and answer are tokenised apart, so
    the boundary is where scoring and generation both put it. Padding is told from EOS by length, never by id.

    Args:
        model: A transformers causal LM, plain or wrapped by PEFT.
        tokenizer: Its tokenizer; must have an EOS.
        template: "chat" (the tokenizer's own), "plain" ("Question: …\\nAnswer:"), "auto" (chat where there is one), or
            text with `{question}`.
        question: Field that holds the question.
        answer: Field that holds the answer.
        max_length: Longest prompt + answer + EOS, tokens; longer answers are cut, and refused above 5 % of records.
        spec: How to build the same architecture anew, see `expunge.models`.

    Raises:
        LearnerError: No EOS, a tokenizer with more words than the model has embeddings, no chat template.
    """

    kind: ClassVar[str] = "causal_lm"
    name: ClassVar[str] = "causal_lm"

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        *,
        template: str = "auto",
        question: str = "question",
        answer: str = "answer",
        max_length: int = 512,
        spec: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(model, spec=spec)
        if tokenizer.eos_token_id is None:
            raise LearnerError("the tokenizer has no end-of-sequence token", hint="set `tokenizer.eos_token`")
        rows = self._inner.get_input_embeddings().num_embeddings
        if len(tokenizer) > rows:
            raise LearnerError(
                f"the tokenizer has {len(tokenizer)} tokens, the model {rows} embeddings",
                hint="is it another model's tokenizer?",
            )
        has_chat = bool(getattr(tokenizer, "chat_template", None))
        if template == "chat" and not has_chat:
            raise LearnerError(
                "the tokenizer has no chat template", hint='use template="plain" or text with {question}'
            )
        self.tokenizer = tokenizer
        self.template = ("chat" if has_chat else "plain") if template == "auto" else template
        self.question = question
        self.answer = answer
        self.max_length = max_length
        self._encoded: weakref.WeakKeyDictionary[Dataset, dict[tuple[Any, ...], tuple[list[int], list[list[int]], int]]]
        self._encoded = weakref.WeakKeyDictionary()

    # Reading -------------------------------------------------------------------------------------------------------

    def collate(self, dataset: Dataset, ids: Sequence[str], role: str = "", field: str = "") -> Batch:
        """Read records into right-padded input [B, L]; the last token of each is never an input, only a target."""
        examples = [(i, prompt, answer) for i in ids for prompt, answer in self._examples(dataset, i, field)]
        longest = max(len(p) + len(a) for _, p, a in examples) - 1
        tokens_BL = torch.full((len(examples), longest), self._pad, dtype=torch.long)
        targets: list[int] = []
        owner: list[int] = []
        places: list[int] = []
        for row, (_, prompt, answer) in enumerate(examples):
            fed = prompt + answer[:-1]
            tokens_BL[row, : len(fed)] = torch.tensor(fed)
            targets += answer
            owner += [row] * len(answer)
            first = row * longest + len(prompt) - 1
            places += range(first, first + len(answer))
        read = [torch.tensor(t) for t in (targets, owner, places)]
        return Batch([i for i, _, _ in examples], role, dataset, {"input_ids": tokens_BL}, read[0], read[1], read[2])

    def fields(self, dataset: Dataset) -> list[str]:
        """Return the answer fields of the data that can be scored."""
        return [f for f in (self.answer, "paraphrased_answer", "perturbed_answer") if f in dataset.columns]

    def check(self, dataset: Dataset, ids: Sequence[str]) -> None:
        """Raise when the records are no questions and answers, or too many answers are cut.

        Raises:
            DataError: A field is missing or an answer empty.
            LearnerError: More than 5 % of the answers do not fit into max_length.
        """
        for field in (self.question, self.answer):
            dataset.column(field)
        cut = sum(self._encode(dataset, i, "")[2] for i in ids)
        if ids and cut / len(ids) > MOST_CUT:
            raise LearnerError(
                f"{cut} of {len(ids)} answers are cut off by max_length {self.max_length}",
                hint="raise max_length; at most 5 % may be cut",
            )

    def prompt(self, question: str) -> str:
        """Return the text that asks a question."""
        if self.template == "chat":
            turns = [{"role": "user", "content": question}]
            options = {"tokenize": False, "add_generation_prompt": True, "date_string": "10 Apr 2025"}
            return self.tokenizer.apply_chat_template(turns, **options)
        return (PLAIN if self.template == "plain" else self.template).format(question=question)

    # The model's answer --------------------------------------------------------------------------------------------

    def states(self, batch: Batch) -> Float[Tensor, "N D"]:
        """Return last hidden states at scored positions [N, D]; no [B, L, V] ever exists."""
        hidden_BLD = self._inner.base_model(input_ids=batch.inputs["input_ids"], use_cache=False).last_hidden_state
        return hidden_BLD.flatten(0, 1)[batch.places]

    def head(self, states_ND: Float[Tensor, "N D"]) -> Float[Tensor, "N V"]:
        """Return logits [N, V], with the soft cap or scale that some architectures apply after the head."""
        return self._shaped(self._inner.get_output_embeddings()(states_ND))

    def frozen_head(self) -> Callable[[Tensor], Tensor]:
        """Return a copy of the head as it is now, without gradients."""
        module = copy.deepcopy(self._inner.get_output_embeddings()).requires_grad_(False)
        return lambda states_ND: self._shaped(module(states_ND))

    def _shaped(self, logits_NV: Float[Tensor, "N V"]) -> Float[Tensor, "N V"]:
        config = self._inner.config
        if scale := getattr(config, "logit_scale", None):
            logits_NV = logits_NV * scale
        if scaling := getattr(config, "logits_scaling", None):
            logits_NV = logits_NV / scaling
        if cap := getattr(config, "final_logit_softcapping", None):
            logits_NV = cap * torch.tanh(logits_NV / cap)
        return logits_NV

    def features(self, batch: Batch, layer: int) -> Float[Tensor, "B D"]:
        """Return the hidden state that predicts the first answer token, after `layer` blocks (0: embedding), [B, D]."""
        output = self._inner.base_model(input_ids=batch.inputs["input_ids"], use_cache=False, output_hidden_states=True)
        first = torch.ones_like(batch.owner, dtype=torch.bool)
        first[1:] = batch.owner[1:] != batch.owner[:-1]
        return output.hidden_states[layer].flatten(0, 1)[batch.places[first]]

    def score(
        self, dataset: Dataset, ids: Sequence[str], fields: Sequence[str] = ("",), batch_size: int = 32
    ) -> dict[str, Reading]:
        """As the base class; each prompt is encoded once and shared by all its answers."""
        pieces: dict[str, list[Reading]] = {f: [] for f in fields}
        with self.evaluating():
            for start in range(0, len(ids), batch_size):
                chunk = ids[start : start + batch_size]
                decoder = Decoder.start(self, [self._encode(dataset, i, "")[0] for i in chunk])
                rows = {
                    f: [(n, a) for n, i in enumerate(chunk) for _, a in self._examples(dataset, i, f)] for f in fields
                }
                shared = [row for f in fields for row in rows[f]]
                states_ND = decoder.answer_states([n for n, _ in shared], [a for _, a in shared])
                done = 0
                for name in fields:
                    batch = self.collate(dataset, chunk, "", name).to(self.device)
                    logits_NV = self.head(states_ND[done : done + len(batch.targets)])
                    done += len(batch.targets)
                    for guard in self.guards:
                        logits_NV = guard.logits(batch, logits_NV)
                    pieces[name].append(self.read(batch, logits_NV))
        return {f: join(p) for f, p in pieces.items()}

    def generate(
        self, dataset: Dataset, ids: Sequence[str], *, max_new_tokens: int = 200, batch_size: int = 64
    ) -> list[str]:
        """Return the greedy answer to each record's question, as served."""
        texts: list[str] = []
        with self.evaluating():
            for start in range(0, len(ids), batch_size):
                prompts = [self._encode(dataset, i, "")[0] for i in ids[start : start + batch_size]]
                tokens = Decoder.start(self, prompts).greedy(max_new_tokens, self.tokenizer.eos_token_id)
                texts += [self.tokenizer.decode(t, skip_special_tokens=True).strip() for t in tokens]
        for guard in self.guards:
            texts = guard.answers(dataset, ids, texts)
        return texts

    # Saving --------------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write what `transformers` reads back by itself, with `learner.json` beside; adapters in `adapter/`."""
        options = {k: getattr(self, k) for k in ("template", "question", "answer", "max_length")}
        _folder.save(self, folder, options, tokenizer=self.tokenizer)

    @classmethod
    def from_pretrained(cls, source: str | Path, **options: Any) -> CausalLM:
        """Load a saved folder or any transformers causal LM by path or hub id, in float32 unless `dtype=` says else."""
        return _folder.load(source, cls, **options)

    @property
    def _inner(self) -> Any:
        model: Any = self.model
        return model.get_base_model() if hasattr(model, "get_base_model") else model

    @property
    def _pad(self) -> int:
        pad = self.tokenizer.pad_token_id
        return self.tokenizer.eos_token_id if pad is None else pad

    def _initialised(self) -> nn.Module:
        return _folder.initialised(self._inner)

    def _examples(self, dataset: Dataset, record: str, field: str) -> list[tuple[list[int], list[int]]]:
        prompt, answers, _ = self._encode(dataset, record, field)
        return [(prompt, a) for a in answers]

    def _encode(self, dataset: Dataset, record: str, field: str) -> tuple[list[int], list[list[int]], int]:
        """Prompt tokens, the tokens of each answer with EOS, and how many answers were cut; read once."""
        cache = self._encoded.setdefault(dataset, {})
        row = dataset.row_of[record]
        key = (row, field, self.template, self.question, self.answer, self.max_length)
        if key not in cache:
            value = dataset.column(field or self.answer)[row]
            answers = [value] if isinstance(value, str) else list(value or ())
            if not answers or not all(isinstance(a, str) and a.strip() for a in answers):
                raise DataError(f"{dataset.name}: record {record!r} has an empty {field or self.answer!r}")
            prompt = self._tokens(self.prompt(dataset.column(self.question)[row]), start=True)
            room = self.max_length - len(prompt)
            if room < 1:
                raise DataError(f"{dataset.name}: the question of record {record!r} fills max_length {self.max_length}")
            whole = [[*self._tokens(" " + a.strip()), self.tokenizer.eos_token_id] for a in answers]
            cache[key] = (prompt, [w[:room] for w in whole], sum(len(w) > room for w in whole))
        return cache[key]

    def _tokens(self, text: str, *, start: bool = False) -> list[int]:
        tokens = list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        begin = self.tokenizer.bos_token_id
        return [begin, *tokens] if start and begin is not None and tokens[:1] != [begin] else tokens
