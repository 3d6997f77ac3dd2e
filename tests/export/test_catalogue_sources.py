"""Anybody's tables: CSV and Parquet read alike, and what is wrong with a file is said by file and column."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from longtail_client.errors import DataInvalid, UnknownSource
from longtail_export import catalogue_sources, csv_rows
from longtail_export.catalogue_sources import read_dataset
from longtail_export.catalogue_sources import read_tables as open_tables
from longtail_export.rows import Rows

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


@dataclass(frozen=True)
class Read:
    items: pa.Table
    interactions: pa.Table
    source: str


def read_tables(items_path: Path, interactions_path: Path) -> Read:
    """Read both files to their ends."""
    tables = open_tables(items_path, interactions_path)
    return Read(whole(tables.items), whole(tables.interactions), tables.source)


def whole(rows: Rows) -> pa.Table:
    return pa.Table.from_batches(rows.batches(), rows.schema)


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
    with pytest.raises(DataInvalid, match=rf"i\.csv: row 1: column '{column}': expected a number, got 'good'"):
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
    assert (whole(tables.items), whole(tables.interactions), tables.source) == (items, interactions, "ml-100k")


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


def long_csv(path: Path, last: str) -> Path:
    """Write two blocks of rows; only the last row differs from the others."""
    rows = "".join(f"{number},film {number},{number % 90},1.5,2001-02-03\n" for number in range(400))
    path.write_text("item_id,title,size,price,day\n" + rows + last)
    return path


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read CSV files in blocks of a few hundred rows."""
    monkeypatch.setattr(csv_rows, "BLOCK_BYTES", 4096)


def test_a_column_has_the_type_that_its_last_cell_has_too(
    tmp_path: Path, ratings_csv: Path, small_blocks: None
) -> None:
    plain = read_tables(long_csv(tmp_path / "a.csv", "x,last,5,2,2001-02-04\n"), ratings_csv).items
    assert [str(kind) for kind in plain.schema.types[2:]] == ["int64", "double", "date32[day]"]
    assert plain["size"].to_pylist()[-2:] == [399 % 90, 5]
    mixed = read_tables(long_csv(tmp_path / "b.csv", "x,last,5.5,cheap,\n"), ratings_csv).items
    assert [str(kind) for kind in mixed.schema.types[2:]] == ["double", "list<item: string>", "date32[day]"]
    assert mixed["size"].to_pylist()[-2:] == [float(399 % 90), 5.5]
    assert mixed["price"].to_pylist()[-2:] == [["1.5"], ["cheap"]]
    assert mixed["day"].to_pylist()[-1] is None


def test_a_row_is_counted_from_the_beginning_of_the_file(items_csv: Path, tmp_path: Path, small_blocks: None) -> None:
    rows = "".join(f"user {number},8,{number}\n" for number in range(1000))
    path = written(tmp_path / "i.csv", f"user_id,item_id,rating\n{rows}user x,,3\n")
    with pytest.raises(DataInvalid, match=r"i\.csv: row 1001: expected a item_id"):
        read_tables(items_csv, path)
    path = written(tmp_path / "j.csv", f"user_id,item_id,rating\n{rows}user x,8,many\n")
    with pytest.raises(DataInvalid, match=r"j\.csv: row 1001: column 'rating': expected a number, got 'many'"):
        read_tables(items_csv, path)


def test_a_line_break_in_quotes_is_part_of_a_text(tmp_path: Path, ratings_csv: Path, small_blocks: None) -> None:
    rows = "".join(f'{number},film,"one\ntwo {number}"\n' for number in range(1000))
    path = written(tmp_path / "items.csv", f"item_id,title,text\n{rows}")
    assert read_tables(path, ratings_csv).items["text"].to_pylist() == [f"one\ntwo {number}" for number in range(1000)]


@pytest.mark.parametrize("cell", ["NaN", "nan", "inf", "-inf"])
def test_a_weight_that_is_no_finite_number_is_named_by_row(items_csv: Path, tmp_path: Path, cell: str) -> None:
    path = written(tmp_path / "i.csv", f"user_id,item_id,weight\n1,8,2\n1,9,{cell}\n")
    with pytest.raises(DataInvalid, match=rf"i\.csv: row 2: expected a finite weight, got {cell.lower()}"):
        read_tables(items_csv, path)


@pytest.mark.parametrize(
    ("cells", "seconds"),
    [
        (["100", "", "NA"], [100, 0, 0]),
        (["881250949.0", "2.9", "3"], [881250949, 2, 3]),
        (["1970-01-01T00:01:00Z", "", "1970-01-01 00:00:02Z"], [60, 0, 2]),
        (["1970-01-02", "1970-01-01", ""], [86_400, 0, 0]),
    ],
)
def test_a_time_is_seconds_or_a_date(items_csv: Path, tmp_path: Path, cells: list[str], seconds: list[int]) -> None:
    rows = "".join(f"1,8,{cell}\n" for cell in cells)
    path = written(tmp_path / "i.csv", f"user_id,item_id,timestamp\n{rows}")
    assert read_tables(items_csv, path).interactions["timestamp"].to_pylist() == seconds


def test_seconds_and_dates_in_one_column_are_refused(items_csv: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "i.csv", "user_id,item_id,timestamp\n1,8,100\n1,9,1970-01-02\n")
    with pytest.raises(DataInvalid, match=r"i\.csv: column 'timestamp': expected numbers, all of one form"):
        read_tables(items_csv, path)


def test_a_parquet_column_of_parts_is_refused_and_words_in_a_dictionary_are_words(
    tmp_path: Path, ratings_csv: Path
) -> None:
    nested = pa.table({"item_id": ["8"], "title": ["Alien"], "size": [{"w": 1, "h": 2}]})
    with pytest.raises(DataInvalid, match=r"column 'size': expected text, numbers or dates, or lists of them, got str"):
        read_tables(written(tmp_path / "a.parquet", nested), ratings_csv)
    words = pa.table({"item_id": ["8"], "title": ["Alien"], "genre": pa.array(["Horror"]).dictionary_encode()})
    items = read_tables(written(tmp_path / "b.parquet", words), ratings_csv).items
    assert items.to_pylist() == [{"item_id": "8", "title": "Alien", "genre": "Horror"}]


def test_a_parquet_file_of_many_batches_is_read_to_its_end(tmp_path: Path, items_csv: Path) -> None:
    table = pa.table({"user_id": [f"u{n}" for n in range(10_000)], "item_id": ["8"] * 10_000})
    path = written(tmp_path / "i.parquet", table)
    assert read_tables(items_csv, path).interactions["user_id"].to_pylist() == table["user_id"].to_pylist()
    late = table.set_column(1, "item_id", pa.array(["8"] * 9_000 + [None] + ["8"] * 999))
    with pytest.raises(DataInvalid, match=r"late\.parquet: row 9001: expected a item_id"):
        read_tables(items_csv, written(tmp_path / "late.parquet", late))
