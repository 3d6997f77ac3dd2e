"""Tidy items: head and tail by users, the text that the encoder reads, kinds, and rows that are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail_client.errors import DataInvalid
from longtail_export import rows as rows_module
from longtail_export import shared_values
from longtail_export.catalogue_interactions import write_known
from longtail_export.catalogue_tidy import MAX_TITLE, rank_popularity, scan_items, tidied_schema
from longtail_export.catalogue_tidy import tidy_items as tidied_batches
from longtail_export.item_words import MAX_TEXT
from longtail_export.rows import Rows


def pairs(*rows: tuple[str, str | None]) -> pa.Table:
    return pa.table(
        {
            "user_id": pa.array([user for user, _ in rows], pa.string()),
            "item_id": pa.array([item for _, item in rows], pa.string()),
        }
    )


def items_of(**columns: list[object]) -> pa.Table:
    n_items = len(next(iter(columns.values())))
    numbers = range(1, n_items + 1)
    return pa.table({"item_id": [f"i{n}" for n in numbers], "title": [f"Title {n}" for n in numbers], **columns})


def tidy(items: pa.Table, interactions: pa.Table) -> pa.Table:
    """Tidy as an export does."""
    rows = Rows.of(items)
    scan = scan_items(rows)
    with TemporaryDirectory() as folder:
        known = write_known(Rows.of(interactions), scan.item_ids, Path(folder) / "interactions.parquet")
    return pa.Table.from_batches(tidied_batches(rows, scan, known.popularity), tidied_schema(items.schema))


def test_the_head_is_the_top_fifth_rounded_down() -> None:
    percentile, is_tail = rank_popularity(np.array([1, 9, 3, 4, 5, 6, 7]), pa.array(list("abcdefg")))
    assert is_tail.tolist() == [True, False, True, True, True, True, True]
    np.testing.assert_allclose(percentile, [0, 600 / 7, 100 / 7, 200 / 7, 300 / 7, 400 / 7, 500 / 7], rtol=1e-6)


def test_equal_counts_are_ordered_by_id_as_numbers_are() -> None:
    percentile, is_tail = rank_popularity(np.full(10, 4), pa.array([str(n) for n in (10, 9, 8, 7, 6, 5, 4, 3, 2, 1)]))
    assert is_tail.tolist() == [True] * 8 + [False] * 2
    assert percentile.tolist() == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]


def test_fewer_than_five_items_have_no_head() -> None:
    percentile, is_tail = rank_popularity(np.array([5, 1, 2, 3]), pa.array(list("abcd")))
    assert is_tail.all()
    assert percentile.tolist() == [75, 0, 25, 50]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=300), st.randoms())
def test_an_item_is_tail_exactly_below_percentile_80(counts: list[int], random) -> None:
    ids = [str(number) for number in range(len(counts))]
    random.shuffle(ids)
    percentile, is_tail = rank_popularity(np.array(counts), pa.array(ids))
    np.testing.assert_array_equal(is_tail, percentile < 80)
    assert np.count_nonzero(~is_tail) == len(counts) // 5
    assert len(set(percentile.tolist())) == len(counts)
    assert 0 <= percentile.min() <= percentile.max() < 100


@given(st.lists(st.integers(0, 50), min_size=2, max_size=60))
def test_a_more_popular_item_stands_higher(counts: list[int]) -> None:
    percentile, _ = rank_popularity(np.array(counts), pa.array([str(number) for number in range(len(counts))]))
    for one, other in zip(range(len(counts)), range(1, len(counts)), strict=False):
        if counts[one] != counts[other]:
            assert (counts[one] > counts[other]) == (percentile[one] > percentile[other])


def test_popularity_and_tail_come_with_each_item_in_its_place() -> None:
    rows = [
        (f"u{user}", f"i{item}") for item, n_users in enumerate([1, 3, 0, 2, 5], start=1) for user in range(n_users)
    ]
    found = tidy(items_of(genre=["a"] * 5), pairs(*rows))
    assert found["item_id"].to_pylist() == ["i1", "i2", "i3", "i4", "i5"]
    assert found["popularity"].to_pylist() == [1, 3, 0, 2, 5]
    assert found["popularity_percentile"].to_pylist() == [20, 60, 0, 40, 80]
    assert found["is_tail"].to_pylist() == [True, True, True, True, False]
    assert found.schema.field("popularity").type == pa.int64()
    assert found.schema.field("popularity_percentile").type == pa.float32()


def test_a_text_is_taken_or_written_from_title_and_attributes() -> None:
    items = items_of(
        text=["its own text", None, "", None],
        genre=[["a"], ["b", "", "c"], [], None],
        year=[1990, 1991, None, None],
    )
    assert tidy(items, pairs())["text"].to_pylist() == [
        "its own text",
        "Title 2. genre: b, c. year: 1991",
        "Title 3",
        "Title 4",
    ]


def test_a_text_is_cut_at_4000_characters() -> None:
    assert tidy(items_of(text=["x" * 5000]), pairs())["text"].to_pylist() == ["x" * 4000]


def test_the_kind_names_the_words_that_other_items_have_too() -> None:
    items = items_of(
        genre=[["Drama", "Crime"], ["Crime"], ["Comedy"], None],
        decade=["1990s", "1980s", "1990s", ""],
        year=[1990, 1980, 1990, 1990],
        text=["same"] * 4,
    )
    assert tidy(items, pairs())["kind"].to_pylist() == ["Crime, 1990s", "Crime", "1990s", ""]


def test_in_a_large_catalogue_a_word_needs_one_item_in_a_hundred() -> None:
    words = ["often"] * 3 + ["seldom"] * 2 + [None] * 295
    assert tidy(items_of(genre=words), pairs())["kind"].to_pylist() == ["often"] * 3 + [""] * 297


def test_an_item_that_repeats_a_word_counts_once() -> None:
    assert tidy(items_of(genre=[["Drama", "Drama"], ["Comedy"]]), pairs())["kind"].to_pylist() == ["", ""]


@pytest.mark.parametrize(
    "genres",
    [
        pa.array(["Drama"] * 2, pa.large_string()),
        pa.array(["Drama"] * 2).dictionary_encode(),
        pa.array([["Drama"]] * 2, pa.large_list(pa.large_string())),
    ],
    ids=["large_string", "dictionary", "large_list"],
)
def test_a_kind_is_found_however_parquet_stores_the_words(genres: pa.Array) -> None:
    assert tidy(items_of(genre=genres), pairs())["kind"].to_pylist() == ["Drama"] * 2


def test_attributes_stay_and_derived_columns_are_written_anew() -> None:
    items = items_of(popularity=[99], is_tail=[False], genre=["Drama"])
    assert tidy(items, pairs(("u", "i1"))).to_pylist() == [
        {
            "item_id": "i1",
            "title": "Title 1",
            "genre": "Drama",
            "text": "Title 1. genre: Drama",
            "kind": "",
            "popularity": 1,
            "popularity_percentile": 0.0,
            "is_tail": True,
        }
    ]


@pytest.mark.parametrize(
    ("ids", "titles", "message"),
    [
        (["a", "b", "a"], ["A", "B", "C"], "items: row 3: item_id 'a' stands in row 1 already"),
        (["a", "", "c"], ["A", "B", "C"], "items: row 2: expected a item_id, found it empty"),
        (["a", None, "c"], ["A", "B", "C"], "items: row 2: expected a item_id, found it empty"),
        (["a", "b", "c"], ["A", "B", "  "], "items: row 3: expected a title, found it empty"),
        (["a", "b", "c"], [None, "B", "C"], "items: row 1: expected a title, found it empty"),
        ([], [], "items: expected at least one row, found none"),
    ],
)
def test_a_wrong_row_is_refused_by_its_number(ids: list[str], titles: list[str], message: str) -> None:
    items = pa.table({"item_id": pa.array(ids, pa.string()), "title": pa.array(titles, pa.string())})
    with pytest.raises(DataInvalid, match=f"^{message}$"):
        tidy(items, pairs())


def test_an_overlong_title_is_refused_by_its_row() -> None:
    items = pa.table({"item_id": ["a", "b"], "title": ["x" * MAX_TITLE, "x" * 100_000]})
    with pytest.raises(
        DataInvalid, match=r"^items: row 2: expected a title of at most 1000 characters, got one of 1000"
    ):
        tidy(items, pairs())


def test_long_texts_are_counted() -> None:
    items = items_of(text=["x" * 100_000, "x" * MAX_TEXT, None])
    assert scan_items(Rows.of(items)).n_long_texts == 1


def test_rows_are_counted_and_kept_across_batches() -> None:
    items = items_of(genre=["Drama"] * 9000)
    found = tidy(items, pairs(("u", "i8001")))
    assert found["item_id"].to_pylist() == items["item_id"].to_pylist()
    assert found["popularity"].to_pylist() == [0] * 8000 + [1] + [0] * 999
    assert found["kind"].to_pylist() == ["Drama"] * 9000
    twice = pa.concat_tables([items, items.slice(7, 1)])
    with pytest.raises(DataInvalid, match=r"^items: row 9001: item_id 'i8' stands in row 8 already$"):
        tidy(twice, pairs())
    titles = ["t"] * 8999 + [""]
    with pytest.raises(DataInvalid, match=r"^items: row 9000: expected a title, found it empty$"):
        tidy(items.set_column(1, "title", pa.array(titles)), pairs())


def test_a_kind_is_found_among_more_values_than_are_counted_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_values, "MAX_COUNTED", 20)
    monkeypatch.setattr(rows_module, "_TABLE_ROWS", 10)
    genres = [["Drama", f"rare {n}"] if n % 10 == 0 else [f"rare {n}"] for n in range(500)]
    found = tidy(items_of(genre=genres), pairs())
    assert found["kind"].to_pylist() == ["Drama" if n % 10 == 0 else "" for n in range(500)]


@pytest.mark.parametrize(
    "change", [lambda table: table.slice(1), lambda table: table.slice(0, 5), lambda table: table.take([1, 0])]
)
def test_items_that_change_while_they_are_read_are_refused(change: Callable[[pa.Table], pa.Table]) -> None:
    items = items_of(genre=["Drama"] * 6)
    scan = scan_items(Rows.of(items))
    with pytest.raises(DataInvalid, match="they changed while they were read; export again"):
        list(tidied_batches(Rows.of(change(items)), scan, np.zeros(6, dtype=np.int64)))
