"""Two forms of an encoder in, how far apart their vectors are out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from longtail_client.contract import Array, Matrix
from longtail_client.encoder import LENGTH_BUCKETS, TextTokenizer, padded
from longtail_export.encoder_runtimes import Embed

N_TEXTS = 256
_BATCH = 16


@dataclass(frozen=True, slots=True)
class Parity:
    """Cosines between an exported model's vectors and its reference's, one a text.

    Attributes:
        n_texts: Texts compared.
        min_tokens: Tokens of the shortest, special tokens left out.
        max_tokens: Tokens of the longest, special tokens included.
        mean_cosine: Mean over the texts.
        worst_cosine: The smallest.
        worst_text: The text that has it.
    """

    n_texts: int
    min_tokens: int
    max_tokens: int
    mean_cosine: float
    worst_cosine: float
    worst_text: str


def parity_texts(tokenizer_path: Path, n_texts: int = N_TEXTS, *, seed: int = 0) -> list[str]:
    """Write texts of every length from 1 token to the longest bucket, out of the vocabulary's whole words.

    Args:
        tokenizer_path: The encoder's ``tokenizer.json``.
        n_texts: How many; the lengths are spread evenly.
        seed: Chooses the words.
    """
    vocabulary = Tokenizer.from_file(str(tokenizer_path)).get_vocab()
    words = sorted(word for word in vocabulary if word.isalpha() and len(word) > 1)
    random = np.random.default_rng(seed)
    lengths = np.linspace(1, LENGTH_BUCKETS[-1] - 2, n_texts).round().astype(int)
    return [" ".join(random.choice(words, length)) for length in lengths]


def measure_parity(reference: Embed, exported: Embed, tokenizer: TextTokenizer, texts: Sequence[str]) -> Parity:
    """Embed each text with both, as served: padded to a bucket, beside neighbours.

    Args:
        reference: What it shall agree with.
        exported: The export.
        tokenizer: Turns texts into ids.
        texts: What to compare on.
    """
    rows = tokenizer(texts)
    cosines = np.concatenate([_cosines(reference, exported, *padded(batch)) for batch in _batches(rows)])
    worst = int(cosines.argmin())
    return Parity(
        n_texts=len(texts),
        min_tokens=min(len(row) for row in rows) - 2,
        max_tokens=max(len(row) for row in rows),
        mean_cosine=float(cosines.mean()),
        worst_cosine=float(cosines[worst]),
        worst_text=texts[worst],
    )


def _batches(rows: Sequence[Sequence[int]]) -> Iterator[Sequence[Sequence[int]]]:
    for start in range(0, len(rows), _BATCH):
        yield rows[start : start + _BATCH]


def _cosines(reference: Embed, exported: Embed, input_ids: Array, attention_mask: Array) -> Matrix:
    expected = reference(input_ids, attention_mask).astype(np.float64)
    got = exported(input_ids, attention_mask).astype(np.float64)
    norms = np.linalg.norm(expected, axis=1) * np.linalg.norm(got, axis=1)
    return np.asarray((expected * got).sum(axis=1) / norms, dtype=np.float32)
