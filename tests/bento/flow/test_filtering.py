"""Filters over a handful of items, against a plain reading of each condition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail_bento.flow.filtering import AttributeColumn, check_filter, filter_mask
from longtail_client.errors import InvalidRequest

ITEMS: list[dict[str, Any]] = [
    {"genres": ["drama"], "year": 1950, "rated": 7.5, "colour": False, "country": "France"},
    {"genres": ["drama", "western"], "year": 1960, "rated": 6.0, "colour": True, "country": "Italy"},
    {"genres": [], "year": 1970, "rated": None, "colour": True, "country": None},
    {"genres": ["horror", "comedy"], "year": 1980, "rated": 8.0, "colour": True, "country": "France"},
]


def column_of(name: str) -> AttributeColumn | None:
    if name not in ITEMS[0]:
        return None
    entries = [
        (row, value)
        for row, item in enumerate(ITEMS)
        for value in (item[name] if isinstance(item[name], list) else [item[name]])
        if value is not None
    ]
    values = sorted({value for _, value in entries})
    array = np.array(values, dtype=object) if isinstance(values[0], str) else np.array(values)
    return AttributeColumn(
        array, np.array([values.index(value) for _, value in entries]), np.array([row for row, _ in entries])
    )


def passing(document: dict[str, Any]) -> list[int]:
    check_filter(document)
    return [int(row) for row in np.flatnonzero(filter_mask(document, len(ITEMS), column_of))]


@pytest.mark.parametrize(
    ("document", "rows"),
    [
        ({"genres": "drama"}, [0, 1]),
        ({"genres": ["western", "comedy"]}, [1, 3]),
        ({"year": 1960}, [1]),
        ({"year": 1960.0}, [1]),
        ({"year": {"gte": 1960, "lte": 1970}}, [1, 2]),
        ({"rated": {"gte": 7}}, [0, 3]),
        ({"colour": True}, [1, 2, 3]),
        ({"country": {"gte": "G"}}, [1]),
        ({"country": "France", "year": {"gte": 1970}}, [3]),
        ({"country": "Spain"}, []),
        ({"not": {"country": "France"}}, [1, 2]),
        ({"not": {"genres": "drama"}, "colour": True}, [2, 3]),
        ({"any": [{"year": 1950}, {"genres": "horror"}]}, [0, 3]),
        ({"any": [{"year": 1950}, {"not": {"any": [{"genres": "drama"}, {"colour": False}]}}]}, [0, 2, 3]),
    ],
)
def test_a_filter_lets_through_what_it_says(document: dict[str, Any], rows: list[int]) -> None:
    assert passing(document) == rows


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"color": True}, "filter.color"),
        ({"any": [{"year": 1950}, {"color": True}]}, "filter.any.1.color"),
        ({"not": {"color": True}}, "filter.not.color"),
        ({"year": "1950"}, "filter.year"),
        ({"year": [1950, "1960"]}, "filter.year.1"),
        ({"year": True}, "filter.year"),
        ({"colour": 1}, "filter.colour"),
        ({"genres": {"gte": 5}}, "filter.genres.gte"),
    ],
)
def test_what_the_catalogue_does_not_have_is_named(document: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        passing(document)
    assert refused.value.field == field


def nested(depth: int) -> dict[str, Any]:
    return {"not": nested(depth - 1)} if depth > 1 else {"year": 1950}


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "filter"),
        ({"year": None}, "filter.year"),
        ({"year": {}}, "filter.year"),
        ({"year": {"gt": 1950}}, "filter.year"),
        ({"year": {"gte": None}}, "filter.year.gte"),
        ({"year": {"gte": [1]}}, "filter.year.gte"),
        ({"year": []}, "filter.year"),
        ({"year": [[1950]]}, "filter.year.0"),
        ({"year": float("nan")}, "filter.year"),
        ({"year": 2**63}, "filter.year"),
        ({"genres": "x" * 201}, "filter.genres"),
        ({"any": []}, "filter.any"),
        ({"any": {"year": 1950}}, "filter.any"),
        ({"any": ["year"]}, "filter.any.0"),
        ({"not": []}, "filter.not"),
        ({"not": {}}, "filter.not"),
        (nested(6), "filter.not.not.not.not.not"),
        ({"year": list(range(65))}, "filter"),
    ],
)
def test_what_is_no_filter_is_refused_where_it_is_none(document: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_filter(document)
    assert refused.value.field == field


def test_the_deepest_and_the_largest_filter_pass() -> None:
    assert passing(nested(5)) == [0]
    assert passing({"year": [*range(1900, 1963), 1980]}) == [0, 1, 3]


FILTERS = st.recursive(
    st.sampled_from([{"genres": "drama"}, {"year": {"gte": 1960}}, {"colour": True}, {"country": ["Italy", "France"]}]),
    lambda inner: (
        st.builds(lambda each: {"not": each}, inner)
        | st.builds(lambda each: {"any": each}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda one, other: {**one, **other}, inner, inner)
    ),
    max_leaves=4,
)


def holds(document: dict[str, Any], item: dict[str, Any]) -> bool:
    """Read a filter in the plainest way."""
    for name, wanted in document.items():
        if name == "any":
            truth = any(holds(each, item) for each in wanted)
        elif name == "not":
            truth = not holds(wanted, item)
        else:
            values = item[name] if isinstance(item[name], list) else [item[name]]
            values = [value for value in values if value is not None]
            if isinstance(wanted, dict):
                truth = any(value >= wanted["gte"] for value in values)
            else:
                truth = any(value in (wanted if isinstance(wanted, list) else [wanted]) for value in values)
        if not truth:
            return False
    return True


@given(FILTERS)
def test_any_filter_means_what_its_plainest_reading_means(document: dict[str, Any]) -> None:
    mask = filter_mask(document, len(ITEMS), column_of)
    assert mask.tolist() == [holds(document, item) for item in ITEMS]
