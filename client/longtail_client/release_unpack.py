"""A packed release in, its folders published and the release staged, or one error and nothing published.

The pack is read once, from its beginning to its end. Every member is one that the release in it pins, is written beside
the place where it belongs, and is hashed on the way. Only when the last one is right do folders get their names: models
and catalogue first, the release after them, its place last.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from longtail_client.errors import PackInvalid, ReleaseInvalid
from longtail_client.manifest import publishing, verify_files
from longtail_client.release import RELEASE_FILE, Release, parse_release, releases_folder
from longtail_client.release_pack import (
    CHUNK_BYTES,
    PACK_FORMAT,
    PACK_LIST,
    Advance,
    Member,
    PackList,
    Part,
    check_names,
    parts_of,
    release_member,
)
from longtail_client.release_state import Place, changing_state, write_state

_MAX_LIST_BYTES = 8 << 20
_MAX_RELEASE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What came of a pack.

    Attributes:
        release: Its name.
        place: Where it is now.
        published: The folders that are new.
        reused: The folders that were there, with the same content.
    """

    release: str
    place: Place | None
    published: tuple[str, ...]
    reused: tuple[str, ...]


def unpack(pack: Path, *, var: Path, model_repository: Path, advance: Advance) -> Unpacked:
    """Publish what a pack holds, and stage the release.

    A part that is there already with the same content is used as it is. A release that is in a place stays there.

    Args:
        pack: The file that `longtail_client.release_pack.pack` wrote.
        var: Folder of catalogues and releases.
        model_repository: Triton's model repository.
        advance: Told of the bytes that were read.

    Raises:
        PackInvalid: It is truncated, changed, or holds what its release does not pin.
        ReleaseInvalid: A part is here under the same name with other content; the message names it.
    """
    with _archive(pack) as archive:
        listed = _read_list(pack, archive)
        release, content = _read_release(pack, archive, listed)
        parts = parts_of(release, var=var, model_repository=model_repository)
        _check_list(pack, listed, parts)
        itself = Part(f"releases/{release.name}", releases_folder(var) / release.name, {RELEASE_FILE: _sha256(content)})
        present = [part for part in (*parts, itself) if part.folder.exists()]
        for part in present:
            _check_same(part)
        new = [part for part in (*parts, itself) if part not in present]
        with ExitStack() as published:
            # Left in reverse: the release appears when all that it pins has appeared.
            staged = {part.prefix: published.enter_context(publishing(part.folder)) for part in reversed(new)}
            if itself in new:
                (staged[itself.prefix] / RELEASE_FILE).write_bytes(content)
            _read_parts(pack, archive, listed, parts, staged, advance)
    with changing_state(var) as state:
        if state.place_of(release.name) in (None, "retired"):
            state = write_state(var, state.stage(release.name))
    return Unpacked(
        release=release.name,
        place=state.place_of(release.name),
        published=tuple(str(part.folder) for part in new),
        reused=tuple(str(part.folder) for part in present),
    )


@contextmanager
def _archive(pack: Path) -> Iterator[tarfile.TarFile]:
    try:
        file = pack.open("rb")
    except OSError as error:
        raise PackInvalid(f"{pack}: expected a packed release, got {error.strerror}") from error
    try:
        with file, tarfile.open(fileobj=file, mode="r|", bufsize=CHUNK_BYTES) as archive:
            yield archive
    except (tarfile.TarError, EOFError) as error:
        raise PackInvalid(f"{pack}: expected a whole packed release, got {error}; copy it again") from error


def _next(pack: Path, archive: tarfile.TarFile, *, name: str, max_bytes: int) -> tuple[tarfile.TarInfo, IO[bytes]]:
    header = archive.next()
    if header is None or header.name != name:
        raise PackInvalid(
            f"{pack}: expected {name} as the next member, got {'the end' if header is None else header.name[:200]}; "
            "make it with `longtail release pack`"
        )
    return header, _content(pack, archive, header, max_bytes=max_bytes)


def _content(pack: Path, archive: tarfile.TarFile, header: tarfile.TarInfo, *, max_bytes: int) -> IO[bytes]:
    content = archive.extractfile(header) if header.type in (tarfile.REGTYPE, tarfile.AREGTYPE) else None
    if content is None or header.sparse is not None:
        raise PackInvalid(f"{pack}: {header.name[:200]}: expected a plain file, got a link, a folder or a device")
    if header.size > max_bytes:
        raise PackInvalid(f"{pack}: {header.name[:200]}: expected {max_bytes} bytes at most, got {header.size}")
    return content


