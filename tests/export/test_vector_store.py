"""The store of vectors: what is appended is found again, and what a kill left half written is cut off."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from longtail_client.errors import ReleaseInvalid
from longtail_client.manifest import write_manifest
from longtail_export.progress import SilentProgress
from longtail_export.vector_store import DIGEST_BYTES, VectorStore, digests_of, prune_stores, store_folder

DIM = 4
TEXTS = [f"text {number}" for number in range(50)]
VECTORS = np.arange(50 * DIM, dtype=np.float32).reshape(50, DIM)


def opened(folder: Path):
    return VectorStore.opened(folder, DIM, SilentProgress())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with the first 30 of `TEXTS`, appended in two parts."""
    with opened(tmp_path / "store") as store:
        store.append(digests_of(TEXTS[:10]), VECTORS[:10])
        store.append(digests_of(TEXTS[10:30]), VECTORS[10:30])
    return tmp_path / "store"


def test_a_new_store_has_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "a" / "b") as store:
        assert len(store) == 0
        assert store.has(digests_of(TEXTS)).tolist() == [False] * 50


def test_what_was_appended_is_found_by_text_in_any_order(folder: Path) -> None:
    with opened(folder) as store:
        assert len(store) == 30
        assert store.has(digests_of(TEXTS)).tolist() == [True] * 30 + [False] * 20
        for order in ([29, 0, 15, 15, 16, 17, 3], list(range(30)), [7]):
            np.testing.assert_array_equal(store.take(digests_of([TEXTS[row] for row in order])), VECTORS[order])


def test_what_was_just_appended_is_found_too(folder: Path) -> None:
    with opened(folder) as store:
        store.append(digests_of(TEXTS[30:]), VECTORS[30:])
        np.testing.assert_array_equal(store.take(digests_of(TEXTS[::-1])), VECTORS[::-1])


def test_a_digest_is_of_the_whole_text() -> None:
    assert len(set(digests_of(["", "a", "b", "a ", "a" * 5000, "a" * 5001, "é", "日本"]).tolist())) == 8
    assert digests_of(["a"]).dtype.itemsize == DIGEST_BYTES == 16


@pytest.mark.parametrize(
    ("vector_bytes", "digest_bytes", "left"),
    [
        (-1, 0, 29),  # the disk lost the end of a vector
        (DIM * 4 * 3, 0, 30),  # killed between vectors and digests
        (DIM * 4 * 3 + 5, 0, 30),  # killed inside a vector
        (DIM * 4 * 3, DIGEST_BYTES * 2 + 7, 32),  # killed inside the digests
        (0, -1, 29),
        (0, -30 * DIGEST_BYTES, 0),
    ],
)
def test_a_torn_end_is_cut_and_written_over(folder: Path, vector_bytes: int, digest_bytes: int, left: int) -> None:
    for name, n_bytes, row_bytes in (("vectors", vector_bytes, DIM * 4), ("texts", digest_bytes, DIGEST_BYTES)):
        content = (folder / name).read_bytes()
        more = VECTORS[30:].tobytes() if name == "vectors" else digests_of(TEXTS[30:]).tobytes()
        (folder / name).write_bytes((content + more)[: len(content) + n_bytes])
        assert len(content) == 30 * row_bytes
    with opened(folder) as store:
        assert len(store) == left
        assert store.has(digests_of(TEXTS)).tolist() == [True] * left + [False] * (50 - left)
        store.append(digests_of(TEXTS[left:]), VECTORS[left:])
    with opened(folder) as store:
        np.testing.assert_array_equal(store.take(digests_of(TEXTS)), VECTORS)
    assert (folder / "vectors").stat().st_size == 50 * DIM * 4


def test_an_append_that_fails_leaves_what_was_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with opened(folder) as store:
        with monkeypatch.context() as patch:
            patch.setattr("os.fdatasync", no_room)
            with pytest.raises(OSError, match="No space left"):
                store.append(digests_of(TEXTS[30:40]), VECTORS[30:40])
        assert (folder / "vectors").stat().st_size == 30 * DIM * 4
        store.append(digests_of(TEXTS[40:]), VECTORS[40:])
        np.testing.assert_array_equal(
            store.take(digests_of(TEXTS[:30] + TEXTS[40:])), VECTORS[[*range(30), *range(40, 50)]]
        )


def test_a_second_export_waits_for_the_first(folder: Path) -> None:
    steps: list[str] = []
    found: list[int] = []

    class Listening(SilentProgress):
        def step(self, what: str) -> None:
            steps.append(what)
            waits.set()

    def second() -> None:
        with VectorStore.opened(folder, DIM, Listening()) as store:
            found.append(len(store))

    waits = threading.Event()
    with opened(folder) as store:
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(60)
        assert found == []
        store.append(digests_of(TEXTS[30:]), VECTORS[30:])
    thread.join(60)
    assert found == [50]
    assert steps == [f"waiting for the export that writes to {folder}"]


@pytest.fixture
def versions(tmp_path: Path) -> Iterator[Path]:
    """A model repository with three versions: 1 and 2 of one model, 3 with another tokenizer."""
    for version, model, tokenizer in (("1", "m", "t"), ("2", "m", "t"), ("3", "m", "u")):
        published = tmp_path / "models" / "text_encoder" / version
        published.mkdir(parents=True)
        (published / "model.onnx").write_text(model)
        (published / "tokenizer.json").write_text(tokenizer)
        write_manifest(published, {})
    return tmp_path / "models"


def test_a_version_a_model_and_a_tokenizer_have_a_store_of_their_own(versions: Path, tmp_path: Path) -> None:
    one, two, three = (store_folder(tmp_path, versions, version) for version in "123")
    assert one.parent == tmp_path / "vectors"
    assert one.name == "1-62c66a7a5dd70c31-e3b98a4da31a127d"
    assert len({one, two, three}) == 3
    with pytest.raises(ReleaseInvalid, match=r"text_encoder/7/manifest\.json"):
        store_folder(tmp_path, versions, "7")


@pytest.fixture
def stores(versions: Path, tmp_path: Path) -> Path:
    """The stores of every published version, of two that are published no more, and something else."""
    var = tmp_path / "var"
    for version in (path.name for path in (versions / "text_encoder").iterdir()):
        store_folder(var, versions, version).mkdir(parents=True)
    for former in ("7-0123456789abcdef-0123456789abcdef", "1-0123456789abcdef-0123456789abcdef", "notes"):
        (var / "vectors" / former).mkdir()
    return var / "vectors"


def test_stores_of_versions_that_are_published_no_more_are_removed(stores: Path, versions: Path) -> None:
    before = {path.name for path in stores.iterdir()}
    removed = prune_stores(stores.parent, versions)
    former = ["1-0123456789abcdef-0123456789abcdef", "7-0123456789abcdef-0123456789abcdef"]
    assert [path.name for path in removed] == former
    assert {path.name for path in stores.iterdir()} == before - set(former)
    assert prune_stores(stores.parent, versions) == []


def test_a_store_that_another_export_writes_to_stays(stores: Path, versions: Path) -> None:
    with opened(stores / "7-0123456789abcdef-0123456789abcdef"):
        removed = prune_stores(stores.parent, versions)
    assert [path.name[0] for path in removed] == ["1"]


def test_no_store_is_removed_while_a_manifest_cannot_be_read(stores: Path, versions: Path) -> None:
    before = list(stores.iterdir())
    next((versions / "text_encoder").glob("*/manifest.json")).write_text("{")
    assert prune_stores(stores.parent, versions) == []
    assert list(stores.iterdir()) == before
