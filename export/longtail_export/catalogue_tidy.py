"""Given items in, a catalogue's items out: checked, in order, with text, kind, popularity and tail flag.

Items are read twice, a batch at a time: `scan_items` checks them and learns what is known only of all together,
`tidy_items` writes them out. What stays in memory between the two is their ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longtail_client.errors import DataInvalid
from longtail_export.item_words import MAX_TEXT, kinds_of, texts_of
from longtail_export.rows import Rows
from longtail_export.shared_values import SharedValues

HEAD_SHARE = 0.2
"""Share of the items, the most interacted with, that is the head; the rest is the tail."""

MAX_TITLE = 1000
"""Longest title; answers and prompts carry it."""

_SHARED_BY = 0.01
"""Share of the items that must have an attribute's value before it describes a kind of item."""

_DERIVED = ("text", "kind", "popularity", "popularity_percentile", "is_tail")


@dataclass(frozen=True, slots=True)
class Scan:
    """What is known only of all items together.

    Attributes:
        item_ids: In order; no two are equal.
        shared: By attribute, the values that enough items have.
        n_long_texts: Items whose own text is longer than `MAX_TEXT`.
    """

    item_ids: pa.Array
    shared: Mapping[str, frozenset[str]]
    n_long_texts: int


def scan_items(items: Rows) -> Scan:
    """Check every item, and count the values of their attributes.

    Args:
        items: ``item_id``, ``title``, maybe ``text``, and attributes.

    Raises:
        DataInvalid: No items, an empty or repeated id, an empty or overlong title; the message names the row, the
            header not counted.
    """
    worded = {name: SharedValues() for name in _attributes(items.schema) if _is_worded(items.schema.field(name).type)}
    ids: list[pa.Array] = []
    n_items = n_long_texts = 0
    for batch in items.batches():
        _check_present(batch, "item_id", n_items)
        _check_present(batch, "title", n_items)
        ids.append(batch["item_id"])
        for name, values in worded.items():
            values.add(batch[name])
        if "text" in batch.schema.names:
            n_long_texts += pc.sum(pc.greater(pc.utf8_length(batch["text"]), MAX_TEXT)).as_py() or 0
        n_items += len(batch)
    if n_items == 0:
        raise DataInvalid("items: expected at least one row, found none")
    item_ids = pa.concat_arrays(ids)
    _check_unique(item_ids)
    enough = max(2.0, _SHARED_BY * n_items)
    candidates = {name: values.candidates(enough) for name, values in worded.items()}
    unsure = [name for name, values in worded.items() if not values.is_exact and candidates[name]]
    if unsure:
        exact = {name: SharedValues(candidates[name]) for name in unsure}
        for batch in items.batches():
            for name, values in exact.items():
                values.add(batch[name])
        candidates |= {name: values.candidates(enough) for name, values in exact.items()}
    return Scan(item_ids, candidates, n_long_texts)


def tidied_schema(given: pa.Schema) -> pa.Schema:
    """Say what columns `tidy_items` gives."""
    kept = [field for field in given if field.name not in _DERIVED]
    return pa.schema(
        [
            *kept,
            pa.field("text", pa.string()),
            pa.field("kind", pa.string()),
            pa.field("popularity", pa.int64()),
            pa.field("popularity_percentile", pa.float32()),
            pa.field("is_tail", pa.bool_()),
        ]
    )


