"""A Parquet file of interactions in, a table that the database takes out, or one error that names row and column."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from longtail_client.errors import DataInvalid

MAX_ID_CHARACTERS = 200

_SCHEMA = pa.schema(
    [("user_id", pa.string()), ("item_id", pa.string()), ("weight", pa.float64()), ("timestamp", pa.int64())]
)


def read_interactions(path: Path) -> pa.Table:
    """Read what a catalogue's ``interactions.parquet`` holds.

    Args:
        path: The file.

    Returns:
        Columns ``user_id``, ``item_id``, ``weight`` and ``timestamp``, every value usable.

    Raises:
        DataInvalid: It is no Parquet, lacks a column, or a value is missing, of another type or out of range.
    """
    expected = f"{path}: expected Parquet with {', '.join(_SCHEMA.names)}, got"
    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DataInvalid(f"{expected} {' '.join(str(error).split())}") from error
    missing = [name for name in _SCHEMA.names if name not in table.column_names]
    if missing:
        raise DataInvalid(f"{expected} columns {table.column_names}")
    columns = []
    for wanted in _SCHEMA:
        try:
            column = table[wanted.name].cast(wanted.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataInvalid(f"{path}: column '{wanted.name}': expected {wanted.type}, got {error}") from error
        _refuse(path, column, pc.is_null(column), f"expected a {wanted.name}, found none")
        columns.append(column)
    checked = pa.Table.from_arrays(columns, schema=_SCHEMA)
    for name in ("user_id", "item_id"):
        lengths = pc.utf8_length(checked[name])
        wrong = pc.or_(pc.equal(lengths, 0), pc.greater(lengths, MAX_ID_CHARACTERS))
        _refuse(path, checked[name], wrong, f"expected {name} of 1 to {MAX_ID_CHARACTERS} characters, got {{!r:.80}}")
    weights = checked["weight"]
    _refuse(path, weights, pc.invert(pc.is_finite(weights)), "expected a finite weight, got {}")
    return checked


def _refuse(path: Path, column: pa.ChunkedArray, wrong: pa.ChunkedArray, message: str) -> None:
    row = pc.index(wrong, value=True).as_py()
    if row >= 0:
        raise DataInvalid(f"{path}: row {row + 1}: {message.format(column[row].as_py())}")
