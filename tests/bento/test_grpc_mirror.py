"""The proto says what the wire says: the same fields, with the same presence, in every request and every answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from google.protobuf.descriptor import FieldDescriptor
from pydantic import BaseModel

from longtail_bento import interaction_wire, wire
from longtail_client.v1 import recommend_pb2 as pb

PAIRS = [
    (wire.RecommendRequest, pb.RecommendRequest),
    (wire.RecommendResponse, pb.RecommendResponse),
    (wire.DescribeRequest, pb.DescribeRequest),
    (wire.DescribeResponse, pb.DescribeResponse),
    (wire.SearchRequest, pb.SearchRequest),
    (wire.SearchResponse, pb.SearchResponse),
    (wire.EncodeRequest, pb.EncodeRequest),
    (wire.EncodeResponse, pb.EncodeResponse),
    (wire.ReleasesResponse, pb.ReleasesResponse),
    (interaction_wire.RecordRequest, pb.RecordInteractionsRequest),
    (interaction_wire.RecordResponse, pb.RecordInteractionsResponse),
    (interaction_wire.ListRequest, pb.ListInteractionsRequest),
    (interaction_wire.ListResponse, pb.ListInteractionsResponse),
    (interaction_wire.DeleteRequest, pb.DeleteInteractionsRequest),
    (interaction_wire.DeleteResponse, pb.DeleteInteractionsResponse),
    (wire.Problem, pb.Problem),
    (wire.ReleaseEvent, pb.ReleaseEvent),
    (wire.TokenEvent, pb.TokenEvent),
    (wire.DoneEvent, pb.DoneEvent),
]
SCALARS = {
    str: FieldDescriptor.TYPE_STRING,
    int: FieldDescriptor.TYPE_INT64,
    float: FieldDescriptor.TYPE_DOUBLE,
    bool: FieldDescriptor.TYPE_BOOL,
}


def parts_of(annotation: Any) -> Iterator[Any]:
    """Walk through unions, lists and annotations."""
    yield annotation
    for each in get_args(annotation):
        yield from parts_of(each)


def mirrored(model: type[BaseModel], message: Any, place: str) -> None:
    fields = message.fields_by_name
    assert set(model.model_fields) == set(fields), place
    for name, field in model.model_fields.items():
        parts, mirror = list(parts_of(field.annotation)), fields[name]
        if type(None) in parts and not mirror.is_repeated:
            assert mirror.has_presence, f"{place}.{name} may be None"
        for kind, type_ in SCALARS.items():
            if field.annotation in (kind, kind | None):
                assert mirror.type == type_, f"{place}.{name}"
                if not field.is_required() and issubclass(model, wire._Request | interaction_wire._Request):
                    assert mirror.has_presence, f"{place}.{name} has a default"
        for each in parts:
            if isinstance(each, type) and issubclass(each, BaseModel):
                mirrored(each, mirror.message_type, f"{place}.{name}")


@pytest.mark.parametrize(("model", "message"), PAIRS, ids=[model.__name__ for model, _ in PAIRS])
def test_a_message_has_the_fields_of_its_json(model: type[BaseModel], message: Any) -> None:
    mirrored(model, message.DESCRIPTOR, model.__name__)


def test_every_event_of_a_stream_is_in_the_oneof() -> None:
    names = {field.name for field in pb.StreamEvent.DESCRIPTOR.oneofs_by_name["event"].fields}
    assert names == {each.event for each in get_args(wire.StreamEvent)}
