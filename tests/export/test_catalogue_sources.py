"""Anybody's tables: CSV and Parquet read alike, and what is wrong with a file is said by file and column."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from longtail_client.errors import DataInvalid, UnknownSource
from longtail_export import catalogue_sources
from longtail_export.catalogue_sources import read_dataset, read_tables

ITEMS = "item_id,title,genres,year\n007,Heat,Crime|Drama,1995\n8,Alien,Horror,1979\n9,Plain,,\n"
RATINGS = "user_id,item_id,rating,timestamp\n1,007,4.5,100\n2,8,3,200\n"


@pytest.fixture
def items_csv(tmp_path: Path) -> Path:
    path = tmp_path / "items.csv"
    path.write_text(ITEMS)
    return path


@pytest.fixture
def ratings_csv(tmp_path: Path) -> Path:
    path = tmp_path / "ratings.csv"
    path.write_text(RATINGS)
    return path


def written(path: Path, content: str | pa.Table) -> Path:
    if isinstance(content, str):
        path.write_text(content)
    else:
        pyarrow.parquet.write_table(content, path)
    return path


def test_a_csv_of_items_keeps_ids_as_text_and_splits_attributes(items_csv: Path, ratings_csv: Path) -> None:
    items = read_tables(items_csv, ratings_csv).items
    assert items.column_names == ["item_id", "title", "genres", "year"]
    assert items["item_id"].to_pylist() == ["007", "8", "9"]
    assert items["title"].to_pylist() == ["Heat", "Alien", "Plain"]
    assert items["genres"].to_pylist() == [["Crime", "Drama"], ["Horror"], None]
    assert items["year"].to_pylist() == [1995, 1979, None]


def test_a_bar_in_a_title_or_text_splits_nothing(tmp_path: Path, ratings_csv: Path) -> None:
    path = written(tmp_path / "items.csv", "item_id,title,text\n1|2,Face|Off,one|two\n")
    assert read_tables(path, ratings_csv).items.to_pylist() == [
        {"item_id": "1|2", "title": "Face|Off", "text": "one|two"}
    ]


def test_a_rating_is_taken_as_the_weight(items_csv: Path, ratings_csv: Path) -> None:
    interactions = read_tables(items_csv, ratings_csv).interactions
    assert interactions.to_pydict() == {
        "user_id": ["1", "2"],
        "item_id": ["007", "8"],
        "weight": [4.5, 3.0],
        "timestamp": [100, 200],
    }
    assert interactions.schema.types == [pa.string(), pa.string(), pa.float32(), pa.int64()]


def test_a_weight_beats_a_rating(items_csv: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "i.csv", "user_id,item_id,rating,weight\n1,8,5,0.5\n")
    assert read_tables(items_csv, path).interactions["weight"].to_pylist() == [0.5]


def test_without_weight_and_time_every_interaction_counts_one_at_zero(items_csv: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "i.csv", "user_id,item_id\n1,8\n2,8\n")
    interactions = read_tables(items_csv, path).interactions
    assert interactions["weight"].to_pylist() == [1.0, 1.0]
    assert interactions["timestamp"].to_pylist() == [0, 0]


def test_an_empty_weight_or_time_takes_the_default(items_csv: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "i.csv", "user_id,item_id,weight,timestamp\n1,8,,\n2,8,2,9\n")
    interactions = read_tables(items_csv, path).interactions
    assert interactions["weight"].to_pylist() == [1.0, 2.0]
    assert interactions["timestamp"].to_pylist() == [0, 9]


def test_a_date_becomes_seconds(items_csv: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "i.csv", "user_id,item_id,timestamp\n1,8,1970-01-02 00:00:01\n")
    assert read_tables(items_csv, path).interactions["timestamp"].to_pylist() == [86_401]


def test_parquet_may_hold_lists_numbers_as_ids_and_times(tmp_path: Path) -> None:
    items = pa.table(
        {"item_id": [7, 8], "title": ["Heat", "Alien"], "genres": [["Crime", "Drama"], []], "studio": ["a|b", "c"]}
    )
    moment = datetime(1970, 1, 1, 0, 2, 0, 500_000, tzinfo=UTC)
    ratings = pa.table(
        {"user_id": [1], "item_id": [7], "rating": [4], "timestamp": pa.array([moment], pa.timestamp("ms", "UTC"))}
    )
    tables = read_tables(written(tmp_path / "items.parquet", items), written(tmp_path / "ratings.parquet", ratings))
    assert tables.items.to_pydict() == {
        "item_id": ["7", "8"],
        "title": ["Heat", "Alien"],
        "genres": [["Crime", "Drama"], []],
        "studio": ["a|b", "c"],
    }
    assert tables.interactions.to_pylist() == [{"user_id": "1", "item_id": "7", "weight": 4.0, "timestamp": 120}]


def test_the_source_names_both_files(items_csv: Path, ratings_csv: Path) -> None:
    assert read_tables(items_csv, ratings_csv).source == "items.csv, ratings.csv"


@pytest.mark.parametrize(
    ("items", "ratings", "message"),
    [
        ("item_id,name\n1,Heat\n", RATINGS, "items.csv: expected a column 'title', found ['item_id', 'name']"),
        ("id,title\n1,Heat\n", RATINGS, "items.csv: expected a column 'item_id', found ['id', 'title']"),
        (ITEMS, "user,item_id\n1,8\n", "ratings.csv: expected a column 'user_id', found ['user', 'item_id']"),
        (ITEMS, "user_id\n1\n", "ratings.csv: expected a column 'item_id', found ['user_id']"),
    ],
)
def test_a_missing_column_is_named_with_its_file(tmp_path: Path, items: str, ratings: str, message: str) -> None:
    paths = written(tmp_path / "items.csv", items), written(tmp_path / "ratings.csv", ratings)
    with pytest.raises(DataInvalid, match=re.escape(message)):
        read_tables(*paths)


@pytest.mark.parametrize("column", ["rating", "timestamp"])
def test_a_column_of_words_where_numbers_belong_is_named(items_csv: Path, tmp_path: Path, column: str) -> None:
    path = written(tmp_path / "i.csv", f"user_id,item_id,{column}\n1,8,good\n")
    with pytest.raises(DataInvalid, match=rf"i\.csv: column '{column}': expected numbers"):
        read_tables(items_csv, path)


@pytest.mark.parametrize("name", ["items.csv", "items.parquet"])
@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00\x01 not a table", b"a,b\n1,2,3\n"])
def test_an_unreadable_file_is_named(tmp_path: Path, ratings_csv: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataInvalid, match=re.escape(str(path))):
        read_tables(path, ratings_csv)


def test_a_column_named_twice_is_refused_and_named(tmp_path: Path, ratings_csv: Path) -> None:
    path = written(tmp_path / "items.csv", "item_id,title,title\n1,Heat,Other\n")
    with pytest.raises(DataInvalid, match=r"items\.csv: .*title"):
        read_tables(path, ratings_csv)


def test_an_unknown_dataset_is_answered_with_the_known_one(tmp_path: Path) -> None:
    with pytest.raises(UnknownSource, match="expected dataset 'ml-100k', got 'ml-1m'"):
        read_dataset("ml-1m", tmp_path)


def test_the_known_dataset_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items, interactions = pa.table({"item_id": ["1"]}), pa.table({"user_id": ["2"]})
    monkeypatch.setattr(catalogue_sources, "read_movielens", lambda cache: (items, interactions))
    tables = read_dataset("ml-100k", tmp_path)
    assert (tables.items, tables.interactions, tables.source) == (items, interactions, "ml-100k")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            {"user_id": ["1", None], "item_id": ["8", "8"]},
            "row 2: expected a user_id of 1 to 200 characters, got 'None'",
        ),
        ({"user_id": [" "], "item_id": ["8"]}, "row 1: expected a user_id of 1 to 200 characters, got ' '"),
        ({"user_id": ["1"], "item_id": ["x" * 201]}, "row 1: expected a item_id of 1 to 200 characters"),
        (
            {"user_id": ["1", "1"], "item_id": ["8", "9"], "weight": [1.0, float("nan")]},
            "row 2: expected a finite weight",
        ),
    ],
)
def test_an_interaction_that_cannot_be_stored_is_named_by_row(
    items_csv: Path, tmp_path: Path, rows: dict[str, list[object]], said: str
) -> None:
    path = written(tmp_path / "i.parquet", pa.table(rows))
    with pytest.raises(DataInvalid, match=re.escape(said)):
        read_tables(items_csv, path)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ({"cover": [b"\xff"]}, "column 'cover': expected text, numbers or dates, got bytes"),
        ({"kind": ["tall"]}, "column 'kind': longtail derives a column of this name"),
    ],
)
def test_an_attribute_that_cannot_be_served_is_named(
    ratings_csv: Path, tmp_path: Path, column: dict[str, list[object]], said: str
) -> None:
    path = written(tmp_path / "items.parquet", pa.table({"item_id": ["8"], "title": ["Alien"], **column}))
    with pytest.raises(DataInvalid, match=re.escape(said)):
        read_tables(path, ratings_csv)
