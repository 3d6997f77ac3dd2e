"""A user's interactions in, one tidy history out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from longtail_bento.domain import History, Interaction

MAX_ITEMS = 200
"""Latest items that taste is read from; what is older says little of today's, and costs time in every stage."""

HALF_LIFE_ITEMS = 50
"""Items after which an older interaction counts half."""


def tidy_history(interactions: Sequence[Interaction], row_of: Mapping[str, int]) -> History:
    """Tidy interactions.

    Only the latest interaction with an item counts. Order is by time; interactions of the same second keep the order
    that they were given in. Items that the catalogue does not have are left out.

    Preference is the weight, scaled to the user's own range, times a decay by recency: the lowest weight of a user who
    gave different ones counts a tenth.

    Args:
        interactions: In the order in which they were stored or given.
        row_of: Catalogue row by item id.
    """
    latest: dict[str, Interaction] = {}
    for interaction in sorted(interactions, key=lambda each: each.timestamp):
        if interaction.item_id in row_of:
            latest.pop(interaction.item_id, None)
            latest[interaction.item_id] = interaction
    seen = np.array([row_of[item_id] for item_id in latest], dtype=np.int64)
    kept = list(latest.values())[-MAX_ITEMS:]
    weights = np.array([interaction.weight for interaction in kept], dtype=np.float64)
    if len(kept) and weights.max() > weights.min():
        strength = 0.1 + 0.9 * (weights - weights.min()) / (weights.max() - weights.min())
    else:
        strength = np.ones(len(kept))
    age = np.arange(len(kept) - 1, -1, -1)
    return History(
        rows=seen[-MAX_ITEMS:],
        preferences=(strength * 0.5 ** (age / HALF_LIFE_ITEMS)).astype(np.float32),
        seen=seen,
    )
