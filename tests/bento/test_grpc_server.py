"""The gRPC door, called over a real channel: good answers, and one status with details for everything else."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tests.waiting import until

from longtail_bento.answering import Answering
from longtail_bento.grpc_server import SERVICE, GrpcDoor
from longtail_client.errors import OperatorError
from longtail_client.mirror import document_of
from longtail_client.v1 import recommend_pb2 as pb
from longtail_client.v1 import recommend_pb2_grpc

GOOD = {"user_id": "ada", "k": 3}


@dataclass
class Door:
    """An open door and a channel to it."""

    channel: Any
    stub: Any
    port: int
    ready: bool = True


@pytest.fixture
async def door(stage: Any, answering: Answering) -> AsyncIterator[Door]:
    served = GrpcDoor(stage.settings.model_copy(update={"grpc_port": 0}))

    async def ready() -> bool:
        return opened.ready

    port = await served.start(answering, ready)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        opened = Door(channel, recommend_pb2_grpc.RecommenderStub(channel), port)
        yield opened
    await served.stop(grace_s=1.0)


async def refused(call: Any, code: grpc.StatusCode) -> Any:
    """Await a call that fails; return its error once that is as every error should be."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    error = raised.value
    assert error.code() is code, error
    found = details_of(error)
    problem = found[0]
    assert problem.detail == error.details()
    assert problem.type.startswith("urn:longtail:problem:")
    assert problem.request_id == dict(error.trailing_metadata())["x-request-id"]
    assert problem.request_id == dict(error.initial_metadata())["x-request-id"]
    assert found[1].domain == "longtail"
    assert found[1].reason == problem.type.rpartition(":")[2].replace("-", "_").upper()
    return problem


def details_of(error: grpc.aio.AioRpcError) -> list[Any]:
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    assert status.code == error.code().value[0]
    kinds = {
        kind.DESCRIPTOR.full_name: kind
        for kind in (
            pb.Problem,
            error_details_pb2.ErrorInfo,
            error_details_pb2.RequestInfo,
            error_details_pb2.BadRequest,
            error_details_pb2.RetryInfo,
        )
    }
    return [kinds[each.type_url.rpartition("/")[2]].FromString(each.value) for each in status.details]


async def test_a_recommendation_over_grpc(door: Door) -> None:
    answer = await door.stub.Recommend(pb.RecommendRequest(user_id="ada", k=4, explain=True, seed=1))
    assert answer.seed == 1
    assert answer.release == "first"
    assert [item.rank for item in answer.items] == [1, 2, 3, 4]
    assert {item.explanation.found_by for item in answer.items} == {"description"}
    assert all(item.item_id not in {"1", "2", "3", "4", "5", "9"} for item in answer.items)
    assert answer.timings_ms.total > 0
    assert document_of(answer.items[0].attributes["year"]) == 1950 + int(answer.items[0].item_id)


async def test_what_was_not_asked_for_is_not_set(door: Door) -> None:
    answer = await door.stub.Recommend(pb.RecommendRequest(**GOOD))
    assert len(answer.items) == 3
    assert not any(item.HasField("explanation") for item in answer.items)


async def test_no_given_descriptions_differ_from_none(door: Door, stage: Any) -> None:
    request = pb.RecommendRequest(user_id="ada", given_descriptions={})
    assert not (await door.stub.Recommend(request)).descriptions
    assert stage.calls_of("generator") == 0
    given = pb.RecommendRequest(user_id="ada", given_descriptions={"texts": ["horror about space"]})
    (description,) = (await door.stub.Recommend(given)).descriptions
    assert (description.text, description.source) == ("horror about space", "given")


async def test_vectors_search_descriptions_and_releases_over_grpc(door: Door) -> None:
    encoded = await door.stub.Encode(pb.EncodeRequest(texts=["space", "a quiet drama"]))
    assert [len(vector.values) for vector in encoded.vectors] == [16, 16]
    assert sum(each**2 for each in encoded.vectors[0].values) == pytest.approx(1, abs=1e-5)
    found = await door.stub.Search(pb.SearchRequest(text="horror about space and j", k=2))
    assert found.items[0].item_id == "10"
    assert set(found.timings_ms) == {"encode", "retrieve", "total"}
    described = await door.stub.Describe(pb.DescribeRequest(user_id="ada", descriptions=2))
    assert [each.text for each in described.descriptions] == ["Drama, 1990s", "Comedy, 1980s"]
    released = await door.stub.GetRelease(pb.GetReleaseRequest())
    assert released.release == "first"
    assert released.releases[0].status == "serving"
    assert released.releases[0].fingerprint.worst_cosine == pytest.approx(1, abs=1e-4)


