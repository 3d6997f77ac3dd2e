"""The values that travel between stages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from longtail_client.calls import Kind
from longtail_client.contract import Matrix, Vector

Rows = npt.NDArray[np.int64]
"""Items by their row in the catalogue."""

Mask = npt.NDArray[np.bool_]
"""One flag an item."""

Counts = npt.NDArray[np.int64]
"""One count an item."""

QuerySource = Literal["description", "steer", "interest", "aversion"]
DescriptionSource = Literal["generator", "given", "cache", "attributes"]


@dataclass(frozen=True, slots=True)
class Interaction:
    """One event of a user with an item.

    Attributes:
        item_id: The item.
        weight: How strongly it speaks for the item; a rating, or 1.
        timestamp: Seconds since 1970; 0 where it is not known.
        kind: What the user did.
    """

    item_id: str
    weight: float = 1.0
    timestamp: int = 0
    kind: Kind = "rating"


@dataclass(frozen=True, slots=True)
class History:
    """A user's interactions, tidied: one an item, oldest first.

    Attributes:
        rows: Catalogue rows of the latest that were not disliked. Shape ``(n_history,)``.
        preferences: How much each item says of the user's taste, in ``[0, 1]``. Shape ``(n_history,)``, float32.
        seen: Catalogue rows of all items that the user ever interacted with. Shape ``(n_seen,)``, at least as many.
        disliked: Catalogue rows of the latest that were disliked. Shape ``(n_disliked,)``.
    """

    rows: Rows
    preferences: Vector
    seen: Rows
    disliked: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def most_telling(self, n_items: int) -> Rows:
        """Return the rows with the highest preference, the latest first among equals."""
        order = np.lexsort((-np.arange(len(self.rows)), -self.preferences))
        latest_first: Rows = self.rows[order[:n_items]]
        return latest_first


@dataclass(frozen=True, slots=True)
class Description:
    """One text of an item that the user might like."""

    text: str
    source: DescriptionSource


@dataclass(frozen=True, slots=True)
class Described:
    """Descriptions, and the seed that they were sampled with."""

    descriptions: tuple[Description, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class Query:
    """One vector to search with, and where it came from.

    Attributes:
        source: What made it. Of an aversion, the vector is what to keep away from.
        label: The description or the wish; for an interest, the title of the history item nearest to it.
        vector: Unit vector. Shape ``(dim,)``.
    """

    source: QuerySource
    label: str
    vector: Vector


@dataclass(frozen=True, slots=True)
class Candidates:
    """Items that some query found, with their cosines to every query.

    Attributes:
        rows: Catalogue rows, each once, ascending. Shape ``(n_candidates,)``.
        cosines: Shape ``(n_candidates, n_queries)``, float32.
        queries: The queries, in the order of the columns.
    """

    rows: Rows
    cosines: Matrix
    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class Ranked:
    """Candidates in serving order.

    Attributes:
        rows: Catalogue rows, best first. Shape ``(n_ranked,)``.
        scores: What they were ordered by before they were spread apart. Shape ``(n_ranked,)``, float32.
        found_by: For each, the column of the query that speaks loudest for it. Shape ``(n_ranked,)``.
        similarities: Cosine to that query, in ``[-1, 1]``. Shape ``(n_ranked,)``, float32.
    """

    rows: Rows
    scores: Vector
    found_by: Rows
    similarities: Vector
