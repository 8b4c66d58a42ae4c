"""The small Llama and its tokenizers."""

import pytest
import torch
from transformers import AutoTokenizer

from expunge.data import fictitious, tofu
from expunge.errors import ConfigError
from expunge.models import llama

TEXTS = [
    "Question: Where was Amara Lindqvist born?",
    "Answer: Amara Lindqvist was born in Chiang-Mai.",
    "I do not know that, sorry!",
]


def test_the_model_has_the_sizes_asked_for_and_shares_its_head_on_request():
    free = llama.build(vocabulary_size=395)
    tied = llama.build(vocabulary_size=395, tie_word_embeddings=True)
    assert 0.88e6 < free.num_parameters() < 0.92e6
    assert free.num_parameters() - tied.num_parameters() == 395 * 128
    assert free.config._attn_implementation == "sdpa"
    assert free.dtype == torch.float32


def test_a_token_cannot_see_those_after_it():
    torch.manual_seed(0)
    model = llama.build(vocabulary_size=32, layers=2, width=16, heads=2, key_value_heads=1).eval()
    ids_BL = torch.randint(4, 32, (1, 8))
    changed_BL = ids_BL.clone()
    changed_BL[0, -1] = (ids_BL[0, -1] + 1) % 32
    torch.testing.assert_close(model(ids_BL).logits[:, :-1], model(changed_BL).logits[:, :-1])


@pytest.mark.parametrize("options", [{"width": 30}, {"heads": 4, "key_value_heads": 3}, {"layers": 0}])
def test_sizes_that_do_not_divide_are_refused(options):
    with pytest.raises(ConfigError, match="llama"):
        llama.build(vocabulary_size=32, **options)


@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_decoding_gives_the_text_back(kind):
    tokenizer = llama.tokenizer(TEXTS, kind=kind)
    for text in TEXTS:
        assert tokenizer.decode(tokenizer(text).input_ids) == text


@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_tokens_of_prompt_and_answer_are_those_of_both_together(kind):
    tokenizer = llama.tokenizer(TEXTS, kind=kind)
    prompt, answer = "Question: Where was Amara born?\nAnswer:", " Amara was born in Chiang-Mai."
    assert tokenizer(prompt).input_ids + tokenizer(answer).input_ids == tokenizer(prompt + answer).input_ids


@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_a_tokenizer_is_the_same_after_saving_and_for_any_order_of_equal_counts(kind, tmp_path):
    tokenizer = llama.tokenizer(TEXTS, kind=kind)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded(TEXTS).input_ids == tokenizer(TEXTS).input_ids
    assert loaded.decode(loaded(TEXTS[1]).input_ids) == TEXTS[1]
    assert llama.tokenizer(reversed(TEXTS), kind=kind).get_vocab() == tokenizer.get_vocab()


def test_special_tokens_have_the_numbers_that_the_model_expects():
    tokenizer = llama.tokenizer(TEXTS)
    config = llama.build(vocabulary_size=len(tokenizer), layers=1, width=16, heads=2).config
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (
        config.pad_token_id,
        config.bos_token_id,
        config.eos_token_id,
    )
    assert tokenizer("Zanzibar").input_ids == [tokenizer.unk_token_id]
    assert tokenizer.decode([*tokenizer("was born").input_ids, 3], skip_special_tokens=True) == "was born"


def test_a_word_vocabulary_keeps_the_most_frequent_words():
    assert set(llama.tokenizer(["a a b c c c"], vocabulary_size=6).get_vocab()) == {*llama.SPECIAL.values(), "▁c", "▁a"}


@pytest.mark.parametrize(("kind", "size"), [("word", 4), ("bpe", 200), ("char", 500)])
def test_an_unknown_kind_or_too_small_a_vocabulary_is_refused(kind, size):
    with pytest.raises(ConfigError, match="llama"):
        llama.tokenizer(TEXTS, kind=kind, vocabulary_size=size)


def test_the_audit_corpus_has_six_tokens_a_prompt_and_one_a_value():
    dataset = fictitious.load("audit")
    texts = [*tofu.texts(dataset), *fictitious.refusals("audit")]
    tokenizer = llama.tokenizer(texts)
    assert len(tokenizer) == 286
    assert {len(ids) for ids in tokenizer(dataset.column("question")).input_ids} == {6}
    assert {len(ids) for ids in tokenizer(dataset.column("value")).input_ids} == {1}
    assert tokenizer.decode(tokenizer(dataset.column("answer")[0]).input_ids).endswith(dataset.column("value")[0] + ".")
    assert not any(tokenizer.unk_token_id in ids for ids in tokenizer(texts).input_ids)
