"""An attribute's column in, a batch at a time, the values that many items have out, in memory that does not grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

MAX_COUNTED = 20_000
"""Values that are counted at a time. More make rare attributes exact sooner, and take more memory."""


class SharedValues:
    """Counts, for each value, the items that have it.

    Where an attribute has more than `MAX_COUNTED` values, such as a name of its own for each item, the rarest are
    forgotten, and ``is_exact`` becomes false: a count may then be too small, by ``n_forgotten`` at most. Counting
    again with ``only`` the candidates makes it exact.

    Args:
        only: Values to count; None counts all.

    Source: Misra, Gries, *Finding repeated elements* (1982).
    """

    def __init__(self, only: Collection[str] | None = None) -> None:
        self._only = only
        self._counts: Counter[str] = Counter()
        self.n_forgotten = 0

    @property
    def is_exact(self) -> bool:
        """Whether no value was forgotten."""
        return self.n_forgotten == 0

    def add(self, column: pa.Array) -> None:
        """Count a batch: text, or lists of values. An item that repeats a value counts once."""
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            pairs = pa.table({"row": pc.list_parent_indices(column), "value": pc.list_flatten(column)})
            column = pairs.group_by(["row", "value"]).aggregate([])["value"]
        values, counts = (field.to_pylist() for field in pc.value_counts(column).flatten())
        for value, n_items in zip(values, counts, strict=True):
            if value not in (None, "") and value == value and (self._only is None or str(value) in self._only):
                self._counts[str(value)] += n_items
        if len(self._counts) > MAX_COUNTED:
            self._forget()

    def candidates(self, enough: float) -> frozenset[str]:
        """Name the values that at least ``enough`` items have, and those that may have been forgotten too often."""
        return frozenset(value for value, count in self._counts.items() if count + self.n_forgotten >= enough)

    def _forget(self) -> None:
        """Take so much from every count that half of the values are left."""
        excess = sorted(self._counts.values(), reverse=True)[MAX_COUNTED // 2]
        self._counts = Counter({value: count - excess for value, count in self._counts.items() if count > excess})
        self.n_forgotten += excess
