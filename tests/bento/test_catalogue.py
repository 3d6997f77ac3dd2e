"""Reading a catalogue folder into memory."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from longtail_bento.catalogue import Catalogue, _Attributes
from longtail_bento.flow.filtering import filter_mask
from longtail_client.errors import ReleaseInvalid, UnknownItem


@pytest.fixture
def folder(published: Path) -> Path:
    return published / "var" / "catalogues" / "tiny"


@pytest.fixture
def catalogue(folder: Path) -> Catalogue:
    return Catalogue.load(folder)


def test_every_column_stands_in_one_order(catalogue: Catalogue, folder: Path) -> None:
    numbers = range(1, 21)
    assert list(catalogue.item_ids) == [str(number) for number in numbers]
    assert list(catalogue.titles) == [f"film number {number}" for number in numbers]
    assert catalogue.popularity.tolist() == [21 - number for number in numbers]
    assert catalogue.popularity_percentile.tolist() == [100 * (20 - number) / 20 for number in numbers]
    assert catalogue.is_tail.tolist() == [False] * 4 + [True] * 16
    assert catalogue.row_of == {str(number): number - 1 for number in numbers}
    np.testing.assert_array_equal(catalogue.vectors, np.load(folder / "vectors.npy"))


def test_vectors_are_unit_rows(catalogue: Catalogue) -> None:
    assert catalogue.vectors.shape == (20, 16)
    np.testing.assert_allclose(np.linalg.norm(catalogue.vectors, axis=1), 1, atol=1e-5)


def test_attributes_are_what_the_owner_of_the_items_gave(catalogue: Catalogue) -> None:
    assert catalogue.attributes[9] == catalogue.attributes[-11] == {"genres": ["horror"], "year": 1960}
    assert len(catalogue.attributes) == 20
    assert [each["year"] for each in catalogue.attributes[3:5]] == [1954, 1955]
    with pytest.raises(IndexError):
        catalogue.attributes[20]


def test_an_item_is_named_as_the_prompt_names_it(catalogue: Catalogue) -> None:
    plain = Catalogue(["a"], ["Alien"], [""], [{}], *([np.zeros(1)] * 4), {"a": 0})  # type: ignore[arg-type]
    assert plain.liked_phrase(0) == "Alien"
    assert catalogue.liked_phrase(9) == f"{catalogue.kinds[9]}: film number 10"


def test_an_unknown_item_is_refused_at_the_field_that_named_it(catalogue: Catalogue) -> None:
    catalogue.require("20", field="item_id")
    with pytest.raises(UnknownItem, match="'21'") as refusal:
        catalogue.require("21", field="history.3.item_id")
    assert refusal.value.field == "history.3.item_id"


def test_a_long_unknown_id_is_cut_in_the_message(catalogue: Catalogue) -> None:
    with pytest.raises(UnknownItem) as refusal:
        catalogue.require("x" * 500, field="item_id")
    assert len(str(refusal.value)) < 150


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda vectors: vectors[:-1], r"each of 20 items, got float32 \(19, 16\)"),
        (lambda vectors: vectors.astype(np.float64), r"got float64 \(20, 16\)"),
        (lambda vectors: vectors[0], r"got float32 \(16,\)"),
    ],
)
def test_vectors_that_do_not_belong_to_the_items_are_refused(house: Path, damage: object, message: str) -> None:
    folder = house / "var" / "catalogues" / "tiny"
    np.save(folder / "vectors.npy", damage(np.load(folder / "vectors.npy")))  # type: ignore[operator]
    with pytest.raises(ReleaseInvalid, match=message):
        Catalogue.load(folder)


def test_columns_hold_each_value_once_and_say_who_has_it() -> None:
    table = pa.table(
        {
            "genres": [["drama", "western"], None, [], ["drama"]],
            "year": pa.array([1950, None, 1970, 1950], pa.int32()),
            "colour": [True, False, None, True],
            "country": pa.array(["Italy", None, "France", "Italy"]).dictionary_encode(),
            "released": [date(1950, 1, 2), None, None, date(1970, 5, 6)],
            "cast": [{"lead": "x"}] * 4,
        }
    )
    attributes = _Attributes(table)
    for name, kind in (("genres", str), ("year", float), ("colour", bool), ("country", str), ("released", str)):
        column = attributes.column(name)
        assert column is not None
        assert column is attributes.column(name)
        assert column.kind is kind
        shown = [[] for _ in range(4)]  # type: ignore[var-annotated]
        for row, code in zip(column.rows, column.codes, strict=True):
            shown[row].append(column.values[code])
        given = [
            entry if isinstance(entry, list) else [] if entry is None else [entry] for entry in table[name].to_pylist()
        ]
        assert shown == [[each.isoformat() if isinstance(each, date) else each for each in entry] for entry in given]
    assert attributes.column("cast") is None
    assert attributes.column("director") is None


def test_a_filter_reads_the_published_columns(catalogue: Catalogue) -> None:
    mask = filter_mask({"genres": "horror", "year": {"lte": 1960}}, 20, catalogue.column)
    assert [catalogue.item_ids[row] for row in np.flatnonzero(mask)] == ["2", "6", "10"]


def test_a_filter_reads_ids_and_titles_too(catalogue: Catalogue) -> None:
    def passing(document: dict[str, object]) -> list[str]:
        return [catalogue.item_ids[row] for row in np.flatnonzero(filter_mask(document, 20, catalogue.column))]

    assert passing({"title": "film number 7"}) == ["7"]
    assert passing({"item_id": ["7", "12", "none"]}) == ["7", "12"]
    assert passing({"not": {"item_id": {"gte": "10"}}, "title": {"lte": "film number 11"}}) == ["1"]
    assert catalogue.column("text") is None
    assert "title" not in catalogue.attributes[0]


@pytest.mark.parametrize("kind", ["float64", "float32", "float16"])
def test_a_number_that_is_none_passes_what_nothing_passes(kind: str) -> None:
    values = np.array([7.5, np.nan, 6.0, 8.0], dtype=kind)
    attributes = _Attributes(pa.table({"rated": pa.array(values), "year": [1, 2, 3, 4]}))

    def passing(document: dict[str, object]) -> list[int]:
        return [int(row) for row in np.flatnonzero(filter_mask(document, 4, attributes.column))]

    column = attributes.column("rated")
    assert column is not None
    assert not np.isnan(column.values.astype(np.float64)).any()
    assert passing({"rated": {"gte": 7}}) == [0, 3]
    assert passing({"rated": {"lte": 7}}) == [2]
    assert passing({"rated": {"gte": -1e300, "lte": 1e300}}) == [0, 2, 3]
    assert passing({"rated": [6, 8]}) == [2, 3]
    assert passing({"not": {"rated": {"gte": 7}}}) == [1, 2]