def tidy_items(items: Rows, scan: Scan, popularity: npt.NDArray[np.int64]) -> Iterator[pa.RecordBatch]:
    """Add what serving needs to know of each item.

    Args:
        items: The rows that were scanned.
        scan: What the scan found.
        popularity: Users by item. Shape ``(n_items,)``.

    Yields:
        The items with ``text`` (string, what the encoder reads), ``kind`` (string, the attribute values that many
        items share), ``popularity`` (int64, users who interacted with it), ``popularity_percentile`` (float32, 0 to
        100, the tail below 80) and ``is_tail`` (bool).

    Raises:
        DataInvalid: The items are no longer those that were scanned.
    """
    percentile, is_tail = rank_popularity(popularity, scan.item_ids)
    schema = tidied_schema(items.schema)
    attributes = _attributes(items.schema)
    start = 0
    for batch in items.batches():
        end = start + len(batch)
        if not batch["item_id"].equals(scan.item_ids[start:end]):
            raise _changed(start)
        columns = {
            "text": texts_of(batch, attributes),
            "kind": kinds_of(batch, scan.shared),
            "popularity": pa.array(popularity[start:end]),
            "popularity_percentile": pa.array(percentile[start:end]),
            "is_tail": pa.array(is_tail[start:end]),
        }
        yield pa.record_batch(
            [columns[name] if name in columns else batch[name] for name in schema.names], schema=schema
        )
        start = end
    if start != len(scan.item_ids):
        raise _changed(start)


def _changed(row: int) -> DataInvalid:
    return DataInvalid(f"items: row {row + 1} and after: they changed while they were read; export again")


def rank_popularity(
    popularity: npt.NDArray[np.int64], item_ids: pa.Array
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Place each item between the least (0) and the most popular (just under 100).

    Equal counts are ordered by item id, shorter ids first so that numbers stand in numeric order; the smaller id
    counts as the more popular.

    Args:
        popularity: Users by item. Shape ``(n_items,)``.
        item_ids: Their ids.

    Returns:
        Percentile and tail flag, both ``(n_items,)``. The head is the top 20 %, rounded down.
    """
    n_items = len(item_ids)
    table = pa.table({"popularity": popularity, "length": pc.utf8_length(item_ids), "item_id": item_ids})
    order = [("popularity", "descending"), ("length", "ascending"), ("item_id", "ascending")]
    most_popular_first = pc.sort_indices(table, sort_keys=order).to_numpy()
    n_head = int(n_items * HEAD_SHARE)
    percentile = np.empty(n_items, dtype=np.float32)
    percentile[most_popular_first] = 100.0 * np.arange(n_items - 1, -1, -1) / n_items
    is_tail = np.ones(n_items, dtype=np.bool_)
    is_tail[most_popular_first[:n_head]] = False
    return percentile, is_tail


def _check_present(batch: pa.RecordBatch, column: str, n_before: int) -> None:
    lengths = pc.fill_null(pc.utf8_length(pc.utf8_trim_whitespace(batch[column])), 0)
    row = pc.index(lengths, 0).as_py()
    if row >= 0:
        raise DataInvalid(f"items: row {n_before + row + 1}: expected a {column}, found it empty")
    if column == "title":
        row = pc.index(pc.greater(lengths, MAX_TITLE), True).as_py()
        if row >= 0:
            raise DataInvalid(
                f"items: row {n_before + row + 1}: expected a title of at most {MAX_TITLE} characters, "
                f"got one of {lengths[row].as_py()}; put what is longer into the column 'text'"
            )


def _check_unique(item_ids: pa.Array) -> None:
    if pc.count_distinct(item_ids).as_py() == len(item_ids):
        return
    first_row: dict[str, int] = {}
    for row, item_id in enumerate(item_ids.to_pylist(), start=1):
        if first_row.setdefault(item_id, row) != row:
            raise DataInvalid(f"items: row {row}: item_id '{item_id}' stands in row {first_row[item_id]} already")


def _attributes(schema: pa.Schema) -> list[str]:
    return [name for name in schema.names if name not in ("item_id", "title", *_DERIVED)]


def _is_worded(kind: pa.DataType) -> bool:
    """Tell whether a column's values are words or lists, which may name a kind; numbers and dates do not."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return any(is_kind(kind) for is_kind in _WORDED)


_WORDED = (pa.types.is_string, pa.types.is_large_string, pa.types.is_list, pa.types.is_large_list)
