"""Files that are whole whenever somebody looks: bytes in, on disk under their name, through a kill or a power cut."""

from __future__ import annotations

import os
from pathlib import Path

from longtail_client.room import room_for


def replace_file(path: Path, content: bytes) -> None:
    """Put a file in the place of another in one step; whoever reads sees the old one or the new one.

    One writer at a time: the new content is written under one fixed name beside ``path``, so that nothing is left
    lying about when a writer was killed.

    Raises:
        DiskFull: There is no room for the new content; the old one stays.
    """
    staged = path.with_name(f".{path.name}.new")
    with room_for(path, staged):
        with staged.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
        settle(path.parent)


def settle(path: Path) -> None:
    """Wait until the disk has a file's content, or a folder's names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settle_tree(folder: Path) -> None:
    """Wait until the disk has everything below a folder."""
    for path in (*folder.rglob("*"), folder):
        settle(path)
