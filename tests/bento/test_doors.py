"""The same hundred requests through both doors: the same items, scores, degraded stages and refusals."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from google.rpc import status_pb2

from longtail_bento.grpc_server import SERVICE
from longtail_client.mirror import document_of, message_of
from longtail_client.v1 import recommend_pb2 as pb

PATHS = {"Recommend": "/recommend", "Describe": "/describe", "Search": "/search", "Encode": "/encode"} | {
    "RecordInteractions": "/interactions"
}
HISTORIES: list[dict[str, Any]] = [
    {"user_id": "ada"},
    {"user_id": "bob"},
    {"history": [{"item_id": "7"}]},
    {"history": [{"item_id": "5", "weight": 4}, {"item_id": "9", "weight": 0.5, "timestamp": 1}]},
    {"steer": ["a quiet drama about space"]},
]
KNOBS: list[dict[str, Any]] = [
    {},
    {"k": 1},
    {"k": 100, "tail_only": False},
    {"k": 5, "diversity": 1, "adventurousness": 0},
    {"k": 5, "diversity": 0.0, "adventurousness": 1.0, "explain": True},
    {"descriptions": 0},
    {"descriptions": 2, "seed": 5},
    {"given_descriptions": ["horror about space", "a western"]},
    {"given_descriptions": []},
    {"steer": ["something gentle", "no westerns"], "k": 3},
    {"deadline_ms": 60_000, "release": "first"},
    {"filter": {"genres": ["horror", "western"], "not": {"year": {"lte": 1958}}}, "priority": "bulk", "k": 4},
]
GOOD = [("Recommend", {**history, **knobs}) for history in HISTORIES for knobs in KNOBS] + [
    ("Describe", {"user_id": "ada", "descriptions": 2, "seed": 1}),
    ("Describe", {"history": [{"item_id": "7"}], "descriptions": 0}),
    ("Search", {"text": "horror about space and j", "k": 2}),
    ("Search", {"text": "日本 🎬", "tail_only": False}),
    ("Encode", {"texts": ["space", "a quiet drama", "space"]}),
    ("Search", {"text": "space", "filter": {"genres": ["drama", "western"], "year": {"gte": 1955, "lte": 1968.5}}}),
    ("Search", {"text": "space", "filter": {"any": [{"year": 1960}, {"not": {"genres": "horror"}}]}}),
    ("Recommend", {"user_id": "bob", "filter": {"year": [1960, 1961, 1962.0]}, "priority": "bulk"}),
    ("Recommend", {"user_id": "ada", "history": []}),
    ("Describe", {"user_id": "ada", "history": [], "seed": 3}),
]
ITEM = {"item_id": "5"}
BAD: list[tuple[str, Any]] = [
    ("Recommend", {"user_id": "nobody"}),
    ("Recommend", {}),
    ("Recommend", {"user_id": "ada", "history": [ITEM]}),
    ("Recommend", {"history": [ITEM, {"item_id": "no such film"}]}),
    ("Recommend", {"history": [ITEM, {"item_id": ""}]}),
    ("Recommend", {"history": [{"item_id": "5", "weight": 1e7}]}),
    ("Recommend", {"history": [{"item_id": "5", "weight": float("nan")}]}),
    ("Recommend", {"history": [{"item_id": "5", "timestamp": -1}]}),
    ("Recommend", {"history": [{"item_id": "5", "timestamp": 2**53 + 1}]}),
    ("Recommend", {"history": [ITEM] * 1001}),
    ("Recommend", {"user_id": "a" * 201}),
    ("Recommend", {"user_id": ""}),
    ("Recommend", {"user_id": "\x00"}),
    ("Recommend", {"user_id": "ada", "k": 0}),
    ("Recommend", {"user_id": "ada", "k": -1}),
    ("Recommend", {"user_id": "ada", "k": 10_000}),
    ("Recommend", {"user_id": "ada", "k": 2**62}),
    ("Recommend", {"user_id": "ada", "steer": ["x" * 10_000]}),
    ("Recommend", {"user_id": "ada", "steer": ["rain", " \n"]}),
    ("Recommend", {"user_id": "ada", "steer": ["rain"] * 9}),
    ("Recommend", {"user_id": "ada", "given_descriptions": ["a film"] * 17}),
    ("Recommend", {"user_id": "ada", "given_descriptions": [""]}),
    ("Recommend", {"user_id": "ada", "diversity": 1.01}),
    ("Recommend", {"user_id": "ada", "diversity": float("nan")}),
    ("Recommend", {"user_id": "ada", "adventurousness": float("inf")}),
    ("Recommend", {"user_id": "ada", "adventurousness": -0.1}),
    ("Recommend", {"user_id": "ada", "deadline_ms": 0}),
    ("Recommend", {"user_id": "ada", "deadline_ms": 60_001}),
    ("Recommend", {"user_id": "ada", "seed": -1}),
    ("Recommend", {"user_id": "ada", "descriptions": 17}),
    ("Recommend", {"user_id": "ada", "release": "no-such-release"}),
    ("Recommend", {"user_id": "a" * 1_100_000}),
    ("Recommend", {"user_id": "ada", "filter": {"any": [{"year": 1960}, {"director": "x"}]}}),
    ("Recommend", {"user_id": "ada", "filter": {"year": {"gt": 1960}}}),
    ("Recommend", {"user_id": "ada", "filter": {"year": 1900}}),
    ("Recommend", {"user_id": "ada", "priority": "urgent"}),
    ("Search", {"text": "space", "filter": {"year": ["1960"]}}),
    ("Describe", {"history": [{"item_id": "nowhere"}]}),
    ("Describe", {"user_id": "ada", "descriptions": -1}),
    ("Recommend", {"user_id": "ada", "priority": "now"}),
    ("Recommend", {"user_id": "ada", "filter": {"colour": "red"}}),
    ("Search", {"text": "space", "filter": {"year": {"gt": 5}}}),
    ("Search", {"text": "space", "filter": {"any": [{"year": None}]}}),
    ("Search", {"text": ""}),
    ("Search", {"text": "x" * 4001}),
    ("Search", {"text": "space", "k": 101}),
    ("Encode", {}),
    ("Encode", {"texts": []}),
    ("RecordInteractions", {}),
    ("RecordInteractions", {"interactions": []}),
    ("RecordInteractions", {"interactions": [{"user_id": "ada", "item_id": "5", "kind": "rating"}]}),
    ("RecordInteractions", {"interactions": [{"user_id": "ada", "item_id": "5", "kind": "like", "weight": 1}]}),
    ("Encode", {"texts": ["a"] * 257}),
    ("Encode", {"texts": ["a", ""]}),
]


@dataclass
class Both:
    """One request, through either door; an answer or a problem comes back, as JSON."""

    http: httpx.AsyncClient
    channel: Any

    async def over_http(self, method: str, body: Any) -> dict[str, Any]:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = await self.http.post(PATHS[method], content=content, headers={"content-type": "application/json"})
        answer: dict[str, Any] = response.json()
        return answer

    async def over_grpc(self, method: str, body: Any) -> dict[str, Any]:
        messages = pb.DESCRIPTOR.services_by_name["Recommender"].methods_by_name[method]
        kind = getattr(pb, messages.input_type.name)
        message = body if isinstance(body, bytes) else message_of(body, kind).SerializeToString()
        try:
            raw = await self.channel.unary_unary(f"/{SERVICE}/{method}")(message)
        except grpc.aio.AioRpcError as error:
            status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
            return dict(document_of(pb.Problem.FromString(status.details[0].value)))
        return dict(document_of(getattr(pb, messages.output_type.name).FromString(raw)))


@pytest.fixture
async def both(doors: Any) -> AsyncIterator[Both]:
    async with (
        httpx.AsyncClient(base_url=doors.http, timeout=30.0) as http,
        grpc.aio.insecure_channel(doors.grpc.removeprefix("grpc://")) as channel,
    ):
        yield Both(http, channel)


def same_answer(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Compare all but the id, the times, a seed that each door drew for itself, and whether texts were kept."""
    assert "type" not in one, one
    assert "type" not in other, other
    for name in ("release", "degraded"):
        assert one.get(name, []) == other.get(name, []), name
    texts = [[each["text"] for each in answer.get("descriptions", [])] for answer in (one, other)]
    assert texts[0] == texts[1]
    items, others = one.get("items", []), other.get("items", [])
    assert [item["item_id"] for item in items] == [item["item_id"] for item in others]
    for number in ("score", "similarity", "popularity_percentile"):
        np.testing.assert_allclose([item[number] for item in items], [item[number] for item in others], atol=1e-4)
    for item, mirrored in zip(items, others, strict=True):
        assert item["attributes"] == mirrored["attributes"]
        assert repr(item["attributes"]["year"]) == repr(mirrored["attributes"]["year"])
        assert item.get("explanation", {}).get("text") == mirrored.get("explanation", {}).get("text")
    np.testing.assert_allclose(one.get("vectors", []), other.get("vectors", []), atol=1e-6)
    assert set(one.get("timings_ms", {})) == set(other.get("timings_ms", {}))


