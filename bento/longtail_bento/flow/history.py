"""A user's interactions in, one tidy history out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from longtail_bento.domain import History, Interaction, Rows

MAX_ITEMS = 200
"""Latest items that taste is read from; what is older says little of today's, and costs time in every stage."""

HALF_LIFE_ITEMS = 50
"""Items after which an older interaction counts half."""

STRENGTHS: Mapping[str, float] = {"like": 1.0, "purchase": 0.8, "view": 0.3}
"""How much an interaction of a kind says for its item. A rating is scaled, a dislike speaks against."""

_WORDS = {"view": 0, "purchase": 1}
"""What was said in words (a rating, a like, a dislike) outweighs a purchase, and that a view, whichever is later."""

_IN_WORDS = 2


def tidy_history(interactions: Sequence[Interaction], row_of: Mapping[str, int]) -> History:
    """Tidy interactions.

    One interaction with each item counts: the latest rating, like or dislike; where there is none, the latest purchase;
    else the latest view. Order is by time; interactions of the same second keep the order that they were given in.
    Items that the catalogue does not have are left out.

    Preference is the strength of the kind, times a decay by recency. A rating's strength is its weight, scaled to the
    user's own range: the lowest of a user who gave different ones counts a tenth.

    Args:
        interactions: In the order in which they were stored or given.
        row_of: Catalogue row by item id.
    """
    counting: dict[str, Interaction] = {}
    for interaction in sorted(interactions, key=lambda each: each.timestamp):
        before = counting.get(interaction.item_id)
        if interaction.item_id in row_of and (before is None or _standing(interaction) >= _standing(before)):
            counting.pop(interaction.item_id, None)
            counting[interaction.item_id] = interaction
    kept = list(counting.values())[-MAX_ITEMS:]
    liked = [each for each in kept if each.kind != "dislike"]
    age = np.arange(len(liked) - 1, -1, -1)
    return History(
        rows=_rows(liked, row_of),
        preferences=(_strengths(liked) * 0.5 ** (age / HALF_LIFE_ITEMS)).astype(np.float32),
        seen=_rows(counting.values(), row_of),
        disliked=_rows((each for each in kept if each.kind == "dislike"), row_of),
    )


def _standing(interaction: Interaction) -> int:
    return _WORDS.get(interaction.kind, _IN_WORDS)


def _rows(interactions: Iterable[Interaction], row_of: Mapping[str, int]) -> Rows:
    return np.array([row_of[each.item_id] for each in interactions], dtype=np.int64)


def _strengths(liked: Sequence[Interaction]) -> npt.NDArray[np.float64]:
    weights = np.array([each.weight for each in liked if each.kind not in STRENGTHS], dtype=np.float64)
    low, high = (weights.min(), weights.max()) if len(weights) else (0.0, 0.0)
    return np.array([STRENGTHS.get(each.kind) or _scaled(each.weight, low, high) for each in liked])


def _scaled(weight: float, low: float, high: float) -> float:
    return 0.1 + 0.9 * (weight - low) / (high - low) if high > low else 1.0
