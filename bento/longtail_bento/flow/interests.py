"""A history in, a few interests out: one unit vector for each group of items that the user likes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import cut_tree, linkage

from longtail_client.contract import Matrix, Vector

MAX_INTERESTS = 4
_LIKED_SHARE = 0.5


def cosine(first: Vector, second: Vector) -> float:
    """Return the cosine of the angle between two vectors: their product over the product of their lengths.

    Args:
        first: Shape ``(dim,)``; not the null vector.
        second: Shape ``(dim,)``; not the null vector.

    Returns:
        A number in ``[-1, 1]``.

    Raises:
        ValueError: The vectors differ in length, or one has no direction.

    Source: Manning, Raghavan, Schuetze, *Introduction to Information Retrieval* (2008), section 6.3.
    """
    if first.shape != second.shape:
        raise ValueError(f"expected two vectors of one length, got shapes {first.shape} and {second.shape}")
    norms = float(np.linalg.norm(first)) * float(np.linalg.norm(second))
    if norms == 0.0:
        raise ValueError("expected vectors with a direction, got a null vector")
    return float(np.clip(first @ second / norms, -1.0, 1.0))


def find_interests(vectors: Matrix, preferences: Vector, *, limit: int = MAX_INTERESTS) -> Matrix:
    """Group the items that a user likes, and take the preferred direction of each group.

    One mean of everything would point between a user's tastes, where there is nothing. The items whose preference is
    at least half of the highest are grouped by Ward's method.

    Args:
        vectors: Unit vectors of the history's items. Shape ``(n_history, dim)``, float32.
        preferences: Shape ``(n_history,)``, each 0 or more.
        limit: Interests at most.

    Returns:
        Unit rows, the interest with the most preference behind it first. Shape ``(n_interests, dim)``, float32, with
        ``0 <= n_interests <= limit``; none for an empty history.

    Source: Pal et al., *PinnerSage* (2020), section 4.
    """
    if len(vectors) == 0:
        return np.empty((0, vectors.shape[1]), dtype=np.float32)
    liked = np.flatnonzero(preferences >= _LIKED_SHARE * preferences.max())
    groups = _groups(vectors[liked], limit)
    found = []
    for group in np.unique(groups):
        members = liked[groups == group]
        direction = preferences[members].astype(np.float64) @ vectors[members]
        length = np.linalg.norm(direction)
        if length > 1e-6:
            found.append((float(preferences[members].sum()), direction / length))
    found.sort(key=lambda pair: -pair[0])
    return np.array([direction for _, direction in found], dtype=np.float32).reshape(-1, vectors.shape[1])


def _groups(vectors: Matrix, limit: int) -> npt.NDArray[np.int64]:
    n_groups = min(limit, 1 + len(vectors) // 3)
    if n_groups == 1:
        return np.zeros(len(vectors), dtype=np.int64)
    return np.asarray(cut_tree(linkage(vectors, method="ward"), n_clusters=n_groups)[:, 0], dtype=np.int64)
