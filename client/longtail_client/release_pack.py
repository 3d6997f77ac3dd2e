"""A release as one file: a release and all that it pins in, a tar archive out that lists the hash of each member.

The archive is plain: weights hardly compress. Its members are, in this order, ``pack.json``, the release, and each part
with its manifest:

    pack.json                                 format, release, size and SHA-256 of every other member
    releases/<name>/release.json
    catalogues/<name>/...                     every file that the release pins, and manifest.json
    models/text_encoder/<version>/...
    models/generator/<version>/...

The same release makes the same bytes, on whatever machine.
"""

from __future__ import annotations

import fcntl
import io
import os
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, Field

from longtail_client.contract import GENERATOR, TEXT_ENCODER
from longtail_client.durable import settle
from longtail_client.errors import DataInvalid, PackInvalid, ReleaseInvalid
from longtail_client.manifest import MANIFEST, is_plain_name, sha256_of
from longtail_client.release import RELEASE_FILE, Release, read_release, releases_folder
from longtail_client.room import room_for

PACK_LIST = "pack.json"
PACK_FORMAT = 1
CHUNK_BYTES = 1 << 20
Advance = Callable[[int], None]
"""Told how many bytes were done since it was last told."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Member(_Frozen):
    """What a member must be."""

    size: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class PackList(_Frozen):
    """What ``pack.json`` says."""

    format: int = PACK_FORMAT
    release: str
    members: Mapping[str, Member]


@dataclass(frozen=True, slots=True)
class Part:
    """One folder of a release, packed and published as a whole.

    Attributes:
        prefix: The folder's path in the pack.
        folder: Where it lies here.
        pinned: SHA-256 by file, as the release pins them.
    """

    prefix: str
    folder: Path
    pinned: Mapping[str, str]

    @property
    def files(self) -> tuple[str, ...]:
        """The files that travel: the pinned ones, and the manifest that tells their facts."""
        return (*sorted(self.pinned.keys() - {MANIFEST}), MANIFEST)


def release_member(name: str) -> str:
    """Say where a pack has the release itself."""
    return f"releases/{name}/{RELEASE_FILE}"


def parts_of(release: Release, *, var: Path, model_repository: Path) -> tuple[Part, ...]:
    """Name the folders that a release pins.

    Args:
        release: What is pinned.
        var: Folder of catalogues.
        model_repository: Triton's model repository.

    Raises:
        PackInvalid: A name in the release would lead out of the folder that it belongs to, or is a file's and a
            folder's.
    """
    catalogue, encoder, generator = release.catalogue, release.encoder, release.generator
    parts = (
        Part(f"catalogues/{catalogue.name}", var / "catalogues" / catalogue.name, catalogue.files),
        *(
            Part(f"models/{model}/{pinned.version}", model_repository / model / pinned.version, pinned.files)
            for model, pinned in ((TEXT_ENCODER.name, encoder), (GENERATOR.name, generator))
        ),
    )
    check_names((release.name, catalogue.name, encoder.version, generator.version), in_what=f"release {release.name}")
    for part in parts:
        for file in part.pinned:
            check_names(file.split("/"), in_what=f"{part.prefix}/{file}")
        folders = {str(folder) for file in part.files for folder in PurePosixPath(file).parents}
        for both in sorted(folders.intersection(part.files)):
            raise PackInvalid(f"{part.prefix}/{both}: expected a file or a folder, got both")
    return parts


def check_names(names: Iterable[str], *, in_what: str) -> None:
    """Refuse a name that would be a path, or lead upwards.

    Raises:
        PackInvalid: One is none of letters, digits, '.', '_' and '-', or begins with a dot.
    """
    for name in names:
        if not is_plain_name(name):
            raise PackInvalid(
                f"{in_what[:200]}: expected names of letters, digits, '.', '_' and '-', got '{name[:100]}'"
            )


def pack(name: str, target: Path, *, var: Path, model_repository: Path, advance: Advance) -> PackList:
    """Write a release and all that it pins to one file, which appears whole or not at all.

    Args:
        name: The release.
        target: The file that shall appear.
        var: Folder of catalogues and releases.
        model_repository: Triton's model repository.
        advance: Told of the bytes that were packed.

    Raises:
        DataInvalid: ``target`` exists, or another process is writing it.
        DiskFull: There is no room for it.
        ReleaseInvalid: The release, or a file that it pins, is missing or changed.
    """
    if target.exists():
        raise DataInvalid(f"{target} exists and is not overwritten; remove it, or name another file with --output")
    release = read_release(var, name)
    members = {release_member(name): releases_folder(var) / name / RELEASE_FILE}
    pinned: dict[str, str] = {}
    for part in parts_of(release, var=var, model_repository=model_repository):
        members |= {f"{part.prefix}/{file}": part.folder / file for file in part.files}
        pinned |= {f"{part.prefix}/{file}": sha256 for file, sha256 in part.pinned.items()}
    listed = PackList(release=name, members={member: _member(path) for member, path in members.items()})
    for member, sha256 in pinned.items():
        if listed.members[member].sha256 != sha256:
            raise ReleaseInvalid(
                f"{members[member]}: expected sha256 {sha256[:16]}…, got {listed.members[member].sha256[:16]}…: it "
                "changed since the release was created, and is not packed"
            )
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.with_name(f".{target.name}.new")
    with room_for(target, staged), os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT, 0o666), "wb") as file:
        _take(file, staged, target)
        try:
            file.truncate()
            _write(file, listed, members, advance)
            file.flush()
            os.fsync(file.fileno())
            staged.replace(target)
        except BaseException:
            staged.unlink(missing_ok=True)
            raise
    settle(target.parent)
    return listed


def _take(file: io.BufferedWriter, staged: Path, target: Path) -> None:
    """Lock a staged file for as long as it is open; a killed writer's lock is gone with it.

    Raises:
        DataInvalid: Another process has it, or finished it since it was opened.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = staged.exists() and os.path.samestat(os.fstat(file.fileno()), staged.stat())
    except BlockingIOError:
        mine = False
    if not mine:
        raise DataInvalid(
            f"{target} is being packed by another process; wait for it, or name another file with --output"
        )


def _member(path: Path) -> Member:
    try:
        return Member(size=path.stat().st_size, sha256=sha256_of(path))
    except OSError as error:
        raise ReleaseInvalid(f"{path}: expected the file that the release pins, found none") from error


def _write(file: io.BufferedWriter, listed: PackList, members: Mapping[str, Path], advance: Advance) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        content = listed.model_dump_json(indent=2).encode() + b"\n"
        archive.addfile(_header(PACK_LIST, len(content)), io.BytesIO(content))
        for member, path in members.items():
            size = listed.members[member].size
            with path.open("rb") as source:
                archive.addfile(_header(member, size), source)
            advance(size)


def _header(member: str, size: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(str(PurePosixPath(member)))
    header.size, header.mode = size, 0o644
    return header
