"""Whatever comes to the gRPC door, whose fault it is gets said: never INTERNAL, never UNKNOWN."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longtail_bento.grpc_server import SERVICE
from longtail_client.mirror import message_of
from longtail_client.v1 import recommend_pb2 as pb

METHODS = pb.DESCRIPTOR.services_by_name["Recommender"].methods_by_name
REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)
TEXT = st.sampled_from(["ada", "bob", "5", "7", "first", "", "space", "\x00"]) | ANY_TEXT
WHOLE = st.integers(-2, 120) | st.integers(-(2**63), 2**63 - 1)
NUMBER = st.floats() | st.floats(-0.5, 1.5)


ATTRIBUTE = st.sampled_from(["year", "genres", "any", "not", "gte", "lte"]) | ANY_TEXT
FILTER = st.recursive(
    st.none() | st.booleans() | WHOLE | NUMBER | TEXT | st.sampled_from(["drama", 1960]),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(ATTRIBUTE, each, max_size=3),
    max_leaves=12,
)


def documents(message: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Make JSON of any message, every field there or not, by the proto alone."""
    return st.fixed_dictionaries({}, optional={field.name: _values(field) for field in message.fields})


def _values(field: Any) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        if field.message_type.GetOptions().map_entry:
            return st.dictionaries(ATTRIBUTE, FILTER, max_size=3)
        if field.message_type.full_name == "longtail.v1.Texts":
            return st.lists(TEXT, max_size=18)
        one: st.SearchStrategy[Any] = st.deferred(lambda: documents(field.message_type))
    else:
        one = {
            field.CPPTYPE_STRING: TEXT,
            field.CPPTYPE_INT64: WHOLE,
            field.CPPTYPE_DOUBLE: NUMBER,
            field.CPPTYPE_BOOL: st.booleans(),
        }[field.cpp_type]
    return st.lists(one, max_size=4) if field.is_repeated else one


def messages() -> st.SearchStrategy[tuple[str, bytes]]:
    """Make the method and the bytes of a request, well formed."""
    return st.sampled_from(sorted(METHODS)).flatmap(
        lambda name: documents(METHODS[name].input_type).map(
            lambda document: (
                name,
                message_of(document, getattr(pb, METHODS[name].input_type.name)).SerializeToString(),
            )
        )
    )


def torn() -> st.SearchStrategy[tuple[str, bytes]]:
    """Make the bytes of a request, cut, with others in between."""
    return st.builds(
        lambda message, start, end, junk: (message[0], message[1][:start] + junk + message[1][end:]),
        messages(),
        st.integers(0, 60),
        st.integers(0, 60),
        st.binary(max_size=12),
    )


@pytest.fixture
async def channel(doors: Any) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(doors.grpc.removeprefix("grpc://")) as opened:
        yield opened


async def status_of(call: Awaitable[Any]) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


async def drained(events: Any) -> None:
    async for _ in events:
        pass


async def code_of(channel: Any, method: str, raw: bytes) -> grpc.StatusCode:
    if method.endswith("Stream"):
        return await status_of(drained(channel.unary_stream(f"/{SERVICE}/{method}")(raw)))
    return await status_of(channel.unary_unary(f"/{SERVICE}/{method}")(raw))


FUZZ = settings(
    max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@FUZZ
@given(request_=messages())
async def test_any_message_is_answered_or_refused(channel: Any, request_: tuple[str, bytes]) -> None:
    assert await code_of(channel, *request_) in {grpc.StatusCode.OK, *REFUSALS}


@FUZZ
@given(request_=torn())
async def test_torn_messages_are_answered_or_refused(channel: Any, request_: tuple[str, bytes]) -> None:
    assert await code_of(channel, *request_) in {grpc.StatusCode.OK, *REFUSALS}


@FUZZ
@given(method=st.sampled_from(sorted(METHODS)), raw=st.binary(max_size=200))
async def test_any_bytes_are_answered_or_refused(channel: Any, method: str, raw: bytes) -> None:
    assert await code_of(channel, method, raw) in {grpc.StatusCode.OK, *REFUSALS}


@settings(FUZZ, max_examples=100)
@given(raw=st.binary(max_size=50))
async def test_the_standard_services_refuse_bytes_too(channel: Any, raw: bytes) -> None:
    watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(raw)
    ended = [
        await status_of(channel.unary_unary("/grpc.health.v1.Health/Check")(raw)),
        await status_of(watch.read()),
        await status_of(
            drained(
                channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")(iter([raw]))
            )
        ),
    ]
    watch.cancel()
    assert set(ended) <= {grpc.StatusCode.OK, *REFUSALS}


async def test_a_method_that_is_none_is_unimplemented(channel: Any) -> None:
    assert await code_of(channel, "Guess", b"") is grpc.StatusCode.UNIMPLEMENTED