async def test_a_stream_ends_in_done(door: Door) -> None:
    events = [event async for event in door.stub.RecommendStream(pb.RecommendRequest(**GOOD, seed=4))]
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[0] == "release"
    assert kinds[-2:] == ["items", "done"]
    assert set(kinds[1:-2]) == {"token"}
    assert len(events[-2].items.items) == 3
    assert events[-1].done.request_id == events[0].release.request_id


async def test_a_stream_that_cannot_begin_has_the_status_of_its_error(door: Door) -> None:
    async def read() -> None:
        async for _ in call:
            pytest.fail("nothing was to come")

    call = door.stub.RecommendStream(pb.RecommendRequest(user_id="nobody"))
    assert (await refused(read(), grpc.StatusCode.NOT_FOUND)).field == "user_id"


async def test_a_stream_that_fails_midway_tells_it_last(door: Door, stage: Any) -> None:
    stage.transport.down = True
    events = []

    async def read() -> None:
        async for event in door.stub.RecommendStream(pb.RecommendRequest(steer=["space"])):
            events.append(event)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await read()
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert [event.WhichOneof("event") for event in events] == ["release", "error"]
    problem = details_of(raised.value)[0]
    assert events[-1].error == problem
    assert problem.retry_after_s >= 1
    assert int(dict(raised.value.trailing_metadata())["retry-after"]) == problem.retry_after_s


async def test_what_needs_a_model_says_when_to_try_again(door: Door, stage: Any) -> None:
    stage.transport.down = True
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await door.stub.Encode(pb.EncodeRequest(texts=["space"]))
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert int(dict(raised.value.trailing_metadata())["retry-after"]) >= 1
    assert details_of(raised.value)[-1].retry_delay.ToMilliseconds() >= 1000
    stage.transport.down = False
    assert (await door.stub.Encode(pb.EncodeRequest(texts=["space"]))).vectors


async def test_a_bad_field_is_in_the_standard_details_too(door: Door) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await door.stub.Recommend(pb.RecommendRequest(user_id="ada", steer=["rain", " \n"]))
    (violation,) = details_of(raised.value)[-1].field_violations
    assert violation.field == "steer.1"


async def raw(door: Door, method: str, message: bytes) -> bytes:
    return bytes(await door.channel.unary_unary(f"/{SERVICE}/{method}")(message))


async def test_an_unknown_field_is_refused_by_its_number(door: Door) -> None:
    unknown = b"\xc8\x3e\x01"  # number 1001
    request = pb.RecommendRequest(**GOOD).SerializeToString()
    problem = await refused(raw(door, "Recommend", request + unknown), grpc.StatusCode.INVALID_ARGUMENT)
    assert problem.field == "1001"
    item = pb.HistoryItem(item_id="5").SerializeToString() + unknown
    nested = pb.RecommendRequest.DESCRIPTOR.fields_by_name["history"].number << 3 | 2
    problem = await refused(raw(door, "Recommend", bytes([nested, len(item)]) + item), grpc.StatusCode.INVALID_ARGUMENT)
    assert problem.field == "history.0.1001"
    assert (await refused(raw(door, "GetRelease", unknown), grpc.StatusCode.INVALID_ARGUMENT)).field == "1001"


async def test_bytes_that_are_no_message_are_the_callers_fault(door: Door) -> None:
    for method in ("Recommend", "Describe", "Search", "Encode", "GetRelease"):
        problem = await refused(raw(door, method, b"\xff\xff\xff"), grpc.StatusCode.INVALID_ARGUMENT)
        assert problem.type == "urn:longtail:problem:malformed-body"


async def test_a_message_of_five_megabytes_is_too_large(door: Door) -> None:
    request = pb.RecommendRequest(user_id="a" * 5_000_000)
    problem = await refused(door.stub.Recommend(request), grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert problem.type == "urn:longtail:problem:request-too-large"
    assert "1000000 bytes" in problem.detail


async def test_a_message_too_large_to_read_is_not_read(door: Door) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await door.stub.Recommend(pb.RecommendRequest(user_id="a" * 17_000_000))
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_request_id_comes_back(door: Door) -> None:
    call = door.stub.Recommend(pb.RecommendRequest(**GOOD), metadata=(("x-request-id", "app-7:a.b_c"),))
    assert (await call).request_id == "app-7:a.b_c"
    assert dict(await call.initial_metadata())["x-request-id"] == "app-7:a.b_c"
    call = door.stub.Recommend(pb.RecommendRequest(), metadata=(("x-request-id", "app-8"),))
    assert (await refused(call, grpc.StatusCode.INVALID_ARGUMENT)).request_id == "app-8"


@pytest.mark.parametrize("given", ["two words", "x" * 129, "<script>"])
async def test_a_malformed_request_id_is_replaced(door: Door, given: str) -> None:
    answer = await door.stub.Recommend(pb.RecommendRequest(**GOOD), metadata=(("x-request-id", given),))
    assert re.fullmatch(r"[0-9a-f]{32}", answer.request_id)


async def test_the_deadline_of_the_request_is_kept(door: Door, stage: Any) -> None:
    stage.transport.delay_s = 1.0
    request = pb.DescribeRequest(user_id="ada", deadline_ms=50)
    problem = await refused(door.stub.Describe(request), grpc.StatusCode.DEADLINE_EXCEEDED)
    assert problem.type == "urn:longtail:problem:deadline-exceeded"


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("Encode", pb.EncodeRequest(texts=["space"], deadline_ms=50)),
        ("Search", pb.SearchRequest(text="space", deadline_ms=50)),
    ],
)
async def test_texts_have_the_time_that_the_request_allows(door: Door, stage: Any, method: str, request_: Any) -> None:
    stage.transport.delay_s = 1.0
    problem = await refused(getattr(door.stub, method)(request_), grpc.StatusCode.DEADLINE_EXCEEDED)
    assert "of 50 ms" in problem.detail


