"""The bag of words."""

import numpy as np
import pytest
import torch

from expunge.data import Dataset
from expunge.errors import ConfigError
from expunge.learners import Classifier, load
from expunge.models import bag
from expunge.recipe import Job, train_model, train_recipe_of

WORDS = ("card", "loan", "phone")
TEXTS = [f"where is my {WORDS[n % 3]}" if n % 2 else f"my {WORDS[n % 3]} please" for n in range(24)]
DATA = Dataset("bank", [f"q{n}" for n in range(24)], {"text": TEXTS, "label": np.arange(24) % 3})


def learner():
    reader = bag.tokenizer(TEXTS)
    return Classifier(bag.build(vocabulary_size=len(reader), classes=3, width=8), tokenizer=reader)


def test_neither_the_order_of_words_nor_the_length_of_others_matters():
    one = learner()
    texts = ["card my where is", "where is my card", "loan", "card card card card card card card"]
    data = Dataset("words", list("abcd"), {"text": texts, "label": np.zeros(4, dtype=int)})
    logits = one.logits(one.collate(data, data.ids))
    torch.testing.assert_close(logits[0], logits[1], atol=1e-6, rtol=0)
    torch.testing.assert_close(one.logits(one.collate(data, ["c"])), logits[2:3], atol=1e-6, rtol=0)
    assert not torch.allclose(logits[0], logits[2])


def test_the_mean_is_over_the_words_that_are_there():
    model = bag.build(vocabulary_size=6, classes=2, width=4)
    seen = []
    model.hidden.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    model(torch.tensor([[4, 5, 0]]), torch.tensor([[1, 1, 0]]))
    torch.testing.assert_close(seen[0], model.words.weight[4:6].mean(0, keepdim=True))


def test_a_size_below_one_is_refused():
    with pytest.raises(ConfigError, match="sizes must be ≥ 1"):
        bag.build(vocabulary_size=9, classes=0)


def test_a_recipe_trains_it_with_a_tokenizer_of_the_data_and_the_folder_is_read_again(tmp_path):
    block = {"kind": "classifier", "model": {"name": "bag", "classes": 3, "width": 8}, "tokenizer": {"kind": "word"}}
    train = {"epochs": 60, "lr": 1e-2, "optimiser": "adam", "batch_size": 24}
    recipe = train_recipe_of({"data": "bank", "learner": block, "train": train}, "here")
    folder = train_model(Job(recipe, DATA), tmp_path / "model")
    again = load(folder)
    assert again.spec["vocabulary_size"] == len(again.tokenizer)
    assert again.score(DATA, DATA.ids)[""]["hit"].all()
    fresh = again.fresh(0)
    assert fresh.hash() != again.hash()
