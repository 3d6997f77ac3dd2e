"""Given tables in, a catalogue's items out: checked, in order, with text, popularity and tail flag."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longtail_client.errors import DataInvalid

HEAD_SHARE = 0.2
"""Share of the items, the most interacted with, that is the head; the rest is the tail."""

_MAX_TEXT = 4000
_SHARED_BY = 0.01
"""Share of the items that must have an attribute's value before it describes a kind of item."""


def tidy_items(items: pa.Table, interactions: pa.Table) -> pa.Table:
    """Check items and add what serving needs to know of each.

    Args:
        items: As read: ``item_id``, ``title``, maybe ``text``, and attributes.
        interactions: As read: ``user_id``, ``item_id``.

    Returns:
        The items with ``text`` (string, what the encoder reads), ``kind`` (string, the attribute values that many
        items share), ``popularity`` (int64, users who interacted with it), ``popularity_percentile`` (float32, 0 to
        100, the tail below 80) and ``is_tail`` (bool).

    Raises:
        DataInvalid: No items, an empty or repeated id, an empty title; the message names the row, the
            header not counted.
    """
    if len(items) == 0:
        raise DataInvalid("items: expected at least one row, found none")
    item_ids = items["item_id"].to_pylist()
    _check_present("item_id", item_ids)
    _check_present("title", items["title"].to_pylist())
    first_row: dict[str, int] = {}
    for row, item_id in enumerate(item_ids, start=1):
        if first_row.setdefault(item_id, row) != row:
            raise DataInvalid(f"items: row {row}: item_id '{item_id}' stands in row {first_row[item_id]} already")
    popularity = count_users(item_ids, interactions)
    percentile, is_tail = rank_popularity(popularity, item_ids)
    given = {name: items[name] for name in items.column_names if name not in _DERIVED}
    return pa.table(
        {
            **given,
            "text": pa.array(_texts(items)),
            "kind": pa.array(_kinds(items)),
            "popularity": pa.array(popularity),
            "popularity_percentile": pa.array(percentile),
            "is_tail": pa.array(is_tail),
        }
    )


_DERIVED = ("text", "kind", "popularity", "popularity_percentile", "is_tail")


def known_interactions(interactions: pa.Table, items: pa.Table) -> pa.Table:
    """Keep the interactions with items of the catalogue."""
    return interactions.filter(pc.is_in(interactions["item_id"], value_set=items["item_id"].combine_chunks()))


def count_users(item_ids: list[str], interactions: pa.Table) -> npt.NDArray[np.int64]:
    """Count, for each item, the users who interacted with it; a user counts once.

    Returns:
        Shape ``(n_items,)``, int64.
    """
    pairs = interactions.group_by(["user_id", "item_id"]).aggregate([])
    counts = pairs.group_by("item_id").aggregate([("user_id", "count")])
    by_item = dict(zip(counts["item_id"].to_pylist(), counts["user_id_count"].to_pylist(), strict=True))
    return np.array([by_item.get(item_id, 0) for item_id in item_ids], dtype=np.int64)


def rank_popularity(
    popularity: npt.NDArray[np.int64], item_ids: list[str]
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
    most_popular_first = sorted(range(n_items), key=lambda row: (-popularity[row], len(item_ids[row]), item_ids[row]))
    n_head = int(n_items * HEAD_SHARE)
    percentile = np.empty(n_items, dtype=np.float32)
    percentile[most_popular_first] = 100.0 * np.arange(n_items - 1, -1, -1) / n_items
    is_tail = np.ones(n_items, dtype=np.bool_)
    is_tail[most_popular_first[:n_head]] = False
    return percentile, is_tail


def _check_present(column: str, values: list[str | None]) -> None:
    for row, value in enumerate(values, start=1):
        if value is None or not value.strip():
            raise DataInvalid(f"items: row {row}: expected a {column}, found it empty")


def _texts(items: pa.Table) -> list[str]:
    """Take each item's own text, or write one from its title and attributes."""
    rows = items.to_pylist()
    attributes = _attributes(items)
    return [(row.get("text") or _written(row, attributes))[:_MAX_TEXT] for row in rows]


def _written(row: dict[str, object], attributes: list[str]) -> str:
    parts = [str(row["title"])]
    for name in attributes:
        values = _values(row[name])
        if values:
            parts.append(f"{name}: {', '.join(values)}")
    return ". ".join(parts)


def _kinds(items: pa.Table) -> list[str]:
    """Say of what kind each item is: those of its attributes' values that at least one item in a hundred has."""
    enough = max(2.0, _SHARED_BY * len(items))
    kinds: list[list[str]] = [[] for _ in range(len(items))]
    for name in _attributes(items):
        column = items[name].to_pylist()
        if not all(cell is None or isinstance(cell, str | list) for cell in column):
            continue
        cells = [_values(cell) for cell in column]
        uses = Counter(value for cell in cells for value in set(cell))
        for kind, cell in zip(kinds, cells, strict=True):
            kind.extend(value for value in cell if uses[value] >= enough)
    return [", ".join(kind) for kind in kinds]


def _attributes(items: pa.Table) -> list[str]:
    return [name for name in items.column_names if name not in ("item_id", "title", *_DERIVED)]


def _values(cell: Any) -> list[str]:
    """Read a cell as the values it holds: a list's, or the one."""
    values = cell if isinstance(cell, list) else [cell]
    return [str(value) for value in values if value not in (None, "") and value == value]  # NaN differs from itself
