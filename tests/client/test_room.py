"""Room on a file system: errors that come of a full disk become one, all others stay what they are."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections import namedtuple
from pathlib import Path

import pytest

from longtail_client import room
from longtail_client.durable import replace_file
from longtail_client.errors import DataInvalid, DiskFull
from longtail_client.room import lacks_room, room_for

Usage = namedtuple("Usage", "total used free")


def fail(error: BaseException, folder: Path) -> None:
    with room_for(folder / "new", folder / ".new"):
        (folder / ".new").mkdir()
        (folder / ".new" / "half").write_bytes(b"x" * 2**20)
        raise error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_says_what_was_written_and_what_to_free(tmp_path: Path, number: int) -> None:
    with pytest.raises(DiskFull, match=r"new: expected room .*: 1\.0 MiB of it were written, .* Remove .*var/vectors"):
        fail(OSError(number, "full"), tmp_path)


@pytest.fixture
def nothing_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let any file system look full."""
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: Usage(2**30, 2**30, 4096))


@pytest.mark.parametrize("error", [RuntimeError("write failed"), OSError("10 requested and 5 written")])
def test_an_error_without_a_number_is_one_of_a_full_disk_if_nothing_is_free(
    tmp_path: Path, nothing_free: None, error: Exception
) -> None:
    with pytest.raises(DiskFull, match=r"0\.0 MiB of 1024\.0 MiB are free") as raised:
        fail(error, tmp_path)
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("error", [DataInvalid("row 3"), KeyboardInterrupt()])
def test_what_has_another_reason_keeps_it_on_a_full_disk(
    tmp_path: Path, nothing_free: None, error: BaseException
) -> None:
    with pytest.raises(type(error)):
        fail(error, tmp_path)


@pytest.mark.parametrize("error", [RuntimeError("write failed"), OSError(errno.EACCES, "no")])
def test_an_error_stays_itself_where_there_is_room(tmp_path: Path, error: Exception) -> None:
    assert shutil.disk_usage(tmp_path).free > 2**20
    with pytest.raises(type(error)):
        fail(error, tmp_path)


def test_a_file_that_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFull, match=r"state\.json: expected room"):
        replace_file(path, b"new")
    assert path.read_text() == "old"


def test_a_full_disk_under_sqlite_is_one_too(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "longtail.db")
    database.execute("CREATE TABLE texts (text)")
    database.execute("PRAGMA max_page_count = 20")
    with pytest.raises(DiskFull, match=r"longtail\.db: expected room"), room_for(tmp_path / "longtail.db", tmp_path):
        database.executemany("INSERT INTO texts VALUES (?)", [("sea" * 1000,)] * 100)
    database.close()


def test_what_was_raised_from_an_error_of_a_full_disk_lacks_room_too() -> None:
    error = RuntimeError("in other words")
    error.__cause__ = OSError(errno.ENOSPC, "full")
    assert lacks_room(error)
    assert not lacks_room(RuntimeError("in other words"))
    assert not lacks_room(sqlite3.OperationalError("no such table"))
