"""Captions as token ids, shared by the trainings of the text encoder and of the U-Net."""

import random

import torch

from architecture import MAX_TOKENS
from tokenizer import make_tokenizer


class Captions:
    """Random captions as token ids, [N, MAX_TOKENS]."""

    def __init__(self, emoji, dropout):
        self.emoji, self.dropout = emoji, dropout
        self.tokenizer, self.cache, self.rng = make_tokenizer(), {}, random.Random()

    def ids(self, text):
        if text not in self.cache:
            self.cache[text] = self.tokenizer(
                text, padding="max_length", max_length=MAX_TOKENS, truncation=True
            ).input_ids
        return self.cache[text]

    def draw(self, indices):
        rows = []
        for i in indices:
            dropped = self.rng.random() < self.dropout
            rows.append(self.ids("" if dropped else self.emoji[i].caption(self.rng)))
        return torch.tensor(rows)

    def names(self, indices):
        return torch.tensor([self.ids(self.emoji[i].name) for i in indices])
