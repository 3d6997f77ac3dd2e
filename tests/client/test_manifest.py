"""Publishing a folder: whole or not at all, once, with a manifest that later tells what changed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from longtail_client.errors import DataInvalid, ReleaseInvalid
from longtail_client.manifest import (
    MANIFEST,
    AlreadyPublished,
    publishing,
    read_manifest,
    sha256_of,
    verify_files,
    write_manifest,
)

SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A published folder with a file and a nested one."""
    with publishing(tmp_path / "1") as staging:
        (staging / "model.onnx").write_text("abc")
        (staging / "assets").mkdir()
        (staging / "assets" / "words.txt").write_text("abc")
        write_manifest(staging, {"precision": "fp32"})
    return tmp_path / "1"


def test_a_folder_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "models" / "1"
    with publishing(target) as staging:
        (staging / "half.bin").write_text("half")
        assert not target.exists()
        assert staging.parent == target.parent
        assert staging.name.startswith(".")
    assert [path.name for path in target.iterdir()] == ["half.bin"]
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_after_an_error(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with publishing(tmp_path / "1") as staging:
            (staging / "half.bin").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_an_existing_version_is_refused_and_kept(folder: Path) -> None:
    with pytest.raises(AlreadyPublished, match=re.escape(f"{folder} exists")), publishing(folder):
        pytest.fail("the block must not run")
    assert (folder / "model.onnx").read_text() == "abc"
    assert issubclass(AlreadyPublished, DataInvalid)


def test_a_version_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    def race() -> None:
        with publishing(tmp_path / "1") as staging:
            (staging / "mine").write_text("mine")
            (tmp_path / "1").mkdir()
            (tmp_path / "1" / "theirs").write_text("theirs")

    with pytest.raises(OSError, match="not empty"):
        race()
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["1", "1/theirs"]


def test_a_file_is_hashed_as_sha256(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("abc")
    assert sha256_of(tmp_path / "file") == SHA256_OF_ABC


def test_the_manifest_holds_the_facts_and_every_files_hash(folder: Path) -> None:
    assert read_manifest(folder) == {
        "precision": "fp32",
        "files": {"assets/words.txt": SHA256_OF_ABC, "model.onnx": SHA256_OF_ABC},
    }


def test_files_as_published_pass(folder: Path) -> None:
    verify_files(folder, read_manifest(folder)["files"])


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "assets" / "words.txt").unlink()
    with pytest.raises(ReleaseInvalid, match=r"assets/words\.txt: expected the file that the release pins, found none"):
        verify_files(folder, read_manifest(folder)["files"])


def test_a_changed_file_is_named_with_both_hashes(folder: Path) -> None:
    (folder / "model.onnx").write_text("abd")
    changed = sha256_of(folder / "model.onnx")[:16]
    with pytest.raises(ReleaseInvalid, match=rf"model\.onnx: expected sha256 {SHA256_OF_ABC[:16]}…, got {changed}…"):
        verify_files(folder, read_manifest(folder)["files"])


def test_a_folder_without_a_manifest_is_no_version(tmp_path: Path) -> None:
    with pytest.raises(ReleaseInvalid, match=re.escape(f"expected a manifest at {tmp_path / MANIFEST}")):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "content", ["{", "[]", "3", "{}", json.dumps({"files": ["model.onnx"]}), json.dumps({"files": {"model.onnx": 3}})]
)
def test_a_malformed_manifest_is_refused_and_named(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(ReleaseInvalid, match=re.escape(str(tmp_path / MANIFEST))):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["a b", ".hidden", "-x", "ü", "x" * 101])
def test_a_name_that_is_no_plain_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataInvalid, match="expected a name of letters, digits"), publishing(tmp_path / name):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_name_never_leads_out_of_its_folder(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="expected a name of letters, digits"), publishing(tmp_path / "in" / "../out"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    left = tmp_path / ".1.0123abcd"
    left.mkdir()
    (left / "half.bin").write_text("half")
    for other in (".2.0123abcd", ".1.keep"):
        (tmp_path / other).mkdir()
    with publishing(tmp_path / "1") as living:
        assert not left.exists()
        (living / "mine").write_text("mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".1.keep", ".2.0123abcd", "1"]


def test_two_that_publish_the_same_leave_each_other_alone(tmp_path: Path) -> None:
    def second(first: Path) -> None:
        with publishing(tmp_path / "1"):
            assert first.exists()
            raise KeyboardInterrupt

    with publishing(tmp_path / "1") as first:
        (first / "mine").write_text("mine")
        with pytest.raises(KeyboardInterrupt):
            second(first)
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["1", "1/mine"]
