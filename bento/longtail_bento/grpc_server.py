"""The gRPC door: messages in, the answers of the same core as over HTTP out.

A message becomes the JSON that it mirrors, which the models of `wire.py` check; so both doors refuse the same requests,
with the same words. Messages are read here and not by grpc, so that bytes which are none get a status that says so.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message
from pydantic import BaseModel, ConfigDict, ValidationError

from longtail_bento.answering import Answering
from longtail_bento.clock import LONGEST_DEADLINE_MS, Clock
from longtail_bento.gate import Gate
from longtail_bento.grpc_call import Call, Context, parsed
from longtail_bento.grpc_standard import health_handler, reflection_handler
from longtail_bento.interaction_wire import DeleteRequest, ListRequest, RecordRequest
from longtail_bento.problem import refusal_of
from longtail_bento.readiness import Ready
from longtail_bento.release_overview import overview
from longtail_bento.settings import ServiceSettings
from longtail_bento.wire import DescribeRequest, EncodeRequest, ErrorEvent, RecommendRequest, SearchRequest, StreamEvent
from longtail_client.errors import OperatorError, RequestTooLarge
from longtail_client.mirror import document_of, message_of
from longtail_client.release_report import Thresholds
from longtail_client.v1 import recommend_pb2 as pb

SERVICE: str = pb.DESCRIPTOR.services_by_name["Recommender"].full_name

_READ_AS_OFTEN = 16
"""A message this many times too long is still read, so that its sender hears from us why it is refused."""

_TRAVEL_SHARE, _TRAVEL_MS = 0.1, 50.0
"""What is kept of a call's deadline for the answer's way back: a tenth, at most 50 ms."""


class NoFields(BaseModel):
    """A request that says nothing."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that was read.

    Attributes:
        request: As the wire model has it.
        clock: Started when it arrived.
        request_id: Comes back in the answer.
    """

    request: Any
    clock: Clock
    request_id: str


class GrpcDoor:
    """The server; `start` gives it something to answer from.

    Args:
        settings: Address, message limits, default deadline, workers.
        gate: Who may come in; None makes one of the settings.
    """

    def __init__(self, settings: ServiceSettings, gate: Gate | None = None) -> None:
        self._settings = settings
        self._gate = gate or Gate(settings)
        self._thresholds = Thresholds()
        self._server: Any = None

    async def start(self, answering: Answering, ready: Ready) -> int:
        """Begin to answer.

        Args:
            answering: What to answer from.
            ready: Says whether an inference just went through.

        Returns:
            The port: the one of the settings, or a free one where that is 0.

        Raises:
            OperatorError: The port is taken.
        """
        server = grpc.aio.server(
            options=[
                # Several workers share the port; a lone one must not share it with another longtail.
                ("grpc.so_reuseport", int(self._settings.workers > 1)),
                ("grpc.max_receive_message_length", _READ_AS_OFTEN * self._settings.max_body_bytes),
            ]
        )
        server.add_generic_rpc_handlers(
            (self._handler(answering), health_handler(ready, (SERVICE,)), reflection_handler((SERVICE,)))
        )
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        address = f"{host}:{self._settings.grpc_port}"
        try:
            port = int(server.add_insecure_port(address))
        except RuntimeError as error:
            raise OperatorError(
                f"expected to listen for gRPC on {address}, got: {error}; end what listens there, or choose another "
                "port with LONGTAIL_GRPC_PORT"
            ) from error
        await server.start()
        self._server = server
        return port

    async def stop(self, *, grace_s: float) -> None:
        """Take no more calls, let running ones end, then end them. Safe to call before `start`."""
        if self._server is not None:
            await self._server.stop(grace_s)

    def _handler(self, answering: Answering) -> grpc.GenericRpcHandler:
        async def recommend(asked: _Asked) -> BaseModel:
            return await answering.recommend(asked.request, asked.clock, request_id=asked.request_id)

        def recommend_stream(asked: _Asked) -> AsyncGenerator[StreamEvent, None]:
            return answering.recommend_stream(asked.request, asked.clock, request_id=asked.request_id)

        async def describe(asked: _Asked) -> BaseModel:
            return await answering.describe(asked.request, asked.clock, request_id=asked.request_id)

        async def search(asked: _Asked) -> BaseModel:
            return await answering.search(asked.request, asked.clock, request_id=asked.request_id)

        async def encode(asked: _Asked) -> BaseModel:
            return await answering.encode(asked.request, asked.clock)

        async def release(_: _Asked) -> BaseModel:
            return overview(answering.releases, answering.trials, self._thresholds)

        async def record(asked: _Asked) -> BaseModel:
            return await answering.record(asked.request, asked.clock)

        async def list_interactions(asked: _Asked) -> BaseModel:
            return await answering.list_interactions(asked.request, asked.clock)

        async def delete_interactions(asked: _Asked) -> BaseModel:
            return await answering.delete_interactions(asked.request, asked.clock)

        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Recommend": self._answered("Recommend", RecommendRequest, recommend),
                "RecommendStream": self._streamed("RecommendStream", RecommendRequest, recommend_stream),
                "Describe": self._answered("Describe", DescribeRequest, describe),
                "Search": self._answered("Search", SearchRequest, search),
                "Encode": self._answered("Encode", EncodeRequest, encode),
                "RecordInteractions": self._answered("RecordInteractions", RecordRequest, record),
                "ListInteractions": self._answered("ListInteractions", ListRequest, list_interactions),
                "DeleteInteractions": self._answered("DeleteInteractions", DeleteRequest, delete_interactions),
                "GetRelease": self._answered("GetRelease", NoFields, release),
            },
        )

    def _answered(
        self, method: str, wire: type[BaseModel], answer: Callable[[_Asked], Awaitable[BaseModel]]
    ) -> grpc.RpcMethodHandler:
        message, response = _messages_of(method)

        async def handle(raw: bytes, context: Context) -> bytes:
            written = b""
            async with Call(SERVICE, method, context, len(raw)) as call:
                self._gate.require_key(call.authorization)
                with self._gate.in_flight():
                    found = await answer(self._asked(raw, message, wire, context, call))
                    written = message_of(found.model_dump(mode="json"), response).SerializeToString()
            await call.end()
            return written

        return grpc.unary_unary_rpc_method_handler(handle)

    def _streamed(
        self, method: str, wire: type[BaseModel], events: Callable[[_Asked], AsyncGenerator[StreamEvent, None]]
    ) -> grpc.RpcMethodHandler:
        message, response = _messages_of(method)

        async def handle(raw: bytes, context: Context) -> AsyncIterator[bytes]:
            async with Call(SERVICE, method, context, len(raw)) as call:
                self._gate.require_key(call.authorization)
                with self._gate.in_flight():
                    asked = self._asked(raw, message, wire, context, call)
                    async with aclosing(events(asked)) as stream:
                        async for event in stream:
                            document = event.model_dump(mode="json", exclude_none=True)
                            yield message_of({event.event: document}, response).SerializeToString()
                            if isinstance(event, ErrorEvent):
                                call.problem = document
            await call.end()

        return grpc.unary_stream_rpc_method_handler(handle)

    def _asked(self, raw: bytes, message: type[Message], wire: type[BaseModel], context: Context, call: Call) -> _Asked:
        """Read a request, and start its clock.

        Raises:
            RequestTooLarge: The message is longer than the service reads.
            MalformedBody: The bytes are no such message.
            InvalidRequest: A field is not as it should be; named as over HTTP, one that is unknown by its number.
        """
        left_s = context.time_remaining()
        limit = self._settings.max_interactions_bytes if wire is RecordRequest else self._settings.max_body_bytes
        if len(raw) > limit:
            raise RequestTooLarge(f"expected a message of at most {limit} bytes, got {len(raw)}")
        try:
            request = wire.model_validate(document_of(parsed(message, raw), strict=True))
        except ValidationError as error:
            raise refusal_of(error.errors()) from None
        return _Asked(request, Clock(self._budget_ms(getattr(request, "deadline_ms", None), left_s)), call.request_id)

    def _budget_ms(self, deadline_ms: int | None, left_s: float | None) -> int:
        """Say how long an answer may take: as long as the request says, or else the call, and never longer than it.

        A deadline of the call beyond what a request may ask for is a safety net of its sender, not a wish.
        """
        left_ms = float("inf") if left_s is None else left_s * 1000
        due_ms = max(1.0, left_ms - min(_TRAVEL_MS, left_ms * _TRAVEL_SHARE))
        if deadline_ms is None:
            deadline_ms = self._settings.default_deadline_ms if left_ms > LONGEST_DEADLINE_MS else int(due_ms)
        return int(min(deadline_ms, due_ms))


def _messages_of(method: str) -> tuple[type[Message], type[Message]]:
    """Find the request and the answer of a method in the proto."""
    described = pb.DESCRIPTOR.services_by_name["Recommender"].methods_by_name[method]
    return getattr(pb, described.input_type.name), getattr(pb, described.output_type.name)
