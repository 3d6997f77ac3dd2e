"""A published catalogue folder in, its items in memory out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from longtail_bento.domain import Counts, Mask
from longtail_bento.flow.filtering import AttributeColumn
from longtail_client.contract import Matrix, Vector
from longtail_client.errors import ReleaseInvalid, UnknownItem
from longtail_client.release import liked_phrase

_FILTERED_TOO = {"item_id", "title"}
"""Columns that answers show beside the attributes, and that a filter may name like one."""

_SERVED_APART = {"item_id", "title", "text", "kind", "popularity", "popularity_percentile", "is_tail"}


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All items of a release, one row each, in one order everywhere.

    Attributes:
        item_ids: Ids by row.
        titles: Titles by row.
        kinds: What sort of item each is, in words; empty where nothing is known.
        attributes: Attributes by row.
        popularity: Users who interacted with each. Shape ``(n_items,)``, int64.
        popularity_percentile: 0 to 100; the tail is below 80. Shape ``(n_items,)``, float32.
        is_tail: Shape ``(n_items,)``, bool.
        vectors: Unit rows. Shape ``(n_items, dim)``, float32.
        row_of: Row by id.
    """

    item_ids: Sequence[str]
    titles: Sequence[str]
    kinds: Sequence[str]
    attributes: Sequence[Mapping[str, Any]]
    popularity: Counts
    popularity_percentile: Vector
    is_tail: Mask
    vectors: Matrix
    row_of: Mapping[str, int]

    @classmethod
    def load(cls, folder: Path) -> Catalogue:
        """Read a catalogue folder.

        Raises:
            ReleaseInvalid: Items and vectors do not belong together.
        """
        items = pyarrow.parquet.read_table(folder / "items.parquet")
        vectors = _read_index(folder / "vectors.npy", len(items))
        item_ids = items["item_id"].to_pylist()
        return cls(
            item_ids=item_ids,
            titles=items["title"].to_pylist(),
            kinds=items["kind"].to_pylist(),
            attributes=_Attributes(items.drop_columns(sorted(_SERVED_APART - _FILTERED_TOO)).combine_chunks()),
            popularity=items["popularity"].to_numpy(),
            popularity_percentile=items["popularity_percentile"].to_numpy(),
            is_tail=items["is_tail"].to_numpy(),
            vectors=vectors,
            row_of={item_id: row for row, item_id in enumerate(item_ids)},
        )

    def liked_phrase(self, row: int) -> str:
        """Name an item as the prompt names it."""
        return liked_phrase(self.titles[row], self.kinds[row])

    def column(self, attribute: str) -> AttributeColumn | None:
        """Find an attribute, the id or the title to filter on; None where there is none, or one of nested records."""
        return self.attributes.column(attribute) if isinstance(self.attributes, _Attributes) else None

    def require(self, item_id: str, *, field: str) -> None:
        """Refuse an id that the catalogue does not have.

        Raises:
            UnknownItem: It has no such item.
        """
        if item_id not in self.row_of:
            raise UnknownItem(f"the live catalogue has no item '{item_id[:80]}'", field=field)


def _read_index(path: Path, n_items: int) -> Matrix:
    expected = f"index: {path}: expected one float32 vector for each of {n_items} items"
    try:
        vectors = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise ReleaseInvalid(f"{expected}, got a file that cannot be read ({error}); export the catalogue again") from (
            error
        )
    if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != n_items:
        raise ReleaseInvalid(f"{expected}, got {vectors.dtype} {vectors.shape}; export the catalogue again")
    return np.asarray(vectors)


class _Attributes(Sequence[Mapping[str, Any]]):
    """Attributes by row, kept as columns: as objects, those of a million items take gigabytes.

    Args:
        table: The attributes, and what may be filtered on like them.
    """

    def __init__(self, table: Any) -> None:
        self._table = table
        self._shown = [name for name in table.column_names if name not in _FILTERED_TOO]
        self._columns: dict[str, AttributeColumn | None] = {}

    def column(self, name: str) -> AttributeColumn | None:
        """Read a column by its distinct values, once."""
        if name not in self._table.column_names:
            return None
        if name not in self._columns:
            self._columns[name] = _distinct(self._table[name])
        return self._columns[name]

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @overload
    def __getitem__(self, row: int) -> Mapping[str, Any]: ...

    @overload
    def __getitem__(self, row: slice) -> Sequence[Mapping[str, Any]]: ...

    def __getitem__(self, row: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        if isinstance(row, slice):
            return _Attributes(self._table.take(list(range(*row.indices(len(self))))))
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        return {name: self._table[name][row].as_py() for name in self._shown}


def _distinct(column: Any) -> AttributeColumn | None:
    entries = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    rows = np.arange(len(entries))
    if pa.types.is_list(entries.type) or pa.types.is_large_list(entries.type):
        rows = pc.list_parent_indices(entries).to_numpy()
        entries = pc.list_flatten(entries)
    if pa.types.is_dictionary(entries.type):
        entries = entries.dictionary_decode()
    if pa.types.is_float16(entries.type):  # which Arrow can do little with
        entries = entries.cast(pa.float32())
    if pa.types.is_floating(entries.type):  # shown as null, and passing what null passes
        entries = pc.if_else(pc.is_nan(entries), None, entries)
    if pa.types.is_nested(entries.type) or pa.types.is_null(entries.type):
        return None
    rows = rows[pc.is_valid(entries).to_numpy(zero_copy_only=False)].astype(np.int64)
    encoded = entries.drop_null().dictionary_encode()
    kind, codes = entries.type, encoded.indices.to_numpy()
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return AttributeColumn(encoded.dictionary.to_numpy(zero_copy_only=False), codes, rows)
    if pa.types.is_decimal(kind):
        return AttributeColumn(encoded.dictionary.cast(pa.float64()).to_numpy(), codes, rows)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return AttributeColumn(np.array(encoded.dictionary.to_pylist(), dtype=object), codes, rows)
    if pa.types.is_temporal(kind) and not pa.types.is_duration(kind):  # as answers show them
        return AttributeColumn(
            np.array([each.isoformat() for each in encoded.dictionary.to_pylist()], dtype=object), codes, rows
        )
    return None
