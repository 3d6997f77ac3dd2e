"""What a published folder holds: its facts and the hash of every file, written last, checked before use."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from longtail_client.durable import settle, settle_tree
from longtail_client.errors import DataInvalid, ReleaseInvalid
from longtail_client.room import room_for

MANIFEST = "manifest.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class AlreadyPublished(DataInvalid):
    """The version exists; a published version is never overwritten."""


def sha256_of(path: Path) -> str:
    """Hash a file's content, as lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_plain_name(name: str) -> bool:
    """Tell whether a name can be that of a published folder or of a file in it, and never a path."""
    return _NAME.fullmatch(name) is not None


@contextmanager
def publishing(target: Path) -> Iterator[Path]:
    """Build a folder out of sight and let it appear whole, or not at all.

    Args:
        target: The folder that shall appear. Its parent is made where it is missing.

    Yields:
        An empty folder beside ``target``; it becomes ``target`` when the block ends without an error.

    Raises:
        DataInvalid: The folder's name is no plain name, or its path leads upwards.
        AlreadyPublished: ``target`` exists.
        DiskFull: The file system has no room for it.
    """
    if not is_plain_name(target.name) or ".." in target.parts:
        raise DataInvalid(
            f"expected a name of letters, digits, '.', '_' and '-', got '{target.name[:100]}' in {target}"
        )
    if target.exists():
        raise AlreadyPublished(
            f"{target} exists and a published version is never overwritten; choose another version, or remove it first"
        )
    staging = target.parent / f".{target.name}.{secrets.token_hex(4)}"
    try:
        with room_for(target, staging):
            target.parent.mkdir(parents=True, exist_ok=True)
            _sweep(target)
            staging.mkdir()
            with _locked(staging):
                yield staging
                settle_tree(staging)
                staging.rename(target)
                settle(target.parent)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold a folder's lock, which the kernel gives back when the process dies; tell whether it was free."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _sweep(target: Path) -> None:
    """Remove what processes that were killed left of ``target``, and nothing that a living one still writes."""
    for left in target.parent.glob(f".{target.name}.{'[0-9a-f]' * 8}"):
        try:
            with _locked(left) as is_free:
                if is_free:
                    shutil.rmtree(left, ignore_errors=True)
        except FileNotFoundError:  # its owner has just published it
            continue


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    """Close a folder: write its facts and the hash of each file in it.

    Args:
        folder: The folder, complete but for the manifest.
        facts: What a reader wants to know of it: source, precision, measurements.
    """
    files = {
        path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(folder.rglob("*")) if path.is_file()
    }
    (folder / MANIFEST).write_text(json.dumps({**facts, "files": files}, indent=2) + "\n")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a published folder's manifest.

    Raises:
        ReleaseInvalid: There is none, or it is no JSON object.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ReleaseInvalid(f"expected a manifest at {path}, got {error}; export this version again") from error
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if (
        not isinstance(manifest, dict)
        or not isinstance(files, dict)
        or not all(isinstance(sha256, str) for sha256 in files.values())
    ):
        raise ReleaseInvalid(
            f"{path}: expected an object whose 'files' have a hash each, got something else; export this version again"
        )
    return manifest


def files_to_pin(folder: Path) -> dict[str, str]:
    """Say what a release pins of a published folder: every file by its hash, the manifest too.

    Raises:
        ReleaseInvalid: It has no manifest, or one that cannot be read.
    """
    return {**read_manifest(folder)["files"], MANIFEST: sha256_of(folder / MANIFEST)}


def verify_files(folder: Path, files: Mapping[str, str]) -> None:
    """Compare files with their hashes.

    Args:
        folder: Where they lie.
        files: SHA-256 by path relative to ``folder``.

    Raises:
        ReleaseInvalid: A file is missing or changed; the message names it.
    """
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            raise ReleaseInvalid(f"{path}: expected the file that the release pins, found none")
        found = sha256_of(path)
        if found != expected:
            raise ReleaseInvalid(
                f"{path}: expected sha256 {expected[:16]}…, got {found[:16]}…: it changed since export"
            )
