"""Messages and the JSON that they mirror: there and back, and what neither can carry."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail_client.errors import InvalidRequest
from longtail_client.mirror import document_of, message_of
from longtail_client.v1 import recommend_pb2 as pb

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
WHOLE = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.floats(allow_nan=False)
VALUES = st.recursive(
    st.none() | st.booleans() | WHOLE | NUMBERS | TEXTS,
    lambda each: st.lists(each, max_size=4) | st.dictionaries(TEXTS, each, max_size=3),
    max_leaves=8,
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "user_id": TEXTS,
        "history": st.lists(
            st.fixed_dictionaries({"item_id": TEXTS}, optional={"weight": NUMBERS, "timestamp": WHOLE}),
            min_size=1,
            max_size=3,
        ),
        "steer": st.lists(TEXTS, min_size=1, max_size=3),
        "given_descriptions": st.lists(TEXTS, max_size=3),
        "k": WHOLE,
        "explain": st.booleans(),
        "diversity": NUMBERS,
        "filter": st.dictionaries(TEXTS, VALUES, min_size=1, max_size=3),
    },
)


def same(one: Any, other: Any) -> bool:
    """Compare with types: 1, 1.0 and True are three values."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@given(REQUESTS)
def test_a_request_comes_back_as_it_was(document: dict[str, Any]) -> None:
    sent = message_of(document, pb.RecommendRequest).SerializeToString()
    assert same(document_of(pb.RecommendRequest.FromString(sent)), document)


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_attributes_keep_their_types(attributes: dict[str, Any]) -> None:
    sent = message_of({"attributes": attributes}, pb.Recommendation).SerializeToString()
    assert same(document_of(pb.Recommendation.FromString(sent)).get("attributes", {}), attributes)


def test_vectors_are_lists_of_numbers() -> None:
    document = {"vectors": [[0.5, -0.25], []], "release": "first"}
    assert document_of(message_of(document, pb.EncodeResponse)) == document


def test_none_is_left_out() -> None:
    assert document_of(message_of({"user_id": "ada", "k": None}, pb.RecommendRequest)) == {"user_id": "ada"}


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"k": "5"}, "k"),
        ({"k": 5.5}, "k"),
        ({"k": True}, "k"),
        ({"k": 2**63}, "k"),
        ({"explain": 1}, "explain"),
        ({"diversity": True}, "diversity"),
        ({"user_id": 196}, "user_id"),
        ({"user_id": "\ud800"}, "user_id"),
        ({"steer": "rain"}, "steer"),
        ({"steer": ["rain", 5]}, "steer.1"),
        ({"steer": ["\ud800"]}, "steer.0"),
        ({"history": ["5"]}, "history.0"),
        ({"history": {"item_id": "5"}}, "history"),
        ({"history": [{"item_id": 5}]}, "history.0.item_id"),
        ({"history": [{"item_id": "5", "wieght": 1}]}, "history.0.wieght"),
        ({"given_descriptions": "a film"}, "given_descriptions"),
        ({"filter": [1]}, "filter"),
        ({"filter": {5: 1}}, "filter"),
        ({"filter": {"\ud800": 1}}, "filter"),
        ({"filter": {"year": {1}}}, "filter.year"),
        ({"surprise": 1}, "surprise"),
        ([], "body"),
    ],
)
def test_what_a_message_cannot_carry_is_named(document: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        message_of(document, pb.RecommendRequest)
    assert raised.value.field == field


def test_an_attribute_of_another_type_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"attributes\.when"):
        message_of({"attributes": {"when": b"bytes"}}, pb.Recommendation)


UNKNOWN = b"\xc8\x3e\x01"
"""A field of number 1001."""


def test_fields_of_a_later_version_are_written_only_where_they_are_to_be_refused() -> None:
    given = pb.RecommendRequest(user_id="ada", given_descriptions={"texts": ["a film"]}).SerializeToString()
    later = pb.RecommendRequest.FromString(given + UNKNOWN)
    assert document_of(later) == {"user_id": "ada", "given_descriptions": ["a film"]}
    assert document_of(later, strict=True) == {"user_id": "ada", "given_descriptions": ["a film"], "1001": None}
    texts = pb.Texts.FromString(pb.Texts(texts=["a film"]).SerializeToString() + UNKNOWN)
    nested = pb.RecommendRequest(given_descriptions=texts)
    assert "1001" in document_of(nested, strict=True)["given_descriptions"]
    assert document_of(nested) == {"given_descriptions": ["a film"]}