async def test_the_deadline_of_the_call_is_the_budget(door: Door, stage: Any) -> None:
    stage.transport.delay_s = 20.0
    answer = await door.stub.Recommend(pb.RecommendRequest(**GOOD), timeout=1.0)
    assert "generate" in answer.degraded
    assert len(answer.items) == 3


@pytest.mark.parametrize(
    ("deadline_ms", "left_s", "expected"),
    [
        (None, None, 10_000),
        (2_000, None, 2_000),
        (None, 3_600.0, 10_000),
        (None, 30.0, 29_950),
        (2_000, 30.0, 2_000),
        (2_000, 1.0, 950),
        (None, 0.1, 90),
        (None, 0.0, 1),
    ],
)
def test_the_shorter_deadline_wins(stage: Any, deadline_ms: int | None, left_s: float | None, expected: int) -> None:
    assert GrpcDoor(stage.settings)._budget_ms(deadline_ms, left_s) == expected


@pytest.mark.parametrize("method", ["Recommend", "Describe"])
async def test_a_call_that_is_cancelled_ends_the_work(door: Door, stage: Any, method: str) -> None:
    kind = {"Recommend": pb.RecommendRequest, "Describe": pb.DescribeRequest}[method]
    await getattr(door.stub, method)(kind(user_id="bob"))
    stage.transport.delay_s = 5.0
    call = getattr(door.stub, method)(kind(user_id="ada"))
    await until(lambda: stage.calls_of("generator") == 2)
    call.cancel()
    await until(lambda: stage.transport.cancelled == 1)


async def test_a_stream_that_is_left_ends_the_work(door: Door, stage: Any) -> None:
    stage.transport.delay_s = 0.2
    call = door.stub.RecommendStream(pb.RecommendRequest(**GOOD))
    async for event in call:
        if event.WhichOneof("event") == "token":
            break
    call.cancel()
    await until(lambda: stage.transport.cancelled == 1)


async def test_health_says_whether_an_inference_works(door: Door) -> None:
    health = health_pb2_grpc.HealthStub(door.channel)
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    for service in ("", SERVICE):
        assert (await health.Check(health_pb2.HealthCheckRequest(service=service))).status == serving
    watch = health.Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == serving
    door.ready = False
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == not_serving
    assert (await watch.read()).status == not_serving
    watch.cancel()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await health.Check(health_pb2.HealthCheckRequest(service="longtail.v1.Nobody"))
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_lists_the_services_and_the_proto(door: Door) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(door.channel)
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    listed, file = [each async for each in stub.ServerReflectionInfo(iter(requests))]
    assert {SERVICE, "grpc.health.v1.Health"} <= {each.name for each in listed.list_services_response.service}
    assert file.file_descriptor_response.file_descriptor_proto[0] == pb.DESCRIPTOR.serialized_pb


async def test_a_port_that_is_taken_is_an_operators_error(door: Door, stage: Any) -> None:
    second = GrpcDoor(stage.settings.model_copy(update={"grpc_port": door.port}))
    with pytest.raises(OperatorError, match="LONGTAIL_GRPC_PORT"):
        await second.start(None, None)  # type: ignore[arg-type]


async def test_workers_share_the_port(stage: Any) -> None:
    first = GrpcDoor(stage.settings.model_copy(update={"grpc_port": 0, "workers": 2}))
    port = await first.start(None, None)  # type: ignore[arg-type]
    second = GrpcDoor(stage.settings.model_copy(update={"grpc_port": port, "workers": 2}))
    assert await second.start(None, None) == port  # type: ignore[arg-type]
    await first.stop(grace_s=0)
    await second.stop(grace_s=0)


async def test_an_error_that_nobody_foresaw_is_a_problem_too(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(Answering, "search", broken)
    problem = await refused(door.stub.Search(pb.SearchRequest(text="space")), grpc.StatusCode.INTERNAL)
    assert "secret" not in problem.detail
