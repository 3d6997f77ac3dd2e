"""A release in; every file that it pins is compared with its hash, and what differs is named by its part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from longtail_client.contract import GENERATOR, TEXT_ENCODER
from longtail_client.errors import ReleaseInvalid
from longtail_client.fingerprint import FINGERPRINT_FILE
from longtail_client.manifest import read_manifest, verify_files
from longtail_client.release import Release

_CATALOGUE_PARTS = {"vectors.npy": "index", "top_k.onnx": "search graph", FINGERPRINT_FILE: "fingerprint"}


def verify_parts(release: Release, *, var: Path, model_repository: Path) -> None:
    """Check every file that a release pins.

    Args:
        release: What is pinned.
        var: Folder of catalogues.
        model_repository: Triton's model repository.

    Raises:
        ReleaseInvalid: A file is missing or changed; the message begins with the part.
    """
    for damage in damages(release, var=var, model_repository=model_repository):
        raise ReleaseInvalid(damage)


def damages(release: Release, *, var: Path, model_repository: Path) -> Iterator[str]:
    """Say of each file that a release pins and that is missing or changed, what is wrong, beginning with its part."""
    for part, folder, name, sha256 in pinned_files(release, var=var, model_repository=model_repository):
        try:
            verify_files(folder, {name: sha256})
        except ReleaseInvalid as error:
            more = f" ({_rows(folder / name)})" if part == "index" and (folder / name).is_file() else ""
            yield f"{part}: {error}{more}; {_remedy(part)}"


def pinned_files(release: Release, *, var: Path, model_repository: Path) -> Iterator[tuple[str, Path, str, str]]:
    """Name every file that a release pins.

    Yields:
        Its part, its folder, its name in the folder, its SHA-256.
    """
    catalogue = var / "catalogues" / release.catalogue.name
    encoder = model_repository / TEXT_ENCODER.name / release.encoder.version
    generator = model_repository / GENERATOR.name / release.generator.version
    parts: tuple[tuple[str, Path, Mapping[str, str]], ...] = (
        ("catalogue", catalogue, release.catalogue.files),
        ("encoder", encoder, release.encoder.files),
        ("generator", generator, release.generator.files),
    )
    for part, folder, files in parts:
        for name, sha256 in files.items():
            if part == "catalogue":
                yield _CATALOGUE_PARTS.get(name, part), folder, name, sha256
            else:
                yield "tokenizer" if part == "encoder" and name == "tokenizer.json" else part, folder, name, sha256


def _rows(path: Path) -> str:
    """Say how many vectors an index holds, and how many it should."""
    try:
        held = f"it holds {len(np.load(path, mmap_mode='r'))} whole vectors"
    except (OSError, ValueError):
        held = f"its {path.stat().st_size} bytes are cut short"
    try:
        return f"{held}, {read_manifest(path.parent)['n_items']} were written"
    except (ReleaseInvalid, KeyError):
        return held


def _remedy(part: str) -> str:
    if part in ("encoder", "tokenizer", "generator"):
        return "a published version is never changed: bring back its files, or export a new version and release that"
    return "bring back its files, or export the catalogue under a new name and release that"
