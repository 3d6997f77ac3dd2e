"""Queries and what each of them found in, candidates with their cosines to every query out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from longtail_bento.domain import Candidates, Mask, Query, Rows
from longtail_client.contract import Matrix

PER_QUERY = 100
"""Items taken from the neighbourhood of each query. More finds compromises between queries, and costs little."""


def allowed_items(is_tail: Mask, seen: Rows, *, tail_only: bool) -> Mask:
    """Say which items may be recommended at all.

    Args:
        is_tail: Shape ``(n_items,)``, bool.
        seen: Rows of the user's history, which are never recommended.
        tail_only: Whether the head is left out.

    Returns:
        Shape ``(n_items,)``, bool.
    """
    allowed = is_tail.copy() if tail_only else np.ones_like(is_tail)
    allowed[seen] = False
    return allowed


def merge_candidates(queries: Sequence[Query], found: Rows, item_vectors: Matrix, allowed: Mask) -> Candidates:
    """Put what every query found together, each item once, and compare each with all queries.

    Args:
        queries: The queries. ``n_queries`` of them, at least one.
        found: Rows found, best first. Shape ``(n_queries, k)``; masked rows may stand at the end.
        item_vectors: Unit rows. Shape ``(n_items, dim)``.
        allowed: Which items may be recommended. Shape ``(n_items,)``, bool.
    """
    rows = np.unique(found)
    rows = rows[allowed[rows]]
    query_vectors = np.stack([query.vector for query in queries])
    return Candidates(rows, item_vectors[rows] @ query_vectors.T, tuple(queries))
