"""Interactions in, a batch at a time: those with the catalogue's items written out, and each item's users counted."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from longtail_export.rows import Rows, gathered

_GROUP_ROWS = 1_000_000
_GROUP_BYTES = 128 * 1024 * 1024
_N_PARTS = 64
_PAIR = np.dtype([("row", np.uint32), ("user", np.uint64)])


@dataclass(frozen=True, slots=True)
class Known:
    """What the interactions say of the items.

    Attributes:
        popularity: Users who interacted with each item; a user counts once. Shape ``(n_items,)``, int64.
        n_users: Users who interacted with any item.
        n_interactions: Interactions with items of the catalogue.
        n_unknown_items: Interactions with others, which are dropped.
    """

    popularity: npt.NDArray[np.int64]
    n_users: int
    n_interactions: int
    n_unknown_items: int


def write_known(interactions: Rows, item_ids: pa.Array, path: Path) -> Known:
    """Write the interactions with known items, in order, and count.

    Who interacted with what is spooled to files beside ``path``, each with its share of the items, and counted file
    by file: what is in memory is one file's pairs, not all of them. Users are told apart by 64 bits of a digest.

    Args:
        interactions: As read.
        item_ids: Of the catalogue, in order.
        path: The Parquet file to write.

    Raises:
        DataInvalid: A row cannot be served.
    """
    n_read = n_known = 0
    users = np.empty(0, dtype=np.uint64)
    with TemporaryDirectory(dir=path.parent) as spool:
        parts = [Path(spool) / str(part) for part in range(_N_PARTS)]
        with ExitStack() as stack:
            files = [stack.enter_context(part.open("wb")) for part in parts]
            writer = stack.enter_context(pyarrow.parquet.ParquetWriter(path, interactions.schema))
            for table in gathered(interactions.batches(), n_rows=_GROUP_ROWS, n_bytes=_GROUP_BYTES):
                rows = pc.index_in(table["item_id"], value_set=item_ids)
                is_known = pc.and_(pc.is_valid(rows), pc.is_valid(table["item_id"]))
                known = table.filter(is_known)
                writer.write_table(known)
                pairs = np.empty(len(known), dtype=_PAIR)
                pairs["row"] = rows.filter(is_known).to_numpy()
                pairs["user"] = _digests(known["user_id"])
                users = np.union1d(users, pairs["user"])
                part_of = pairs["row"] % _N_PARTS
                for part, file in enumerate(files):
                    file.write(pairs[part_of == part].tobytes())
                n_known += len(known)
                n_read += len(table)
        popularity = np.zeros(len(item_ids), dtype=np.int64)
        for path_of_part in parts:
            pairs = np.fromfile(path_of_part, dtype=_PAIR)
            pairs = pairs[np.lexsort((pairs["user"], pairs["row"]))]
            counted, n_users = np.unique(pairs["row"][_is_first(pairs)], return_counts=True)
            popularity[counted] = n_users
    return Known(popularity, len(users), n_known, n_read - n_known)


def _digests(user_ids: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    encoded = user_ids.combine_chunks().dictionary_encode()
    digests = b"".join(
        hashlib.blake2b(user_id.encode(), digest_size=8).digest() for user_id in encoded.dictionary.to_pylist()
    )
    codes: npt.NDArray[np.int32] = encoded.indices.to_numpy()
    return np.frombuffer(digests, dtype=np.uint64)[codes]


def _is_first(pairs: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """Tell which of sorted pairs differ from the one before."""
    first = np.ones(len(pairs), dtype=np.bool_)
    first[1:] = (pairs["row"][1:] != pairs["row"][:-1]) | (pairs["user"][1:] != pairs["user"][:-1])
    return first
