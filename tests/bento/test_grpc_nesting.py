"""Cutting messages short by their bytes alone, against what protobuf makes of the same bytes."""

from __future__ import annotations

from contextlib import suppress

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from longtail_bento.grpc_nesting import cut_short
from longtail_client.mirror import message_of
from longtail_client.v1 import recommend_pb2 as pb

KIND = pb.RecommendRequest.DESCRIPTOR


def test_what_is_not_too_deep_stays_as_it_is() -> None:
    filters = {"any": [{"year": 1960}, {"not": {"genres": ["drama", "western"]}}], "rated": {"gte": 7.5}}
    asked = {"history": [{"item_id": "日本", "weight": 0.5, "timestamp": 2**53}], "filter": filters, "seed": 300}
    raw = message_of(asked, pb.RecommendRequest).SerializeToString(deterministic=True)
    assert cut_short(raw, KIND) == raw
    assert cut_short(raw + b"\xc8\x3e\x01", KIND) == raw + b"\xc8\x3e\x01", "a field that nobody knows"


def test_what_is_too_deep_is_empty() -> None:
    raw = message_of({"filter": {"not": {"not": {"year": 1960}}}}, pb.RecommendRequest).SerializeToString()
    read = pb.RecommendRequest.FromString(cut_short(raw, KIND, levels=4))
    assert dict(read.filter["not"].fields.fields) == {"not": pb.Value()}


@given(st.binary(max_size=40))
def test_any_bytes_are_read_as_protobuf_reads_them_or_refused(raw: bytes) -> None:
    whole = None
    with suppress(DecodeError):
        whole = pb.RecommendRequest.FromString(raw)
    if whole is None:
        with pytest.raises(DecodeError):
            pb.RecommendRequest.FromString(cut_short(raw, KIND))
    else:
        with suppress(DecodeError):  # groups, which nobody has written for years
            assert pb.RecommendRequest.FromString(cut_short(raw, KIND)) == whole