def _read_list(pack: Path, archive: tarfile.TarFile) -> PackList:
    _, content = _next(pack, archive, name=PACK_LIST, max_bytes=_MAX_LIST_BYTES)
    try:
        listed = PackList.model_validate_json(content.read())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise PackInvalid(f"{pack}: {PACK_LIST}: {place}: {first['msg']}; copy it again") from error
    if listed.format != PACK_FORMAT:
        raise PackInvalid(
            f"{pack}: expected format {PACK_FORMAT}, got {listed.format}; unpack it with a newer longtail"
        )
    check_names([listed.release], in_what=str(pack))
    return listed


def _read_release(pack: Path, archive: tarfile.TarFile, listed: PackList) -> tuple[Release, bytes]:
    member = release_member(listed.release)
    header, stream = _next(pack, archive, name=member, max_bytes=_MAX_RELEASE_BYTES)
    content = stream.read()
    _check_content(pack, member, listed.members.get(member), header.size, _sha256(content))
    release = parse_release(content, at=pack / member)
    if release.name != listed.release:
        raise PackInvalid(f"{pack}: expected release {listed.release}, got {release.name}")
    return release, content


def _check_list(pack: Path, listed: PackList, parts: tuple[Part, ...]) -> None:
    """Refuse a list that has more, less, or something else than what the release pins."""
    expected = {f"{part.prefix}/{file}" for part in parts for file in part.files} | {release_member(listed.release)}
    for member in sorted(expected ^ set(listed.members)):
        wish = "a member of this name, which the release pins" if member in expected else "what the release pins alone"
        raise PackInvalid(f"{pack}: {member[:200]}: expected {wish}; pack the release again")
    for part in parts:
        for file, sha256 in part.pinned.items():
            member = f"{part.prefix}/{file}"
            if listed.members[member].sha256 != sha256:
                raise PackInvalid(
                    f"{pack}: {member}: expected sha256 {sha256[:16]}…, which the release pins, got "
                    f"{listed.members[member].sha256[:16]}… in {PACK_LIST}; pack the release again"
                )


def _check_same(part: Part) -> None:
    try:
        verify_files(part.folder, part.pinned)
    except ReleaseInvalid as error:
        raise ReleaseInvalid(
            f"{part.folder} is here already and is not what the pack has: {error}; nothing was unpacked. Rename or "
            "remove it if nothing serves it, or pack a release of another name or version"
        ) from error


def _read_parts(
    pack: Path,
    archive: tarfile.TarFile,
    listed: PackList,
    parts: tuple[Part, ...],
    staged: Mapping[str, Path],
    advance: Advance,
) -> None:
    targets = {
        f"{part.prefix}/{file}": staged[part.prefix] / file if part.prefix in staged else None
        for part in parts
        for file in part.files
    }
    while (header := archive.next()) is not None:
        member = header.name
        if member not in targets:
            raise PackInvalid(f"{pack}: {member[:200]}: expected each listed member once, got this one besides")
        expected = listed.members[member]
        content = _content(pack, archive, header, max_bytes=expected.size)
        _check_content(pack, member, expected, header.size, _copy(content, targets.pop(member), advance))
    if targets:
        raise PackInvalid(f"{pack}: {min(targets)}: expected the member that is listed, found none; copy it again")


def _copy(content: IO[bytes], target: Path | None, advance: Advance) -> str:
    """Hash what comes, and write it where a target is given."""
    found = hashlib.sha256()
    with ExitStack() as opened:
        file = None
        if target is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            file = opened.enter_context(target.open("xb"))
        while chunk := content.read(CHUNK_BYTES):
            found.update(chunk)
            if file is not None:
                file.write(chunk)
            advance(len(chunk))
    return found.hexdigest()


def _check_content(pack: Path, member: str, expected: Member | None, size: int, sha256: str) -> None:
    if expected is None or (size, sha256) != (expected.size, expected.sha256):
        wish = f"{expected.size} bytes of sha256 {expected.sha256[:16]}…" if expected else "a member that is listed"
        raise PackInvalid(f"{pack}: {member}: expected {wish}, got {size} of {sha256[:16]}…; copy it again")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
