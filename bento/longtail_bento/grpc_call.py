"""One gRPC call: bytes in, a message or a refusal out; it has an id, ends in one status, is counted and logged."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from longtail_bento import access_log, metrics
from longtail_bento.edge import accepted_request_id
from longtail_bento.grpc_nesting import cut_short
from longtail_bento.grpc_status import code_of, trailers_of
from longtail_bento.problem import problem_of, unknown_problem
from longtail_client.errors import LongtailError, MalformedBody

Context = Any
M = TypeVar("M", bound=Message)

_log = logging.getLogger("longtail")


class Call:
    """Gives a call its id, holds the problem in which it ends, and tells how it ended.

    What the block raises is swallowed into ``problem``; the call is aborted after the block, since grpc ends a handler
    by an exception of its own.

    Args:
        service: Full name of the service.
        method: Name of the method.
        context: grpc's.
        received_bytes: Length of the message.
    """

    def __init__(self, service: str, method: str, context: Context, received_bytes: int = 0) -> None:
        given = {name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)}
        self.request_id = accepted_request_id(given.get("x-request-id", ""))
        self.authorization = given.get("authorization")
        self.problem: Mapping[str, Any] | None = None
        self._method = method
        self._path = f"/{service}/{method}"
        self._context = context
        self._received_bytes = received_bytes
        self._began_s = time.monotonic()

    async def __aenter__(self) -> Call:
        await self._context.send_initial_metadata((("x-request-id", self.request_id),))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        if isinstance(error, LongtailError):
            self.problem = problem_of(error, self.request_id)
        elif isinstance(error, Exception):
            _log.error("request %s failed", self.request_id, exc_info=error)
            self.problem = unknown_problem(self.request_id)
        code = "OK" if kind is None else "CANCELLED"
        if self.problem is not None:
            code = code_of(self.problem).name
        duration_s = time.monotonic() - self._began_s
        metrics.REQUESTS.labels(self._path, code).inc()
        metrics.REQUEST_SECONDS.labels(self._path).observe(duration_s)
        access_log.write(
            door="grpc",
            method=self._method,
            path=self._path,
            status=code,
            request_id=self.request_id,
            duration_s=duration_s,
            received_bytes=self._received_bytes,
        )
        return self.problem is not None

    async def end(self) -> None:
        """End the call in the status of its problem, where it has one."""
        if self.problem is not None:
            await self._context.abort(code_of(self.problem), self.problem["detail"], trailers_of(self.problem))


def parsed(message: type[M], raw: bytes) -> M:
    """Read bytes as a message; of one that is nested too deeply for protobuf, what is not too deep.

    Raises:
        MalformedBody: They are no such message.
    """
    try:
        try:
            read: M = message.FromString(raw)
        except DecodeError:
            read = message.FromString(cut_short(raw, message.DESCRIPTOR))
    except DecodeError as error:
        raise MalformedBody(f"expected a message {message.DESCRIPTOR.full_name}, got bytes that are none") from error
    return read
