"""A small Llama with a tokenizer made for its texts: both in memory, nothing fetched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE, WordLevel
from tokenizers.trainers import BpeTrainer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from expunge.errors import ConfigError, require

SPECIAL = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<bos>", "eos_token": "<eos>"}
PAD, UNKNOWN, BEGIN, END = range(4)
_SPACE = "▁"
_WORD = r"\w+(?:['’\-]\w+)*|[^\w\s]"
_NO_SPACE_BEFORE = ".,;:?!)]}%"


def build(
    *,
    vocabulary_size: int,
    layers: int = 4,
    width: int = 128,
    heads: int = 4,
    key_value_heads: int | None = None,
    feed_forward: int | None = None,
    max_length: int = 256,
    tie_word_embeddings: bool = False,
) -> LlamaForCausalLM:
    """Return an untrained Llama in float32; weights from torch's global generator.

    Args:
        vocabulary_size: Tokens, with the four special ones that `tokenizer` numbers 0 to 3: `len(tokenizer)`.
        layers: Number of blocks, ≥ 1.
        width: Of the hidden states, a multiple of 2 · `heads`.
        heads: Attention heads, ≥ 1.
        key_value_heads: A divisor of `heads`; None is one for each head.
        feed_forward: Width inside a block's feed-forward part; None is 8/3 · `width`, rounded up to a multiple of 8.
        max_length: Tokens in the longest sequence.
        tie_word_embeddings: Whether the head shares its matrix with the input embedding.

    Raises:
        ConfigError: A size is below 1 or does not divide.
    """
    shared = key_value_heads or heads
    sizes = (vocabulary_size, layers, width, heads, shared, max_length)
    require(min(sizes) >= 1, f"llama: sizes must be ≥ 1, got {sizes}")
    require(width % (2 * heads) == 0, f"llama: width {width} must be a multiple of 2 x heads = {2 * heads}")
    require(heads % shared == 0, f"llama: key_value_heads {shared} must divide heads {heads}")
    config = LlamaConfig(
        vocab_size=vocabulary_size,
        hidden_size=width,
        intermediate_size=feed_forward or -(-width // 3) * 8,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=shared,
        max_position_embeddings=max_length,
        tie_word_embeddings=tie_word_embeddings,
        pad_token_id=PAD,
        bos_token_id=BEGIN,
        eos_token_id=END,
    )
    return LlamaForCausalLM(config)


def tokenizer(
    texts: Iterable[str], *, kind: Literal["word", "bpe"] = "word", vocabulary_size: int | None = None
) -> PreTrainedTokenizerFast:
    """Return a tokenizer for these texts; it adds no special tokens by itself.

    `word` makes each word and each punctuation mark a token, whatever white space stands around it: tokens of a prompt
    followed by tokens of an answer are the tokens of both, joined by a space. `bpe` is byte-level: any text is spelt
    without loss, and the space belongs to the word after it.

    Args:
        texts: What to learn the vocabulary from.
        kind: `word` or `bpe`.
        vocabulary_size: At most so many tokens, special ones included. Default: every word; 1,024 for `bpe`.

    Raises:
        ConfigError: Unknown kind, or a vocabulary below the special tokens (and the 256 bytes of `bpe`).
    """
    if kind == "word":
        made = _word_level(texts, vocabulary_size)
    elif kind == "bpe":
        made = _byte_pairs(texts, 1024 if vocabulary_size is None else vocabulary_size)
    else:
        raise ConfigError(f"llama: no tokenizer is called {kind!r}", hint="allowed: word, bpe")
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
        **SPECIAL,
    )


def _word_level(texts: Iterable[str], vocabulary_size: int | None) -> Tokenizer:
    require(vocabulary_size is None or vocabulary_size > len(SPECIAL), "llama: vocabulary_size must be > 4")
    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORD), behavior="removed", invert=True),
            pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme="always", split=False),
        ]
    )
    counts = Counter(word for text in texts for word, _ in split.pre_tokenize_str(text))
    words = sorted(counts, key=lambda word: (-counts[word], word))
    kept = [*SPECIAL.values(), *words][:vocabulary_size]
    made = Tokenizer(WordLevel({word: number for number, word in enumerate(kept)}, unk_token=SPECIAL["unk_token"]))
    made.pre_tokenizer = split
    glued = [decoders.Replace(_SPACE + mark, mark) for mark in _NO_SPACE_BEFORE]
    made.decoder = decoders.Sequence([*glued, decoders.Metaspace(replacement=_SPACE, prepend_scheme="always")])
    return made


def _byte_pairs(texts: Iterable[str], vocabulary_size: int) -> Tokenizer:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    smallest = len(SPECIAL) + len(alphabet)
    require(vocabulary_size >= smallest, f"llama: vocabulary_size must be ≥ {smallest} for bpe, got {vocabulary_size}")
    made = Tokenizer(BPE(unk_token=SPECIAL["unk_token"]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = list(SPECIAL.values())
    trainer = BpeTrainer(
        vocab_size=vocabulary_size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(texts, trainer)
    return made
