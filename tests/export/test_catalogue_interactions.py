"""Interactions of a catalogue: those with known items are written in order, and users are counted exactly."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from longtail_export import catalogue_interactions
from longtail_export.catalogue_interactions import Known, write_known
from longtail_export.rows import Rows


def pairs(*rows: tuple[str, str | None]) -> pa.Table:
    return pa.table(
        {
            "user_id": pa.array([user for user, _ in rows], pa.string()),
            "item_id": pa.array([item for _, item in rows], pa.string()),
        }
    )


def known(interactions: pa.Table, item_ids: list[str], folder: Path) -> tuple[Known, pa.Table]:
    path = folder / "interactions.parquet"
    return write_known(Rows.of(interactions), pa.array(item_ids), path), pyarrow.parquet.read_table(path)


def test_popularity_counts_each_user_once(tmp_path: Path) -> None:
    rows = (("u1", "a"), ("u1", "a"), ("u2", "a"), ("u1", "b"), ("u3", "elsewhere"), ("u4", None))
    found, _ = known(pairs(*rows), ["a", "b", "c"], tmp_path)
    assert found.popularity.tolist() == [2, 1, 0]
    assert found.popularity.dtype == np.int64
    assert (found.n_users, found.n_interactions, found.n_unknown_items) == (2, 4, 2)


def test_interactions_with_strange_items_are_dropped_and_the_others_keep_their_order(tmp_path: Path) -> None:
    rows = (("u1", "i2"), ("u2", "gone"), ("u3", None), ("u1", "i1"), ("u1", "i2"))
    _, stored = known(pairs(*rows), ["i1", "i2"], tmp_path)
    assert stored.to_pydict() == {"user_id": ["u1", "u1", "u1"], "item_id": ["i2", "i1", "i2"]}
    assert [path.name for path in tmp_path.iterdir()] == ["interactions.parquet"]


def test_no_interactions_are_written_as_none(tmp_path: Path) -> None:
    found, stored = known(pairs(), ["a"], tmp_path)
    assert found.popularity.tolist() == [0]
    assert (found.n_users, len(stored)) == (0, 0)
    assert stored.column_names == ["user_id", "item_id"]


def test_many_interactions_in_many_groups_count_as_sets_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue_interactions, "_GROUP_ROWS", 5000)
    chance = random.Random(5)
    rows = [(f"u{chance.randrange(300)}", f"i{chance.randrange(250)}") for _ in range(20_000)]
    users = defaultdict(set)
    for user, item in rows:
        users[item].add(user)
    found, stored = known(pairs(*rows), [f"i{number}" for number in range(200)], tmp_path)
    assert found.popularity.tolist() == [len(users[f"i{number}"]) for number in range(200)]
    assert found.n_users == 300
    kept = [row for row in rows if int(row[1][1:]) < 200]
    assert (found.n_interactions, found.n_unknown_items) == (len(kept), len(rows) - len(kept))
    assert list(zip(stored["user_id"].to_pylist(), stored["item_id"].to_pylist(), strict=True)) == kept
