"""Somebody's files in, items and interactions out, checked, a batch at a time and as often as they are asked for.

Items: ``item_id, title[, text][, attributes…]``. Interactions: ``user_id, item_id[, weight|rating][, timestamp]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from longtail_client.errors import DataInvalid, UnknownSource
from longtail_export.csv_rows import MISSING_NUMBERS, csv_rows, without_missing
from longtail_export.movielens import read_movielens
from longtail_export.rows import Rows

VALUE_SEPARATOR = "|"
"""Splits the values of an attribute in a CSV cell; Parquet may hold lists instead."""

MAX_ID_CHARACTERS = 200
"""Longest id; the service stores and accepts no longer one."""

_PARQUET_ROWS = 4096
_BUFFER_BYTES = 1024 * 1024
_ITEM_COLUMNS = ("item_id", "title")
_TEXTS = ("item_id", "user_id", "title", "text")
_RESERVED = ("kind", "popularity", "popularity_percentile", "is_tail")
_INTERACTION_COLUMNS = ("user_id", "item_id")
_WEIGHTS = ("weight", "rating")
_INTERACTIONS = pa.schema(
    [("user_id", pa.string()), ("item_id", pa.string()), ("weight", pa.float32()), ("timestamp", pa.int64())]
)


@dataclass(frozen=True, slots=True)
class Tables:
    """What a catalogue is made from.

    Attributes:
        items: Columns ``item_id`` and ``title`` (string), ``text`` (string or absent), any number of attributes.
        interactions: Columns ``user_id`` and ``item_id`` (string), ``weight`` (float32), ``timestamp``
            (int64, seconds).
        source: Where they came from, for the manifest.
    """

    items: Rows
    interactions: Rows
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
    return Tables(Rows.of(items), Rows.of(interactions), name)


def read_tables(items_path: Path, interactions_path: Path) -> Tables:
    """Open a CSV or Parquet file of items, and one of interactions.

    Raises:
        DataInvalid: A file cannot be read, or lacks a column; the message names file and column. While the rows are
            read: one of them cannot be served; the message names file, row (the header not counted) and column.
    """
    return Tables(_items(items_path), _interactions(interactions_path), f"{items_path.name}, {interactions_path.name}")


def _items(path: Path) -> Rows:
    rows = _file(path, _ITEM_COLUMNS)
    is_csv = path.suffix != ".parquet"
    fields = [_item_field(field, path, is_csv=is_csv) for field in rows.schema]

    def tidied(batch: pa.RecordBatch, first_row: int) -> pa.RecordBatch:
        columns = []
        for given, field in zip(rows.schema, fields, strict=True):
            column = batch[given.name]
            if field.type != given.type and pa.types.is_list(field.type):
                column = pc.split_pattern(pc.if_else(pc.equal(column, ""), None, column), VALUE_SEPARATOR)
            columns.append(column.cast(field.type))
        _check_ids(batch["item_id"].cast(pa.string()), "item_id", path, first_row)
        return pa.record_batch(columns, schema=pa.schema(fields))

    return rows.mapped(pa.schema(fields), tidied)


def _item_field(field: pa.Field, path: Path, *, is_csv: bool) -> pa.Field:
    """Say how a column is kept, and refuse one that cannot be served."""
    if field.name in _TEXTS:
        return pa.field(field.name, pa.string())
    if field.name in _RESERVED:
        raise DataInvalid(f"{path}: column '{field.name}': longtail derives a column of this name; rename yours")
    if pa.types.is_dictionary(field.type):
        return _item_field(field.with_type(field.type.value_type), path, is_csv=is_csv)
    held = field.type.value_type if _is_list(field.type) else field.type
    if _is_bytes(held):
        raise DataInvalid(f"{path}: column '{field.name}': expected text, numbers or dates, got bytes; drop the column")
    if pa.types.is_nested(held):
        raise DataInvalid(
            f"{path}: column '{field.name}': expected text, numbers or dates, or lists of them, got {field.type}; "
            "drop the column, or give each part one of its own"
        )
    return pa.field(field.name, pa.list_(pa.string()) if is_csv and pa.types.is_string(field.type) else field.type)


def _is_bytes(kind: pa.DataType) -> bool:
    return any(
        is_kind(kind) for is_kind in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    )


def _is_list(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))


def _interactions(path: Path) -> Rows:
    rows = _file(path, _INTERACTION_COLUMNS)
    weight = next((name for name in _WEIGHTS if name in rows.schema.names), None)
    timestamp = "timestamp" if "timestamp" in rows.schema.names else None

    def tidied(batch: pa.RecordBatch, first_row: int) -> pa.RecordBatch:
        ids = {name: batch[name].cast(pa.string()) for name in _INTERACTION_COLUMNS}
        for name, column in ids.items():
            _check_ids(column, name, path, first_row)
        weights = _numbers(batch, weight, pa.float32(), 1.0, path, first_row)
        row = pc.index(pc.is_finite(weights), False).as_py()
        if row >= 0:
            raise DataInvalid(
                f"{path}: row {first_row + row + 1}: expected a finite {weight}, got {weights[row].as_py()}"
            )
        timestamps = _numbers(batch, timestamp, pa.int64(), 0, path, first_row)
        return pa.record_batch([*ids.values(), weights, timestamps], schema=_INTERACTIONS)

    return rows.mapped(_INTERACTIONS, tidied)


def _file(path: Path, required: tuple[str, ...]) -> Rows:
    """Open a file, its columns as they are typed in it, and say of any failure to read it which file it was."""
    with _named(path):
        if path.suffix == ".parquet":
            rows = Rows(pyarrow.parquet.read_schema(path).remove_metadata(), _parquet_batches(path))
        else:
            rows = csv_rows(path, texts=_TEXTS if required == _ITEM_COLUMNS else None)
    names = rows.schema.names
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataInvalid(f"{path}: expected each column once, found {repeated} more than once")
    for column in required:
        if column not in names:
            raise DataInvalid(f"{path}: expected a column '{column}', found {names}")
    for field in rows.schema:
        if field.name in _TEXTS and (pa.types.is_nested(field.type) or _is_bytes(field.type)):
            raise DataInvalid(f"{path}: column '{field.name}': expected text, got {field.type}")

    def batches() -> Iterator[pa.RecordBatch]:
        with _named(path):
            for batch in rows.batches():
                batch.validate(full=True)
                yield batch

    return Rows(rows.schema, batches)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:
        raise DataInvalid(f"{path}: expected a CSV or Parquet table, got {error}") from error


def _parquet_batches(path: Path) -> Callable[[], Iterator[pa.RecordBatch]]:
    def batches() -> Iterator[pa.RecordBatch]:
        with pyarrow.parquet.ParquetFile(path, buffer_size=_BUFFER_BYTES) as file:
            yield from file.iter_batches(batch_size=_PARQUET_ROWS)

    return batches


def _check_ids(column: pa.Array, name: str, path: Path, first_row: int) -> None:
    """Refuse the first id that is missing, empty or longer than a request may name."""
    lengths = pc.fill_null(pc.utf8_length(pc.utf8_trim_whitespace(column)), 0)
    wrong = pc.or_(pc.equal(lengths, 0), pc.greater(pc.fill_null(pc.utf8_length(column), 0), MAX_ID_CHARACTERS))
    row = pc.index(wrong, True).as_py()
    if row >= 0:
        raise DataInvalid(
            f"{path}: row {first_row + row + 1}: expected a {name} of 1 to {MAX_ID_CHARACTERS} characters, "
            f"got {str(column[row].as_py())[:60]!r}"
        )


def _numbers(
    batch: pa.RecordBatch, name: str | None, kind: pa.DataType, default: float, path: Path, first_row: int
) -> pa.Array:
    """Read a column as numbers, ``default`` where it is empty or not there."""
    if name is None:
        return pa.array([default] * len(batch), kind)
    column = batch[name]
    try:
        return pc.fill_null(_cast(column, kind), default)
    except _NOT_A_NUMBER as error:
        row = next((row for row in range(len(column)) if not _is_number(column.slice(row, 1), kind)), None)
        if row is None:
            raise DataInvalid(f"{path}: column '{name}': expected numbers, all of one form, got {error}") from error
        raise DataInvalid(
            f"{path}: row {first_row + row + 1}: column '{name}': expected a number, "
            f"got {str(column[row].as_py())[:60]!r}"
        ) from error


_NOT_A_NUMBER = (pa.ArrowInvalid, pa.ArrowNotImplementedError)


def _is_number(cell: pa.Array, kind: pa.DataType) -> bool:
    try:
        _cast(cell, kind)
    except _NOT_A_NUMBER:
        return False
    return True


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Read cells as ``kind``; a moment, written as a number or as a date, is its seconds."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = without_missing(column, MISSING_NUMBERS)
        for seconds in (pa.float64(), pa.timestamp("s"), pa.timestamp("s", "UTC")) if kind == pa.int64() else ():
            with suppress(pa.ArrowInvalid):
                column = column.cast(seconds)
                break
    if pa.types.is_temporal(column.type):
        return column.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    if pa.types.is_floating(column.type) and kind == pa.int64() and not pc.all(pc.is_finite(column)).as_py():
        raise pa.ArrowInvalid("a number that is not finite")
    return column.cast(kind, safe=False)
