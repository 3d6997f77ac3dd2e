"""An encoder as served in, how far a text's vector moves with its company and with its padding out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from longtail_client.contract import Matrix
from longtail_client.encoder import LENGTH_BUCKETS
from longtail_export.encoder_runtimes import Embed

_BATCH = 32
Rows = Sequence[Sequence[int]]


def batch_invariance(embed: Embed, rows: Rows) -> float:
    """Compare each text alone with itself in company, at one padding.

    The companies are 31 others, and a single neighbour as long as the widest bucket.

    Args:
        embed: The encoder.
        rows: Token ids of at least 32 texts, each shorter than the widest bucket.

    Returns:
        The smallest cosine of a text to itself.
    """
    width = LENGTH_BUCKETS[-1]
    first, *inner, last = rows[0]
    longest = [first, *(inner * width)[: width - 2], last]
    worst = 1.0
    for start in range(0, len(rows) - _BATCH + 1, _BATCH):
        batch = rows[start : start + _BATCH]
        bucket = next(bucket for bucket in LENGTH_BUCKETS if max(map(len, batch)) <= bucket)
        together = _at(embed, batch, bucket)
        for index, row in enumerate(batch[:8]):
            alone = _at(embed, [row], bucket)[0]
            beside = _at(embed, [row, longest], width)[0]
            lone_and_wide = _at(embed, [row], width)[0]
            worst = min(worst, _cosine(alone, together[index]), _cosine(lone_and_wide, beside))
    return worst


def padding_invariance(embed: Embed, rows: Rows) -> float:
    """Compare each text with itself in every bucket that holds it; no other padding is ever served.

    Args:
        embed: The encoder.
        rows: Token ids.

    Returns:
        The smallest cosine of a text to itself.
    """
    worst = 1.0
    for row in rows:
        widest, *narrower = [_at(embed, [row], bucket)[0] for bucket in reversed(LENGTH_BUCKETS) if len(row) <= bucket]
        worst = min([worst, *(_cosine(widest, vector) for vector in narrower)])
    return worst


def _at(embed: Embed, rows: Rows, width: int) -> Matrix:
    input_ids = np.zeros((len(rows), width), dtype=np.int64)
    attention_mask = np.zeros_like(input_ids)
    for index, row in enumerate(rows):
        input_ids[index, : len(row)] = row
        attention_mask[index, : len(row)] = 1
    return embed(input_ids, attention_mask)


def _cosine(one: Matrix, other: Matrix) -> float:
    a, b = one.astype(np.float64), other.astype(np.float64)
    cosine = float(a @ b / np.sqrt((a @ a) * (b @ b)))
    return cosine if np.isfinite(cosine) else -1.0
