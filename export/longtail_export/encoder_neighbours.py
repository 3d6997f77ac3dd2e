"""Two sets of vectors of the same texts in, the share of nearest neighbours that they agree on out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from longtail_client.contract import Array, Matrix
from longtail_client.encoder import padded
from longtail_export.encoder_runtimes import Embed

_BATCH = 32


def embed_all(embed: Embed, rows: Sequence[Sequence[int]]) -> Matrix:
    """Embed many texts in order of length, as the client does.

    Args:
        embed: The encoder.
        rows: Token ids, at least one text.

    Returns:
        Unit rows in the order of ``rows``. Shape ``(n_texts, dim)``, float32.
    """
    by_length = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    batches = [by_length[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
    embedded = np.concatenate([embed(*padded([rows[index] for index in batch])) for batch in batches])
    vectors = np.empty_like(embedded)
    vectors[by_length] = embedded
    return vectors


def neighbour_overlap(reference: Matrix, candidate: Matrix, *, k: int = 10) -> float:
    """Compare whom each text has for neighbours among the others.

    Args:
        reference: Unit rows. Shape ``(n_texts, dim)``.
        candidate: Unit rows of the same texts. Shape ``(n_texts, dim)``.
        k: Neighbours looked at; fewer where there are not so many other texts.

    Returns:
        Mean share of the ``k`` nearest by the reference that are among the ``k`` nearest by the candidate, 0 to 1.
    """
    k = min(k, len(reference) - 1)
    shared = [
        len(np.intersect1d(one, other, assume_unique=True))
        for one, other in zip(_nearest(reference, k), _nearest(candidate, k), strict=True)
    ]
    return float(np.mean(shared)) / k


def _nearest(vectors: Matrix, k: int) -> Array:
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    return np.argsort(-cosines, axis=1, kind="stable")[:, :k]
