"""A catalogue's items in, their vectors out: from the store where it has them, from the live encoder where not."""

from __future__ import annotations

import time
from asyncio import TaskGroup
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet

from longtail_client.encoder import Encoder
from longtail_export.progress import Progress
from longtail_export.vector_store import Digests, VectorStore, digests_of

WINDOW_TEXTS = 16_384
"""Texts in memory at a time. They are encoded in order of length, so that more texts need less padding."""

COMMIT_TEXTS = 16_384
COMMIT_S = 2.0
"""Texts, or seconds of work, after which vectors are stored: what a kill costs."""

_CHUNK = 64
_IN_FLIGHT = 2

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Embedded:
    """Where the vectors came from.

    Attributes:
        n_texts: Texts that differ.
        n_encoded: Those that the encoder was asked for; the store had the others.
    """

    n_texts: int
    n_encoded: int


async def embed_items(
    items: Path, vectors: Path, *, encoder: Encoder, store: VectorStore, progress: Progress
) -> Embedded:
    """Encode the texts that the store lacks, and write every item's vector.

    Args:
        items: The catalogue's ``items.parquet``.
        vectors: The file to write: unit rows in the order of ``items``, shape ``(n_items, dim)``, float32.
        encoder: The live encoder.
        store: Its vectors. What was encoded before an error, or before a kill, is in it.
        progress: Hears of each step.

    Raises:
        ModelUnavailable: Triton does not answer.
        Overloaded: The model's queue is full.
        DeadlineExceeded: A request took too long.
    """
    digests = np.concatenate([digests_of(texts) for _, texts in _windows(items)])
    distinct, first_rows = np.unique(digests, return_index=True)
    wanted = np.sort(first_rows[~store.has(distinct)])
    with progress.bar("embedding new texts", total=len(wanted)) as advance:
        try:
            await _encode(items, wanted, digests, encoder, store, advance)
        except BaseException:
            progress.step(f"kept {len(store)} vectors; run the command again to encode the others")
            raise
    with progress.bar("writing vectors", total=len(digests)) as advance:
        _write(vectors, digests, store, advance)
    return Embedded(n_texts=len(distinct), n_encoded=len(wanted))


async def _encode(
    items: Path,
    wanted: Positions,
    digests: Digests,
    encoder: Encoder,
    store: VectorStore,
    advance: Callable[[int], None],
) -> None:
    """Encode the texts of some rows, a few requests in flight, and store the vectors every now and then."""
    chunks = _chunks(items, wanted)
    waiting: list[tuple[Positions, npt.NDArray[np.float32]]] = []
    committed_s = time.monotonic()

    def commit() -> None:
        nonlocal committed_s
        committed_s = time.monotonic()
        if waiting:
            rows, vectors = zip(*waiting, strict=True)
            waiting.clear()
            store.append(digests[np.concatenate(rows)], np.concatenate(vectors))

    async def work() -> None:
        for rows, texts in chunks:
            waiting.append((rows, await encoder.encode(texts)))
            advance(len(rows))
            if len(waiting) * _CHUNK >= COMMIT_TEXTS or time.monotonic() - committed_s >= COMMIT_S:
                commit()

    try:
        async with TaskGroup() as group:
            for _ in range(_IN_FLIGHT):
                group.create_task(work())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        commit()


def _chunks(items: Path, wanted: Positions) -> Iterator[tuple[Positions, list[str]]]:
    """Read the wanted rows' texts, and hand them out in requests, a window at a time the shortest first."""
    rows: list[int] = []
    texts: list[str] = []

    def shortest_first() -> Iterator[tuple[Positions, list[str]]]:
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for start in range(0, len(order), _CHUNK):
            chosen = order[start : start + _CHUNK]
            yield np.array([rows[index] for index in chosen]), [texts[index] for index in chosen]

    for start, window in _windows(items):
        first, end = np.searchsorted(wanted, [start, start + len(window)])
        for row in wanted[first:end].tolist():
            rows.append(row)
            texts.append(window[row - start])
        if len(texts) >= WINDOW_TEXTS:
            yield from shortest_first()
            rows, texts = [], []
    yield from shortest_first()


def _windows(items: Path) -> Iterator[tuple[int, list[str]]]:
    """Read all texts, some at a time, each time with the number of texts before."""
    start = 0
    with pyarrow.parquet.ParquetFile(items) as file:
        for batch in file.iter_batches(batch_size=WINDOW_TEXTS, columns=["text"]):
            yield start, batch["text"].to_pylist()
            start += len(batch)


def _write(path: Path, digests: Digests, store: VectorStore, advance: Callable[[int], None]) -> None:
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (len(digests), store.dim)}
        np.lib.format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]
        for start in range(0, len(digests), WINDOW_TEXTS):
            window = digests[start : start + WINDOW_TEXTS]
            file.write(store.take(window).data)
            advance(len(window))
