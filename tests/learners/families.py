"""Networks of each family that learners are tested on, small and built in memory."""

from __future__ import annotations

import torch

from expunge.data import Dataset
from expunge.learners import CausalLM, Classifier
from expunge.models import llama, mlp, resnet

LANGUAGE_MODELS = ("llama", "gpt2", "tied")
CLASSIFIERS = ("mlp", "resnet", "vit", "bert")


def build(name: str, questions: Dataset) -> CausalLM | Classifier:
    """Return one learner of a family."""
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        GPT2Config,
        GPT2LMHeadModel,
        ViTConfig,
        ViTForImageClassification,
    )

    columns = questions.columns
    reader = llama.tokenizer([*columns["question"], *columns["answer"], "Question: Answer:"])
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    if name in ("llama", "tied"):
        spec = {"vocabulary_size": len(reader), "layers": 2, "width": 16, "heads": 2, "max_length": 64}
        model = llama.build(**spec, tie_word_embeddings=name == "tied")
        if name == "llama":
            torch.nn.init.normal_(model.lm_head.weight)
        return CausalLM(model, reader)
    if name == "gpt2":
        reader.pad_token = reader.eos_token  # as GPT-2 is mostly used
        sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64, "attn_pdrop": 0.1}
        ids = {"bos_token_id": reader.bos_token_id, "eos_token_id": reader.eos_token_id}
        return CausalLM(GPT2LMHeadModel(GPT2Config(vocab_size=len(reader), **sizes, **ids)), reader)
    if name == "vit":
        return Classifier(ViTForImageClassification(ViTConfig(image_size=8, patch_size=4, num_labels=3, **small)))
    if name == "bert":
        config = BertConfig(vocab_size=len(reader), max_position_embeddings=32, num_labels=3, **small)
        return Classifier(BertForSequenceClassification(config), tokenizer=reader, max_length=32)
    if name == "resnet":
        spec = {"classes": 3, "width": 4}
        return Classifier(resnet.build(**spec), spec={"name": "resnet", **spec})
    spec = {"inputs": 4, "classes": 3, "hidden": [8]}
    return Classifier(mlp.build(**spec), spec={"name": "mlp", **spec})
