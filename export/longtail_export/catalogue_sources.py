"""Somebody's files in, one table of items and one of interactions out, as they were given.

Items: ``item_id, title[, text][, attributes…]``. Interactions: ``user_id, item_id[, weight|rating][, timestamp]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from longtail_client.errors import DataInvalid, UnknownSource
from longtail_export.movielens import read_movielens

VALUE_SEPARATOR = "|"
"""Splits the values of an attribute in a CSV cell; Parquet may hold lists instead."""

MAX_ID_CHARACTERS = 200
"""Longest id; the service stores and accepts no longer one."""

_ITEM_COLUMNS = ("item_id", "title")
_RESERVED = ("kind", "popularity", "popularity_percentile", "is_tail")
_INTERACTION_COLUMNS = ("user_id", "item_id")


@dataclass(frozen=True, slots=True)
class Tables:
    """What a catalogue is made from.

    Attributes:
        items: Columns ``item_id`` and ``title`` (string), ``text`` (string or absent), any number of attributes.
        interactions: Columns ``user_id`` and ``item_id`` (string), ``weight`` (float32), ``timestamp``
            (int64, seconds).
        source: Where they came from, for the manifest.
    """

    items: pa.Table
    interactions: pa.Table
    source: str


def read_dataset(name: str, cache: Path) -> Tables:
    """Read a dataset that longtail knows by name.

    Raises:
        UnknownSource: There is no dataset of this name.
        SourceUnreachable: It could not be downloaded.
    """
    if name != "ml-100k":
        raise UnknownSource(
            f"expected dataset 'ml-100k', got '{name}'; for your own data use --items and --interactions"
        )
    items, interactions = read_movielens(cache)
    return Tables(items, interactions, name)


def read_tables(items_path: Path, interactions_path: Path) -> Tables:
    """Read a CSV or Parquet file of items, and one of interactions.

    Raises:
        DataInvalid: A file cannot be read, or lacks a column; the message names file and column.
    """
    items = _read(items_path, _ITEM_COLUMNS)
    interactions = _read(interactions_path, _INTERACTION_COLUMNS)
    names = set(interactions.column_names)
    weight = next((name for name in ("weight", "rating") if name in names), None)
    columns = {
        "user_id": interactions["user_id"],
        "item_id": interactions["item_id"],
        "weight": _numbers(interactions, weight, pa.float32(), 1.0, interactions_path),
        "timestamp": _numbers(
            interactions, "timestamp" if "timestamp" in names else None, pa.int64(), 0, interactions_path
        ),
    }
    return Tables(items, pa.table(columns), f"{items_path.name}, {interactions_path.name}")


def _read(path: Path, required: tuple[str, ...]) -> pa.Table:
    try:
        if path.suffix == ".parquet":
            table = pyarrow.parquet.read_table(path)
        else:
            text = dict.fromkeys(("item_id", "user_id", "title", "text"), pa.string())
            options = pyarrow.csv.ConvertOptions(column_types=text)
            table = pyarrow.csv.read_csv(path, convert_options=options)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataInvalid(f"{path}: expected a CSV or Parquet table, got {error}") from error
    repeated = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if repeated:
        raise DataInvalid(f"{path}: expected each column once, found {repeated} more than once")
    for column in required:
        if column not in table.column_names:
            raise DataInvalid(f"{path}: expected a column '{column}', found {table.column_names}")
    columns = {}
    for name in table.column_names:
        column = table[name]
        held = column.type.value_type if pa.types.is_list(column.type) else column.type
        if pa.types.is_binary(held) or pa.types.is_large_binary(held):
            raise DataInvalid(f"{path}: column '{name}': expected text, numbers or dates, got bytes; drop the column")
        if name in _RESERVED and required == _ITEM_COLUMNS:
            raise DataInvalid(f"{path}: column '{name}': longtail derives a column of this name; rename yours")
        if name in ("item_id", "user_id", "title", "text"):
            column = column.cast(pa.string())
            if name.endswith("_id"):
                _check_ids(column, name, path)
        elif path.suffix != ".parquet" and pa.types.is_string(column.type):
            column = pc.split_pattern(pc.if_else(pc.equal(column, ""), None, column), VALUE_SEPARATOR)
        columns[name] = column
    return pa.table(columns)


def _check_ids(column: pa.ChunkedArray, name: str, path: Path) -> None:
    """Refuse the first id that is missing, empty or longer than a request may name."""
    lengths = pc.fill_null(pc.utf8_length(pc.utf8_trim_whitespace(column)), 0)
    wrong = pc.or_(pc.equal(lengths, 0), pc.greater(pc.fill_null(pc.utf8_length(column), 0), MAX_ID_CHARACTERS))
    row = pc.index(wrong, True).as_py()
    if row >= 0:
        raise DataInvalid(
            f"{path}: row {row + 1}: expected a {name} of 1 to {MAX_ID_CHARACTERS} characters, "
            f"got {str(column[row].as_py())[:60]!r}"
        )


def _numbers(table: pa.Table, name: str | None, kind: pa.DataType, default: float, path: Path) -> pa.ChunkedArray:
    if name is None:
        return pa.chunked_array([pa.array([default] * len(table), kind)])
    try:
        column = table[name]
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
        numbers = pc.fill_null(column.cast(kind, safe=False), default)
        if pa.types.is_floating(kind):
            row = pc.index(pc.is_finite(numbers), False).as_py()
            if row >= 0:
                raise DataInvalid(f"{path}: row {row + 1}: expected a finite {name}, got {numbers[row].as_py()}")
        return numbers
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataInvalid(f"{path}: column '{name}': expected numbers, got {error}") from error
