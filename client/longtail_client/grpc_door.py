"""Calls over gRPC: a call in, the answer's JSON out, blocking or not."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from longtail_client.calls import Call
from longtail_client.errors import DeadlineExceeded, LongtailError, Overloaded, RequestTooLarge, Unavailable
from longtail_client.mirror import document_of, message_of
from longtail_client.problem import error_of
from longtail_client.v1 import recommend_pb2, recommend_pb2_grpc

_Stub: Any = recommend_pb2_grpc.RecommenderStub  # protoc writes it without types
_OPTIONS = (("grpc.max_receive_message_length", 64 * 1024 * 1024),)
"""A page of 10,000 interactions may be longer than the four megabytes that gRPC reads of its own accord."""

_METHODS = recommend_pb2.DESCRIPTOR.services_by_name["Recommender"].methods_by_name


class BlockingGrpc:
    """Carries calls with blocking I/O.

    Args:
        url: The service, ``grpc://host:port``, or ``grpcs://host:port`` behind TLS.
        api_key: Sent as a bearer token.
    """

    def __init__(self, url: str, api_key: str | None) -> None:
        self._url, self._api_key = url, api_key
        parts = urlsplit(url)
        if parts.scheme == "grpcs":
            self._channel = grpc.secure_channel(parts.netloc, grpc.ssl_channel_credentials(), options=_OPTIONS)
        else:
            self._channel = grpc.insecure_channel(parts.netloc, options=_OPTIONS)
        self._stub = _Stub(self._channel)

    def send(self, call: Call[Any], fields: Mapping[str, Any], timeout_s: float) -> Any:
        """Make one call once."""
        with _translated(self._url):
            method = getattr(self._stub, call.grpc_method)
            return document_of(
                method(_request(call, fields), timeout=timeout_s, metadata=_metadata(call, self._api_key))
            )

    def stream(self, call: Call[Any], fields: Mapping[str, Any], timeout_s: float) -> Generator[Any, None, None]:
        """Make one call once, and yield each event as ``{name: fields}``."""
        with _translated(self._url):
            method = getattr(self._stub, call.grpc_method)
            events = method(_request(call, fields), timeout=timeout_s, metadata=_metadata(call, self._api_key))
            try:
                for event in events:
                    yield _event(event)
            finally:
                events.cancel()

    def ready(self, timeout_s: float) -> bool:
        """Ask whether an inference just went through."""
        with _translated(self._url):
            stub = health_pb2_grpc.HealthStub(self._channel)
            return _is_serving(stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s))

    def close(self) -> None:
        """Give the connection back."""
        self._channel.close()


class AsyncGrpc:
    """The same without blocking."""

    def __init__(self, url: str, api_key: str | None) -> None:
        self._url, self._api_key = url, api_key
        parts = urlsplit(url)
        if parts.scheme == "grpcs":
            self._channel = grpc.aio.secure_channel(parts.netloc, grpc.ssl_channel_credentials(), options=_OPTIONS)
        else:
            self._channel = grpc.aio.insecure_channel(parts.netloc, options=_OPTIONS)
        self._stub = _Stub(self._channel)

    async def send(self, call: Call[Any], fields: Mapping[str, Any], timeout_s: float) -> Any:
        """See `BlockingGrpc.send`."""
        with _translated(self._url):
            method = getattr(self._stub, call.grpc_method)
            return document_of(
                await method(_request(call, fields), timeout=timeout_s, metadata=_metadata(call, self._api_key))
            )

    async def stream(self, call: Call[Any], fields: Mapping[str, Any], timeout_s: float) -> AsyncGenerator[Any, None]:
        """See `BlockingGrpc.stream`."""
        with _translated(self._url):
            method = getattr(self._stub, call.grpc_method)
            events = method(_request(call, fields), timeout=timeout_s, metadata=_metadata(call, self._api_key))
            try:
                async for event in events:
                    yield _event(event)
            finally:
                events.cancel()

    async def ready(self, timeout_s: float) -> bool:
        """See `BlockingGrpc.ready`."""
        with _translated(self._url):
            stub = health_pb2_grpc.HealthStub(self._channel)
            return _is_serving(await stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s))

    async def close(self) -> None:
        """Give the connection back."""
        await self._channel.close()


def _request(call: Call[Any], fields: Mapping[str, Any]) -> Message:
    kind: type[Message] = getattr(recommend_pb2, _METHODS[call.grpc_method].input_type.name)
    return message_of(fields, kind)


def _metadata(call: Call[Any], api_key: str | None) -> tuple[tuple[str, str], ...]:
    given = {"authorization": api_key and f"Bearer {api_key}", "x-request-id": call.request_id}
    return tuple((name, value) for name, value in given.items() if value is not None)


def _event(message: recommend_pb2.StreamEvent) -> dict[str, Any]:
    name = message.WhichOneof("event")
    document = document_of(message)
    if name == "error":
        raise error_of(document[name], status=document[name]["status"])
    return {str(name): document.get(name, {})}


def _is_serving(response: Any) -> bool:
    return bool(response.status == health_pb2.HealthCheckResponse.SERVING)


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Turn what grpc raises into what longtail raises."""
    try:
        yield
    except grpc.RpcError as error:
        raise _error_of(url, error) from error


def _error_of(url: str, error: Any) -> LongtailError:
    trailers = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers.get("grpc-status-details-bin", b""))
    problem, pause = recommend_pb2.Problem(), error_details_pb2.RetryInfo()
    if any(detail.Unpack(problem) for detail in status.details):
        retried = any(detail.Unpack(pause) for detail in status.details)
        pause_s = pause.retry_delay.ToMilliseconds() / 1000 if retried else None
        return error_of(document_of(problem), status=problem.status, retry_after_s=pause_s)
    said = f"{error.code().name}, {error.details()}"  # by grpc itself, or by what stands between
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return Unavailable(f"nothing answers at {url} ({said}); start it with `longtail up`", retry_after_s=0.0)
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"{url} did not answer in time")
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return (RequestTooLarge if "larger than max" in said else Overloaded)(f"{url}: {said}")
    return LongtailError(f"{url}: {said}")
