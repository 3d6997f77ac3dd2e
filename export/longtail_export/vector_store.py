"""Vectors that an encoder version has given before: digests of texts in, their vectors out, and new ones appended.

A folder a version, ``<version>-<model sha16>-<tokenizer sha16>``, has the encoder's fingerprint and two files that only
ever grow: ``vectors`` (float32 rows) and ``texts`` (the digest of each row's text). A row counts once its digest is
written, and its digest is written once its vector is on the disk, so that whatever a kill or a power cut leaves behind
the last whole row is an unfinished one, and is cut off.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from longtail_client.contract import TEXT_ENCODER, Matrix
from longtail_client.durable import settle
from longtail_client.errors import ReleaseInvalid
from longtail_client.fingerprint import FINGERPRINT_FILE, MIN_WORST_COSINE, Fingerprint
from longtail_client.manifest import MANIFEST, read_manifest
from longtail_export.progress import Progress

DIGEST_BYTES = 16
Digests = npt.NDArray[np.bytes_]
"""Digests of texts, dtype ``S16``."""

_STORE_NAME = re.compile(r"[0-9]+-[0-9a-f]{16}-[0-9a-f]{16}")
_DIGEST = np.dtype(f"S{DIGEST_BYTES}")


def digests_of(texts: Iterable[str]) -> Digests:
    """Digest texts.

    Returns:
        Shape ``(n_texts,)``, dtype ``S16``.
    """
    joined = b"".join(hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).digest() for text in texts)
    return np.frombuffer(joined, dtype=_DIGEST)


def store_folder(var: Path, model_repository: Path, encoder_version: str) -> Path:
    """Name the store of an encoder version: another version, model or tokenizer has another.

    Raises:
        ReleaseInvalid: The encoder version is not published here.
    """
    files = read_manifest(model_repository / TEXT_ENCODER.name / encoder_version)["files"]
    return var / "vectors" / f"{encoder_version}-{files['model.onnx'][:16]}-{files['tokenizer.json'][:16]}"


def prune_stores(var: Path, model_repository: Path) -> list[Path]:
    """Remove the stores of encoder versions that are published no more; one that is open stays.

    Args:
        var: Where the stores are: under ``vectors``.
        model_repository: Whose encoder versions keep theirs.

    Returns:
        The folders that were removed.
    """
    manifests = (model_repository / TEXT_ENCODER.name).glob(f"[0-9]*/{MANIFEST}")
    try:
        kept = {store_folder(var, model_repository, path.parent.name) for path in manifests}
    except ReleaseInvalid:  # nobody knows whose store that version has
        return []
    removed = []
    for folder in sorted((var / "vectors").glob("*")):
        if folder in kept or not _STORE_NAME.fullmatch(folder.name):
            continue
        with (folder / "lock").open("w") as lock, suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
            removed.append(folder)
    return removed


class VectorStore:
    """The vectors of one encoder version, open for reading and appending by one process at a time.

    Use `opened`, which waits for its turn.

    Args:
        folder: Where the two files are.
        dim: Length of a vector.
    """

    def __init__(self, folder: Path, dim: int) -> None:
        self.dim = dim
        self._folder = folder
        self._row_bytes = dim * np.dtype(np.float32).itemsize
        flags = os.O_RDWR | os.O_CREAT
        self._vectors = os.open(folder / "vectors", flags, 0o644)
        self._texts = os.open(folder / "texts", flags, 0o644)
        self._n_rows = self._cut()
        self._index()

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, dim: int, progress: Progress) -> Iterator[VectorStore]:
        """Open a store, made where it is missing, once no other export writes to it.

        Args:
            folder: The store's folder.
            dim: Length of a vector.
            progress: Hears that another export is waited for.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress.step(f"waiting for the export that writes to {folder}")
                fcntl.flock(lock, fcntl.LOCK_EX)
            store = cls(folder, dim)
            try:
                yield store
            finally:
                os.close(store._vectors)
                os.close(store._texts)

    def __len__(self) -> int:
        return self._n_rows

    def keep_up_with(self, now: Fingerprint) -> bool:
        """Forget every vector if the encoder no longer gives such ones.

        Files may be the same and vectors not: a served model's precision and runtime are no part of its version.

        Args:
            now: What the encoder makes of the probes now.

        Returns:
            Whether the vectors were kept.
        """
        path = self._folder / FINGERPRINT_FILE
        then = Fingerprint.read(path) if self._n_rows and path.exists() else None
        if then is not None and then.texts == now.texts and _are_near(then.vectors, now.vectors):
            return True
        was_empty = self._n_rows == 0
        os.ftruncate(self._texts, 0)
        self._n_rows = self._cut()
        self._is_indexed = False
        now.write(path)
        settle(path)  # before any vector that it vouches for
        return was_empty

    def has(self, digests: Digests) -> npt.NDArray[np.bool_]:
        """Tell which texts have a vector here.

        Args:
            digests: Shape ``(n_texts,)``.

        Returns:
            Shape ``(n_texts,)``, bool.
        """
        return self._rows(digests) >= 0

    def append(self, digests: Digests, vectors: Matrix) -> None:
        """Add vectors; they are on the disk when this returns.

        Args:
            digests: Of texts that have no vector here. Shape ``(n_texts,)``.
            vectors: Shape ``(n_texts, dim)``, float32.
        """
        try:
            _write(self._vectors, np.ascontiguousarray(vectors, dtype=np.float32).tobytes())
            os.fdatasync(self._vectors)
            _write(self._texts, digests.tobytes())
        except OSError:
            self._cut()
            raise
        self._n_rows += len(digests)
        self._is_indexed = False

    def take(self, digests: Digests) -> Matrix:
        """Read the vectors of texts, all of which must have one.

        Args:
            digests: Shape ``(n_texts,)``.

        Returns:
            Shape ``(n_texts, dim)``, float32, in the order of ``digests``.
        """
        rows = self._rows(digests)
        in_order = np.argsort(rows, kind="stable")
        ordered = np.empty((len(rows), self.dim), dtype=np.float32)
        sorted_rows = rows[in_order]
        ends = np.flatnonzero(np.diff(sorted_rows) != 1) + 1
        for start, end in zip([0, *ends.tolist()], [*ends.tolist(), len(rows)], strict=True):
            _read(self._vectors, ordered[start:end], int(sorted_rows[start]) * self._row_bytes)
        vectors = np.empty_like(ordered)
        vectors[in_order] = ordered
        return vectors

    def _rows(self, digests: Digests) -> npt.NDArray[np.int64]:
        """Find the row of each text, -1 where there is none."""
        if not self._is_indexed:
            self._index()
        if self._n_rows == 0:
            return np.full(len(digests), -1, dtype=np.int64)
        places = np.searchsorted(self._digests, digests).clip(max=len(self._digests) - 1)
        return np.where(self._digests[places] == digests, self._row_at[places], -1)

    def _index(self) -> None:
        stored = np.fromfile(self._folder / "texts", dtype=_DIGEST, count=self._n_rows)
        self._row_at = np.argsort(stored, kind="stable")
        self._digests = stored[self._row_at]
        self._is_indexed = True

    def _cut(self) -> int:
        """Cut both files to the rows that are whole; return how many those are."""
        n_rows = min(
            os.fstat(self._texts).st_size // DIGEST_BYTES,
            os.fstat(self._vectors).st_size // self._row_bytes,
        )
        os.ftruncate(self._texts, n_rows * DIGEST_BYTES)
        os.ftruncate(self._vectors, n_rows * self._row_bytes)
        os.lseek(self._texts, 0, os.SEEK_END)
        os.lseek(self._vectors, 0, os.SEEK_END)
        return n_rows


def _are_near(some: Matrix, others: Matrix) -> bool:
    return some.shape == others.shape and bool((some * others).sum(axis=1).min() >= MIN_WORST_COSINE)


def _write(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _read(descriptor: int, into: Matrix, offset: int) -> None:
    rest = memoryview(into.data).cast("B")
    while rest:
        n_bytes = os.preadv(descriptor, [rest], offset)
        if n_bytes == 0:
            raise OSError(f"expected {len(rest)} more bytes of vectors at {offset}, found the end of the file")
        rest, offset = rest[n_bytes:], offset + n_bytes
