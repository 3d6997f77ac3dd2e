"""Writers that are killed at every step they take on the disk: whoever reads afterwards sees the old or the new, whole.

A child process runs the writer and ends itself by SIGKILL just before its n-th call that touches the disk, for n from 1
until the writer gets through.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest

from longtail_client.manifest import AlreadyPublished, publishing, read_manifest, verify_files, write_manifest
from longtail_client.release import read_release
from longtail_client.release_pack import pack, parts_of
from longtail_client.release_state import ReleaseState, changing_state, read_state, write_state
from longtail_client.release_unpack import unpack

if TYPE_CHECKING:
    from conftest import House

_TOUCHES_DISK = frozenset(
    ("open", "write", "writelines", "flush", "close", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "flock")
)


_FSYNC = os.fsync


@pytest.fixture(autouse=True)
def only_children_wait_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what is not killed run fast."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


def silent(_n_bytes: int) -> None:
    """Hear of progress."""


def killed_before_step(n: int, writer: Callable[[], object]) -> bool:
    """Run a writer in a child process that is killed before its n-th step; tell whether it was."""
    child = os.fork()
    if child == 0:
        steps = 0

        def count(_frame: FrameType, event: str, called: Any) -> None:
            nonlocal steps
            if event == "c_call" and called.__name__ in _TOUCHES_DISK:
                steps += 1
                if steps == n:
                    os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        os.fsync = _FSYNC
        try:
            sys.setprofile(count)
            writer()
            code = 0
        finally:
            sys.setprofile(None)
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0, "the writer failed by itself"
    return False


def kill_at_every_step(
    prepare: Callable[[], object], writer: Callable[[], object], check: Callable[[], bool]
) -> tuple[int, int]:
    """Kill a writer at each of its steps, each time on prepared ground.

    Args:
        prepare: Makes the ground.
        writer: What is killed.
        check: Reads what is there, and tells whether it is the new.

    Returns:
        How many kills left the old, and how many the new.
    """
    left_new = []
    prepare()
    while killed_before_step(len(left_new) + 1, writer):
        left_new.append(check())
        prepare()
    assert check(), "a writer that got through left the old"
    assert left_new == sorted(left_new), "the new was there, and then the old again"
    return left_new.count(False), left_new.count(True)


def test_the_killer_sees_a_writer_that_leaves_a_mixture(tmp_path: Path) -> None:
    path = tmp_path / "state"

    def writer() -> None:
        with path.open("w", buffering=1) as file:
            file.write("new\n")
            file.write("whole\n")

    seen = set()

    def check() -> bool:
        seen.add(path.read_text())
        return path.read_text() == "new\nwhole\n"

    kill_at_every_step(lambda: path.write_text("old\nwhole\n"), writer, check)
    assert "new\n" in seen


def test_a_state_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    old = ReleaseState(revision=1, live="one", staged=("two",))
    new = ReleaseState(revision=2, live="two", previous="one")

    def prepare() -> None:
        shutil.rmtree(tmp_path / "releases", ignore_errors=True)
        with changing_state(tmp_path):
            write_state(tmp_path, old)

    def promote() -> None:
        with changing_state(tmp_path) as state:
            write_state(tmp_path, state.promote("two"))

    def check() -> bool:
        state = read_state(tmp_path)
        assert state in (old, new)
        promote()  # once more, after the kill
        assert read_state(tmp_path) == new
        names = sorted(path.name for path in (tmp_path / "releases").iterdir())
        assert names == [".lock", "state.json"] or state == new
        return state == new

    left_old, left_new = kill_at_every_step(prepare, promote, check)
    assert left_old >= 5
    assert left_new >= 1


def test_a_published_folder_is_absent_or_whole(tmp_path: Path) -> None:
    target = tmp_path / "models" / "1"

    def publish() -> None:
        with publishing(target) as staging:
            (staging / "model.onnx").write_text("weights" * 1000)
            (staging / "assets").mkdir()
            (staging / "assets" / "words.txt").write_text("word\n" * 1000)
            write_manifest(staging, {"precision": "fp32"})

    def check() -> bool:
        is_there = target.exists()
        if is_there:
            with pytest.raises(AlreadyPublished):
                publish()
        else:
            publish()
        manifest = read_manifest(target)
        assert sorted(manifest["files"]) == ["assets/words.txt", "model.onnx"]
        verify_files(target, manifest["files"])
        return is_there

    left_old, left_new = kill_at_every_step(
        lambda: shutil.rmtree(tmp_path / "models", ignore_errors=True), publish, check
    )
    assert left_old >= 15
    assert left_new >= 1


def test_an_unpacked_release_has_all_its_parts_and_a_place_or_is_not_there(house: House, tmp_path: Path) -> None:
    for name in ("one", "two"):
        house.create(name, encoder={"one": "1", "two": "2"}[name], catalogue=f"films-{name}")
        pack(name, tmp_path / f"{name}.tar", var=house.var, model_repository=house.models, advance=silent)
    var, models = tmp_path / "there" / "var", tmp_path / "there" / "models"
    before = ReleaseState(revision=2, live="one")

    def unpacked(name: str) -> None:
        unpack(tmp_path / f"{name}.tar", var=var, model_repository=models, advance=silent)

    def prepare() -> None:
        shutil.rmtree(tmp_path / "there", ignore_errors=True)
        unpacked("one")
        with changing_state(var) as state:
            write_state(var, state.promote("one"))

    def check() -> bool:
        state = read_state(var)
        assert state in (before, ReleaseState(revision=3, live="one", staged=("two",)))
        for folder in (*models.glob("*/[!.]*"), *(var / "catalogues").glob("[!.]*")):
            verify_files(folder, read_manifest(folder)["files"])
        if (var / "releases" / "two").exists():
            assert is_whole("two")
        unpacked("two")  # once more, after the kill
        assert is_whole("one")
        assert is_whole("two")
        assert read_state(var).staged == ("two",)
        return state != before

    def is_whole(name: str) -> bool:
        for part in parts_of(read_release(var, name), var=var, model_repository=models):
            verify_files(part.folder, part.pinned)
        return True

    left_old, left_new = kill_at_every_step(prepare, lambda: unpacked("two"), check)
    assert left_old >= 40
    assert left_new >= 1


def test_a_pack_is_absent_or_whole(house: House, tmp_path: Path) -> None:
    house.create("one")
    target = tmp_path / "one.tar"

    def write() -> None:
        pack("one", target, var=house.var, model_repository=house.models, advance=silent)

    def check() -> bool:
        is_there = target.exists()
        if not is_there:
            write()
        there = tmp_path / "there"
        unpack(target, var=there / "var", model_repository=there / "models", advance=silent)
        shutil.rmtree(there)
        return is_there

    left_old, left_new = kill_at_every_step(lambda: target.unlink(missing_ok=True), write, check)
    assert left_old >= 15
    assert left_new >= 1