def same_problem(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert "type" in one, one
    for name in ("type", "title", "status", "detail", "field"):
        assert one.get(name) == other.get(name), name


def test_there_are_a_hundred() -> None:
    assert len(GOOD) + len(BAD) >= 100


async def test_good_requests_get_the_same_answers(both: Both) -> None:
    for method, body in GOOD:
        same_answer(await both.over_http(method, body), await both.over_grpc(method, body))


async def test_bad_requests_get_the_same_refusals(both: Both) -> None:
    for method, body in BAD:
        http, over_grpc = await both.over_http(method, body), await both.over_grpc(method, body)
        if http["type"].endswith("request-too-large"):  # each counts the bytes of its own form
            del http["detail"], over_grpc["detail"]
        same_problem(http, over_grpc)


async def test_what_has_another_form_is_refused_as_the_same_kind(both: Both) -> None:
    unknown = pb.RecommendRequest(user_id="ada").SerializeToString() + b"\xc8\x3e\x01"
    for over_http, over_grpc, kind in (
        ({"user_id": "ada", "colour": "red"}, unknown, "invalid-request"),
        (b'{"user_id": ', b"\xff\xff", "malformed-body"),
    ):
        problems = (await both.over_http("Recommend", over_http), await both.over_grpc("Recommend", over_grpc))
        assert [problem["type"] for problem in problems] == [f"urn:longtail:problem:{kind}"] * 2
        assert problems[0]["status"] == problems[1]["status"]


def deep(levels: int) -> tuple[dict[str, Any], bytes]:
    """Write a filter of so many `not` inside each other, in either form; protobuf's own library writes none so deep."""
    document: dict[str, Any] = {"year": 1960}
    fields = entry("year", pb.Value(integer=1960).SerializeToString())
    for _ in range(levels):
        document, fields = {"not": document}, entry("not", sized(6, sized(1, fields)))
    return document, fields


def entry(key: str, value: bytes) -> bytes:
    return sized(1, key.encode()) + sized(2, value)


def sized(number: int, content: bytes) -> bytes:
    length = len(content)
    return bytes([number << 3 | 2, length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14]) + content


@pytest.mark.parametrize("levels", [4, 5, 32, 33, 34, 50, 200])
async def test_filters_of_any_depth_get_the_same_answer(both: Both, levels: int) -> None:
    document, fields = deep(levels)
    message = pb.SearchRequest(text="space").SerializeToString() + sized(5, fields)
    over_http = await both.over_http("Search", {"text": "space", "filter": document})
    over_grpc = await both.over_grpc("Search", message)
    if levels < 5:
        same_answer(over_http, over_grpc)
    else:
        same_problem(over_http, over_grpc)
        assert over_http["field"] == "filter" + ".not" * 5


async def test_without_models_both_degrade_and_refuse_alike(both: Both, stage: Any) -> None:
    stage.transport.down = True
    for body in ({"user_id": "ada"}, {"history": [{"item_id": "7"}], "steer": ["rain"]}):
        over_http, over_grpc = await both.over_http("Recommend", body), await both.over_grpc("Recommend", body)
        assert over_http["degraded"]
        same_answer(over_http, over_grpc)
    for method, needs in (("Encode", {"texts": ["a"]}), ("Search", {"text": "a"}), ("Recommend", {"steer": ["a"]})):
        same_problem(await both.over_http(method, needs), await both.over_grpc(method, needs))
