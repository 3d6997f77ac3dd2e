"""Candidates in, the same candidates in serving order out.

Weighs the queries against each other, lifts the long tail, then spreads similar items apart. Never adds an item, never
changes a similarity.
"""

from __future__ import annotations

import numpy as np

from longtail_bento.domain import Candidates, Counts, Ranked, Rows
from longtail_client.contract import Matrix, Vector
from longtail_client.release import Weights

_SOURCES = ("description", "steer", "interest")


def rank(
    candidates: Candidates,
    item_vectors: Matrix,
    popularity: Counts,
    weights: Weights,
    *,
    k: int,
    adventurousness: float,
    diversity: float,
) -> Ranked:
    """Score candidates, then choose ``k`` of them one after another.

    An item's score is the sum, over descriptions, steer sentences and interests, of the source's weight times the best
    of its standardised cosines, minus popularity, minus what it has of an aversion: the weight of wishes times the
    highest of its standardised cosines to what the user does not want, where that is above the mean. Cosines are
    standardised for each query over the candidates, because an interest, made of items, lies nearer to all items than
    a short description does.

    Args:
        candidates: What the queries found.
        item_vectors: Unit rows of the whole catalogue. Shape ``(n_items, dim)``.
        popularity: Interaction counts. Shape ``(n_items,)``.
        weights: The release's weights.
        k: Items to return at most.
        adventurousness: How far from the popular, in ``[0, 1]``.
        diversity: How far from each other, in ``[0, 1]``; 0 orders by score alone.
    """
    standardised = _standardised(candidates.cosines)
    scores = np.zeros(len(candidates.rows), dtype=np.float32)
    contributions = np.full(standardised.shape, -np.inf, dtype=np.float32)
    for source in _SOURCES:
        columns = [index for index, query in enumerate(candidates.queries) if query.source == source]
        if columns:
            weighted = getattr(weights, source) * standardised[:, columns]
            scores += weighted.max(axis=1)
            contributions[:, columns] = weighted
    averse = [index for index, query in enumerate(candidates.queries) if query.source == "aversion"]
    if averse:
        scores -= weights.steer * np.maximum(standardised[:, averse].max(axis=1), 0.0)
    scores -= adventurousness * weights.popularity * np.log1p(popularity[candidates.rows]).astype(np.float32)
    order = _spread(scores, item_vectors[candidates.rows], k=k, diversity=diversity)
    found_by = _loudest(candidates, contributions)[order]
    return Ranked(
        rows=candidates.rows[order],
        scores=scores[order],
        found_by=found_by,
        similarities=candidates.cosines[order, found_by],
    )


def _standardised(cosines: Matrix) -> Matrix:
    if len(cosines) == 0:
        return cosines
    spread = cosines.std(axis=0)
    return np.asarray((cosines - cosines.mean(axis=0)) / np.where(spread > 1e-6, spread, 1.0), dtype=np.float32)


def _loudest(candidates: Candidates, contributions: Matrix) -> Rows:
    """Name, for each candidate, the description or wish that speaks loudest, or an interest where there is neither."""
    worded = np.array([query.source in ("description", "steer") for query in candidates.queries])
    if worded.any():
        contributions = np.where(worded, contributions, -np.inf)
    return np.asarray(contributions.argmax(axis=1), dtype=np.int64)


def _spread(scores: Vector, vectors: Matrix, *, k: int, diversity: float) -> Rows:
    """Choose greedily: the next item is the one whose score, less its likeness to the chosen, is highest.

    Both are scaled to ``[0, 1]``, so that ``diversity`` means the same for every request. Equal values keep the order
    of the catalogue.

    Source: Carbonell, Goldstein, *The Use of MMR* (1998).
    """
    n_chosen = min(k, len(scores))
    low, high = (float(scores.min()), float(scores.max())) if len(scores) else (0.0, 0.0)
    worth = (scores - low) / (high - low) if high > low else np.zeros_like(scores)
    likeness = np.zeros(len(scores), dtype=np.float32)
    chosen = np.empty(n_chosen, dtype=np.int64)
    open_ = np.ones(len(scores), dtype=np.bool_)
    for position in range(n_chosen):
        value = (1.0 - diversity) * worth - diversity * likeness
        best = int(np.where(open_, value, -np.inf).argmax())
        chosen[position] = best
        open_[best] = False
        likeness = np.maximum(likeness, np.clip(vectors @ vectors[best], 0.0, 1.0))
    return chosen
