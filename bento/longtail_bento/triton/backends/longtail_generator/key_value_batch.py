"""Texts join and leave; their keys and values stay one batch, a row a text, padded on the left to end together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache

Layers = Sequence[tuple[Tensor, Tensor]]
"""Keys and values of each layer, both of shape ``(n_rows, n_heads, n_tokens, head_dim)``."""


class KeyValueBatch:
    """What a forward pass over the running texts reads and extends.

    Attributes:
        cache: The keys and values, as the model takes them.
        lengths: Tokens of each row, padding left out.
    """

    def __init__(self) -> None:
        self.cache: Any = DynamicCache()
        self.lengths: list[int] = []

    def join(self, layers: Layers, n_tokens: int) -> None:
        """Add one row.

        Args:
            layers: Keys and values of one text, ``n_rows`` being 1.
            n_tokens: How many tokens they are of.
        """
        if not self.lengths:
            self.cache = DynamicCache(layers)
        else:
            width = max(self.cache.get_seq_length(), n_tokens)
            for mine, (keys, values) in zip(self.cache.layers, layers, strict=True):
                mine.keys = torch.cat([_widened(mine.keys, width), _widened(keys, width)])
                mine.values = torch.cat([_widened(mine.values, width), _widened(values, width)])
        self.lengths.append(n_tokens)

    def keep(self, rows: list[int]) -> None:
        """Drop every other row, and the padding that no row needs any more."""
        self.lengths = [self.lengths[row] for row in rows]
        if not rows:
            self.cache = DynamicCache()
            return
        width = max(self.lengths)
        for layer in self.cache.layers:
            layer.keys = layer.keys[rows, :, -width:]
            layer.values = layer.values[rows, :, -width:]

    def grow(self) -> tuple[Tensor, Tensor]:
        """Make room for one more token a row.

        Returns:
            The attention mask, new tokens included, of shape ``(n_rows, n_tokens)``, and the new tokens' positions, of
            shape ``(n_rows, 1)``; both int64 on the CPU.
        """
        positions = torch.tensor(self.lengths)[:, None]
        self.lengths = [length + 1 for length in self.lengths]
        width = self.cache.get_seq_length() + 1
        mask = (torch.arange(width) >= width - torch.tensor(self.lengths)[:, None]).long()
        return mask, positions


def _widened(states: Tensor, width: int) -> Tensor:
    return pad(states, (0, 0, width - states.shape[2], 0))
