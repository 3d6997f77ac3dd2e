"""Published models, a catalogue and a prompt in, one release out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet

from longtail_client.contract import GENERATOR, TEXT_ENCODER
from longtail_client.errors import ReleaseInvalid
from longtail_client.fingerprint import FINGERPRINT_FILE
from longtail_client.manifest import files_to_pin, publishing, read_manifest
from longtail_client.release import (
    RELEASE_FILE,
    PinnedCatalogue,
    PinnedModel,
    Release,
    Weights,
    prompt_sha256,
    read_release,
    releases_folder,
    sealed,
)
from longtail_client.release_state import changing_state, read_state, write_state
from longtail_export.release_prompt import write_prompt

DEFAULT_WEIGHTS = Weights(description=1.0, steer=2.0, interest=1.0, popularity=0.25)


def create(
    name: str,
    *,
    catalogue_name: str,
    encoder_version: str,
    generator_version: str,
    model_repository: Path,
    var: Path,
) -> Path:
    """Pin everything by hash, write the release, stage it; make it live where none is.

    Args:
        name: Name of the release.
        catalogue_name: A catalogue under ``var/catalogues``.
        encoder_version: Version of the text encoder; the catalogue must have been embedded with it.
        generator_version: Version of the generator.
        model_repository: Triton's model repository.
        var: Folder of catalogues and releases.

    Returns:
        The path of ``release.json``.

    Raises:
        AlreadyPublished: A release of this name exists.
        ReleaseInvalid: A part is not published, or the catalogue was embedded with another encoder.
    """
    encoder_folder = model_repository / TEXT_ENCODER.name / encoder_version
    generator_folder = model_repository / GENERATOR.name / generator_version
    encoder = read_manifest(encoder_folder)
    folder = var / "catalogues" / catalogue_name
    catalogue = read_manifest(folder)
    if catalogue["encoder_sha256"] != encoder["files"]["model.onnx"]:
        raise ReleaseInvalid(
            f"{folder}: expected vectors of {TEXT_ENCODER.name} version {encoder_version} "
            f"(sha256 {encoder['files']['model.onnx'][:16]}…), got those of version {catalogue['encoder_version']} "
            f"({catalogue['encoder_sha256'][:16]}…); export the catalogue again"
        )
    if catalogue["tokenizer_sha256"] != encoder["files"]["tokenizer.json"]:
        raise ReleaseInvalid(
            f"{folder}: expected texts cut by the tokenizer of {TEXT_ENCODER.name} version {encoder_version} "
            f"(sha256 {encoder['files']['tokenizer.json'][:16]}…), got {catalogue['tokenizer_sha256'][:16]}…; "
            "export the catalogue again"
        )
    if FINGERPRINT_FILE not in catalogue["files"]:
        raise ReleaseInvalid(
            f"{folder}: expected {FINGERPRINT_FILE} among its files, found none: it was exported before catalogues had "
            "one; export it again under another name"
        )
    prompt = write_prompt(
        pyarrow.parquet.read_table(folder / "items.parquet", columns=["item_id", "title", "kind", "is_tail"]),
        pyarrow.parquet.read_table(folder / "interactions.parquet", columns=["user_id", "item_id", "weight"]),
    )
    release = sealed(
        Release(
            name=name,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            encoder=PinnedModel(version=encoder_version, files=files_to_pin(encoder_folder)),
            generator=PinnedModel(version=generator_version, files=files_to_pin(generator_folder)),
            catalogue=PinnedCatalogue(name=catalogue_name, files=files_to_pin(folder)),
            prompt=prompt,
            prompt_sha256=prompt_sha256(prompt),
            weights=DEFAULT_WEIGHTS,
        )
    )
    target = releases_folder(var) / name
    if not _was_interrupted(release, var):
        with publishing(target) as staging:
            (staging / RELEASE_FILE).write_text(release.model_dump_json(indent=2) + "\n")
    with changing_state(var) as state:
        staged = state.stage(name)
        write_state(var, staged if staged.live else staged.promote(name))
    return target / RELEASE_FILE


def _was_interrupted(release: Release, var: Path) -> bool:
    """Tell whether the same release was published before, by a command that did not live to give it a place."""
    if not (releases_folder(var) / release.name).exists() or read_state(var).place_of(release.name) is not None:
        return False
    there = read_release(var, release.name)
    return sealed(there.model_copy(update={"created_at": release.created_at})) == release
