"""Room on a file system: what fails for lack of it fails with one error, which says what to free."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from longtail_client.errors import DiskFull, LongtailError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of errors of a full disk, a full quota, and a file that may grow no further."""

_FULL_BELOW_BYTES = 1024 * 1024


@contextmanager
def room_for(target: Path, staged: Path) -> Iterator[None]:
    """Write something new, and say so if there was no room for it.

    Writers in C++, and numpy's, fail on a full disk with an error that has no number; any error is taken for one of a
    full disk where next to nothing is free.

    Args:
        target: What shall appear.
        staged: The folder or file beside it that is written in the block.

    Raises:
        DiskFull: The file system, or the quota on it, is full. Whoever wrote ``staged`` removes it.
    """
    try:
        yield
    except Exception as error:
        existing = next(folder for folder in target.absolute().parents if folder.exists())
        usage = shutil.disk_usage(existing)
        if lacks_room(error) or (usage.free < _FULL_BELOW_BYTES and not isinstance(error, LongtailError)):
            raise DiskFull(
                f"{target}: expected room for it on the file system, which is full: {_mib(_size(staged))} of it were "
                f"written, {_mib(usage.free)} of {_mib(usage.total)} are free. What was there before is untouched. "
                "Remove model versions, catalogues and releases that nothing serves any more, vectors of former "
                "encoders in var/vectors and var/references, or downloads in var/sources, and run the command again"
            ) from error
        raise


def lacks_room(error: BaseException) -> bool:
    """Tell whether an error, or what it was raised from, says by its number that a file system is full."""
    cause: BaseException | None = error
    while cause is not None:
        database_error = getattr(cause, "orig", cause)  # as SQLAlchemy wraps a driver's
        if isinstance(cause, OSError) and cause.errno in NO_ROOM:
            return True
        if getattr(database_error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return True
        cause = cause.__cause__
    return False


def _size(path: Path) -> int:
    return sum(each.stat().st_size for each in (path, *path.rglob("*")) if each.is_file())


def _mib(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:.1f} MiB"
