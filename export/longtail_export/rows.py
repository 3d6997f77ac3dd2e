"""A table that is read a batch at a time, as often as one likes, and need never fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

_TABLE_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Rows:
    """Batches of rows, all of one schema.

    Attributes:
        schema: Of every batch.
        batches: Begins to read at the first row each time that it is called. It raises `DataInvalid` where a row
            cannot be served.
    """

    schema: pa.Schema
    batches: Callable[[], Iterator[pa.RecordBatch]]

    @classmethod
    def of(cls, table: pa.Table) -> Rows:
        """Read a table that is in memory already."""
        return cls(table.schema, lambda: iter(table.to_batches(max_chunksize=_TABLE_ROWS)))

    def mapped(self, schema: pa.Schema, change: Callable[[pa.RecordBatch, int], pa.RecordBatch]) -> Rows:
        """Change each batch when it is read.

        Args:
            schema: Of the changed batches.
            change: Called with a batch and the number of rows before it.
        """

        def batches() -> Iterator[pa.RecordBatch]:
            n_before = 0
            for batch in self.batches():
                yield change(batch, n_before)
                n_before += len(batch)

        return Rows(schema, batches)


def gathered(batches: Iterable[pa.RecordBatch], *, n_rows: int, n_bytes: int) -> Iterator[pa.Table]:
    """Join small batches to tables of about ``n_rows`` rows, or ``n_bytes`` bytes where these come first."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        waiting.append(batch)
        rows, size = rows + len(batch), size + batch.nbytes
        if rows >= n_rows or size >= n_bytes:
            yield pa.Table.from_batches(waiting)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting)
