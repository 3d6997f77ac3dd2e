"""`longtail interactions load`: a table into the database, or one error and the database as it was."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from sqlalchemy import Engine, event

from longtail_client import cli

N_ROWS = 2000


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the database."""
    monkeypatch.setenv("LONGTAIL_VAR", str(tmp_path / "var"))
    return tmp_path / "var"


@pytest.fixture
def load(var: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command; return what it said where it was to fail, else what it printed."""

    def run(path: Path, *, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["longtail", "interactions", "load", str(path), "--json"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert int(ended.value.code or 0) == code
        out, err = capsys.readouterr()
        return err if code else out

    return run


def table(path: Path, first: int = 0, **columns: list[Any]) -> Path:
    rows = range(first, first + N_ROWS)
    whole = {"user_id": [f"user {row}" for row in rows], "item_id": ["7"] * N_ROWS, "weight": [1.0] * N_ROWS}
    pyarrow.parquet.write_table(pa.table(whole | {"timestamp": list(rows)} | columns), path)
    return path


def n_stored(var: Path) -> int:
    with sqlite3.connect(var / "longtail.db") as database:
        return int(database.execute("SELECT count(*) FROM interactions").fetchone()[0])


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], None]]:
    """Let SQLite find no room beyond so many pages of 4 KiB."""
    limits = []

    def limit(connection: Any, _record: object) -> None:
        if limits:
            connection.execute(f"PRAGMA max_page_count = {limits[0]}")

    event.listen(Engine, "connect", limit)
    yield limits.append
    event.remove(Engine, "connect", limit)


def test_a_full_disk_is_one_error_and_the_database_stays(
    load: Callable[..., str], var: Path, tmp_path: Path, small_disk: Callable[[int], None]
) -> None:
    load(table(tmp_path / "first.parquet"))
    assert n_stored(var) == N_ROWS
    small_disk((var / "longtail.db").stat().st_size // 4096 + 1)
    said = load(table(tmp_path / "second.parquet", first=N_ROWS), code=3)
    assert said.count("error: ") == 1
    assert "var/longtail.db: expected room for it on the file system, which is full" in said
    assert n_stored(var) == N_ROWS


def test_what_is_no_such_table_is_one_error(load: Callable[..., str], var: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.parquet").write_bytes(b"")
    pyarrow.parquet.write_table(pa.table({"user_id": ["a"], "weight": [1.0]}), tmp_path / "columns.parquet")
    for name in ("empty", "columns", "missing"):
        said = load(tmp_path / f"{name}.parquet", code=3)
        assert f"{name}.parquet: expected Parquet with user_id, item_id, weight, timestamp, got" in said
        assert said.count("\n") == 1, said
    assert not (var / "longtail.db").exists()


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("weight", float("nan"), "row 3: expected a finite weight, got nan"),
        ("weight", None, "row 3: expected a weight, found none"),
        ("user_id", None, "row 3: expected a user_id, found none"),
        ("item_id", "", "row 3: expected item_id of 1 to 200 characters, got ''"),
    ],
)
def test_a_row_that_cannot_be_stored_is_named(
    load: Callable[..., str], var: Path, tmp_path: Path, column: str, value: object, said: str
) -> None:
    values: list[Any] = {"weight": [1.0] * N_ROWS}.get(column) or [f"{row}" for row in range(N_ROWS)]
    values[2] = value
    assert said in load(table(tmp_path / "bad.parquet", **{column: values}), code=3)
    assert not (var / "longtail.db").exists()
