"""Creating a release: everything pinned by hash and live, and refused where the parts do not fit."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from longtail_client.errors import ReleaseInvalid
from longtail_client.manifest import AlreadyPublished, publishing, read_manifest, sha256_of, write_manifest
from longtail_client.release import read_release
from longtail_client.release_state import read_state
from longtail_client.testing import FakeTransport
from longtail_export import catalogue_export, release_writer
from longtail_export.catalogue_export import export_catalogue
from longtail_export.catalogue_sources import Tables
from longtail_export.progress import SilentProgress
from longtail_export.release_writer import DEFAULT_WEIGHTS, create


@pytest.fixture
def repository(model_repository: Path, tmp_path: Path) -> Path:
    """A copy of the model repository, with a generator beside the encoder."""
    copied = Path(shutil.copytree(model_repository, tmp_path / "model_repository"))
    with publishing(copied / "generator" / "2") as folder:
        (folder / "weights.bin").write_text("abc")
        write_manifest(folder, {"model": "generator", "version": "2"})
    return copied


@pytest.fixture
def var(tables: Tables, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the catalogue ``sixty``, embedded with the encoder's version 1."""
    monkeypatch.setattr(catalogue_export, "TritonTransport", lambda url: FakeTransport())
    export_catalogue(
        tables,
        folder=tmp_path / "var" / "catalogues" / "sixty",
        var=tmp_path / "var",
        model_repository=repository,
        encoder_version="1",
        triton_url="127.0.0.1:1",
        timeout_s=5.0,
        progress=SilentProgress(),
    )
    return tmp_path / "var"


def create_release(
    name: str, var: Path, repository: Path, *, encoder_version: str = "1", generator_version: str = "2"
) -> Path:
    return create(
        name,
        catalogue_name="sixty",
        encoder_version=encoder_version,
        generator_version=generator_version,
        model_repository=repository,
        var=var,
    )


def every_file(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in folder.iterdir()}


def test_a_release_pins_every_file_of_its_parts(var: Path, repository: Path) -> None:
    path = create_release("demo-1", var, repository)
    assert path == var / "releases" / "demo-1" / "release.json"
    release = read_release(var, "demo-1")
    assert (release.name, release.weights) == ("demo-1", DEFAULT_WEIGHTS)
    assert (release.encoder.version, release.generator.version, release.catalogue.name) == ("1", "2", "sixty")
    assert release.encoder.files == every_file(repository / "text_encoder" / "1")
    assert release.generator.files == every_file(repository / "generator" / "2")
    assert release.generator.files["weights.bin"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert release.catalogue.files == every_file(var / "catalogues" / "sixty")
    age = datetime.now(UTC) - datetime.fromisoformat(release.created_at)
    assert timedelta(seconds=-1) <= age < timedelta(minutes=5)


def test_its_prompt_shows_the_catalogues_own_kinds(var: Path, repository: Path) -> None:
    create_release("demo-1", var, repository)
    examples = read_release(var, "demo-1").prompt.examples
    assert 1 <= len(examples) <= 3
    for example in examples:
        assert example.description in ("drama", "comedy", "western")
        assert len(example.liked) == 4
        assert all(": film " in liked for liked in example.liked)


def test_the_first_release_goes_live_and_the_next_one_is_staged(var: Path, repository: Path) -> None:
    create_release("demo-1", var, repository)
    create_release("demo-2", var, repository)
    state = read_state(var)
    assert (state.revision, state.live, state.staged) == (2, "demo-1", ("demo-2",))
    assert read_release(var, "demo-1").prompt == read_release(var, "demo-2").prompt


def test_a_name_is_given_once(var: Path, repository: Path) -> None:
    path = create_release("demo-1", var, repository)
    before = path.read_text()
    with pytest.raises(AlreadyPublished, match="demo-1 exists"):
        create_release("demo-1", var, repository)
    assert path.read_text() == before


def test_a_release_that_was_killed_before_it_had_a_place_gets_one_when_it_is_created_again(
    var: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(release_writer, "changing_state", lambda _var: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            create_release("demo-1", var, repository)
    assert read_state(var).place_of("demo-1") is None
    before = (var / "releases" / "demo-1" / "release.json").read_bytes()
    path = create_release("demo-1", var, repository)
    assert path.read_bytes() == before
    assert read_state(var).live == "demo-1"


def test_a_release_without_a_place_is_not_taken_for_another_of_its_name(var: Path, repository: Path) -> None:
    create_release("demo-1", var, repository)
    (var / "releases" / "state.json").unlink()
    shutil.copytree(repository / "generator" / "2", repository / "generator" / "3")
    with pytest.raises(AlreadyPublished, match="demo-1 exists"):
        create_release("demo-1", var, repository, generator_version="3")
    assert read_release(var, "demo-1").generator.version == "2"


def test_a_catalogue_of_another_encoder_is_refused_with_both_versions(var: Path, repository: Path) -> None:
    with publishing(repository / "text_encoder" / "9") as folder:
        (folder / "model.onnx").write_text("abc")
        write_manifest(folder, {})
    embedded_with = read_manifest(repository / "text_encoder" / "1")["files"]["model.onnx"][:16]
    with pytest.raises(
        ReleaseInvalid,
        match=rf"sixty: expected vectors of text_encoder version 9 \(sha256 ba7816bf8f01cfea…\), "
        rf"got those of version 1 \({embedded_with}…\)",
    ):
        create_release("demo-1", var, repository, encoder_version="9")
    assert not (var / "releases").exists()


def test_a_catalogue_cut_by_another_tokenizer_is_refused(var: Path, repository: Path) -> None:
    manifest = var / "catalogues" / "sixty" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "tokenizer_sha256": "0" * 64}))
    with pytest.raises(ReleaseInvalid, match=r"expected texts cut by the tokenizer .* got 0000000000000000…"):
        create_release("demo-1", var, repository)


def test_a_refused_release_leaves_the_live_one_live(var: Path, repository: Path) -> None:
    create_release("demo-1", var, repository)
    manifest = var / "catalogues" / "sixty" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "encoder_sha256": "0" * 64}))
    with pytest.raises(ReleaseInvalid, match="export the catalogue again"):
        create_release("demo-2", var, repository)
    state = read_state(var)
    assert (state.live, state.staged) == ("demo-1", ())
    assert sorted(path.name for path in (var / "releases").iterdir()) == [".lock", "demo-1", "state.json"]


@pytest.mark.parametrize(
    ("encoder_version", "generator_version", "place"),
    [("7", "2", "text_encoder/7/manifest.json"), ("1", "7", "generator/7/manifest.json")],
)
def test_a_part_that_is_not_published_is_named(
    var: Path, repository: Path, encoder_version: str, generator_version: str, place: str
) -> None:
    with pytest.raises(ReleaseInvalid, match=place):
        create_release("demo-1", var, repository, encoder_version=encoder_version, generator_version=generator_version)


def test_a_catalogue_that_is_not_there_is_named(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(ReleaseInvalid, match=r"catalogues/sixty/manifest\.json"):
        create_release("demo-1", tmp_path / "empty", repository)
