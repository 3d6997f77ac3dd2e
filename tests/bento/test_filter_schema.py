"""The schema of a filter takes what `check_filter` takes, and nothing else of what a schema can tell apart."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from longtail_bento.flow.filtering import check_filter
from longtail_bento.http_app import HttpDoor
from longtail_bento.settings import ServiceSettings
from longtail_client.errors import InvalidRequest

GOOD: list[dict[str, Any]] = [
    {},
    {"genres": "drama"},
    {"genres": ["western", "comedy"], "year": 1960, "colour": True, "rated": 7.5},
    {"year": {"gte": 1960, "lte": 1970.5}, "country": {"gte": "G"}},
    {"any": [{"year": 1950}, {"not": {"any": [{"genres": "drama"}, {"colour": False}]}}]},
    {"year": list(range(64))},
]
BAD: list[Any] = [
    [],
    "year",
    {"year": None},
    {"year": {}},
    {"year": {"gt": 1950}},
    {"year": {"gte": None}},
    {"year": {"gte": [1]}},
    {"year": []},
    {"year": [[1950]]},
    {"year": list(range(65))},
    {"genres": "x" * 201},
    {"any": []},
    {"any": {"year": 1950}},
    {"any": ["year"]},
    {"any": [{}]},
    {"not": []},
    {"not": {}},
    {"not": {"not": {"year": {"gt": 5}}}},
]


@pytest.fixture(scope="module", params=["RecommendRequest", "SearchRequest"])
def schema(request: pytest.FixtureRequest) -> Draft202012Validator:
    document = HttpDoor(ServiceSettings()).app.openapi()
    place = f"#/components/schemas/{request.param}/properties/filter"
    return Draft202012Validator({"$ref": place, "components": document["components"]})


@pytest.mark.parametrize("document", GOOD)
def test_what_is_a_filter_fits(schema: Draft202012Validator, document: dict[str, Any]) -> None:
    if document:
        check_filter(document)
    assert schema.is_valid(document)


@pytest.mark.parametrize("document", BAD)
def test_what_is_none_does_not(schema: Draft202012Validator, document: Any) -> None:
    with pytest.raises(InvalidRequest):
        check_filter(document)
    assert not schema.is_valid(document)
