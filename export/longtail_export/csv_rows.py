"""A CSV file of any size in, its rows out, each column of one type that every cell of it has."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from longtail_export.rows import Rows

BLOCK_BYTES = 8 * 1024 * 1024
"""Bytes that are parsed at a time; a row must fit."""

MISSING_NUMBERS = pa.array(["", "#N/A", "N/A", "NA", "NULL", "n/a", "null"])
"""Cells that stand for no number where a number is asked for; a NaN there is a mistake of whoever wrote it."""

_MISSING = pa.array([*MISSING_NUMBERS.to_pylist(), "NaN", "nan"])
_TYPES = (
    pa.int64(),
    pa.float64(),
    pa.bool_(),
    pa.date32(),
    pa.timestamp("s"),
    pa.timestamp("ns"),
    pa.timestamp("s", "UTC"),
    pa.timestamp("ns", "UTC"),
)


def csv_rows(path: Path, *, texts: Collection[str] | None = None) -> Rows:
    """Open a CSV file.

    A type is found by reading the whole file once: what begins like a column of numbers may end in words.

    Args:
        path: The file; its first row names the columns.
        texts: Columns that are text whatever their cells look like; None means all of them.

    Raises:
        ArrowInvalid: It is no CSV file.
        OSError: It cannot be read.
    """
    with _opened(path, ()) as reader:
        names = reader.schema.names
    types = [pa.string()] * len(names)
    if texts is not None:
        types = _types(path, names, texts)
    schema = pa.schema(list(zip(names, types, strict=True)))

    def batches() -> Iterator[pa.RecordBatch]:
        with _opened(path, names) as reader:
            for batch in reader:
                columns = [_cast(column, kind) for column, kind in zip(batch.columns, types, strict=True)]
                yield pa.record_batch(columns, schema=schema)

    return Rows(schema, batches)


def without_missing(column: pa.Array, missing: pa.Array = _MISSING) -> pa.Array:
    """Trim cells of text, and make null those that stand for nothing."""
    trimmed = pc.utf8_trim_whitespace(column)
    return pc.if_else(pc.is_in(trimmed, value_set=missing), None, trimmed)


def _opened(path: Path, names: Collection[str]) -> pyarrow.csv.CSVStreamingReader:
    return pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )


def _types(path: Path, names: list[str], texts: Collection[str]) -> list[pa.DataType]:
    """Find, for each column, the first type that all its cells can be read as; text where there is none."""
    left = [() if name in texts else _TYPES for name in names]
    with _opened(path, names) as reader:
        for batch in reader:
            left = [
                tuple(kind for kind in kinds if _fits(column, kind))
                for column, kinds in zip(batch.columns, left, strict=True)
            ]
    return [kinds[0] if kinds else pa.string() for kinds in left]


def _fits(column: pa.Array, kind: pa.DataType) -> bool:
    try:
        _cast(column, kind)
    except pa.ArrowInvalid:
        return False
    return True


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    return column if kind == pa.string() else without_missing(column).cast(kind)
