"""A bag of words: the mean of a text's word vectors, one hidden layer, class scores; blind to the order of words.

Source: Joulin et al. (2016), arXiv:1607.01759. Deviations: a hidden layer; words alone, no pairs of them.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import relu

from expunge.errors import require
from expunge.models.llama import PAD, tokenizer

__all__ = ["Bag", "build", "tokenizer"]


def build(*, vocabulary_size: int, classes: int, width: int = 128) -> Bag:
    """Return a network from tokens [B, L] and their mask to logits [B, C]; weights from torch's global generator.

    Args:
        vocabulary_size: Tokens: `len(tokenizer)`.
        classes: C, ≥ 1.
        width: Of the word vectors and of the hidden layer, ≥ 1.

    Raises:
        ConfigError: A size is below 1.
    """
    sizes = (vocabulary_size, classes, width)
    require(min(sizes) >= 1, f"bag: sizes must be ≥ 1, got {sizes}")
    return Bag(vocabulary_size=vocabulary_size, classes=classes, width=width)


class Bag(nn.Module):
    """Word vectors, their mean over the words that are there, a hidden layer and a linear `head`."""

    def __init__(self, *, vocabulary_size: int, classes: int, width: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary_size, width, padding_idx=PAD if vocabulary_size > PAD else None)
        self.hidden = nn.Linear(width, width)
        self.head = nn.Linear(width, classes)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        there = attention_mask[..., None].float()
        mean = (self.words(input_ids) * there).sum(1) / there.sum(1).clamp(min=1)
        return self.head(relu(self.hidden(mean)))
