"""What every HTTP request passes first: a request id, JSON only, a bounded body; and how errors leave."""

from __future__ import annotations

import json
import logging
import math
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any

from longtail_bento import metrics
from longtail_bento.status import Status, status_of
from longtail_client.errors import LongtailError, RequestTooLarge, Unavailable, UnsupportedMediaType

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger("longtail")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_DRAINED_BYTES = 64 * 1024 * 1024

request_id_var: ContextVar[str] = ContextVar("request_id", default="-")


class Edge:
    """ASGI middleware.

    Args:
        app: What answers.
        max_body_bytes: Longest body that is read.
        endpoints: Paths that take JSON and are counted under their own name; every other path counts as ``other``.
    """

    def __init__(self, app: App, *, max_body_bytes: int, endpoints: frozenset[str]) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        token = request_id_var.set(request_id)
        status = 500
        started = False

        async def send_marked(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status = message["status"]
                started = True
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            body = await self._read_body(scope, headers, receive)
            await self._app(scope, _replayed(body, receive), send_marked)
        except LongtailError as error:
            await send_problem(send_marked, problem_of(error))
        except Exception as error:
            _log.error("request %s failed", request_id, exc_info=error)
            if started:
                raise
            unknown = Status(500, "INTERNAL", "Something went wrong")
            detail = "an error that longtail does not know"
            await send_problem(send_marked, (problem(unknown, "InternalError", detail), {}))
        finally:
            request_id_var.reset(token)
            path = scope["path"]
            metrics.REQUESTS.labels(path if path in self._endpoints else "other", str(status)).inc()

    async def _read_body(self, scope: Scope, headers: Mapping[str, str], receive: Receive) -> bytes:
        """Read the whole body; what is too long is read on and thrown away, so that the caller hears the answer."""
        body = bytearray()
        n_bytes = 0
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                break
            chunk = message.get("body", b"")
            n_bytes += len(chunk)
            more = message.get("more_body", False) and n_bytes <= _DRAINED_BYTES
            if n_bytes <= self._max_body_bytes:
                body += chunk
        if n_bytes > self._max_body_bytes:
            raise RequestTooLarge(f"expected a body of at most {self._max_body_bytes} bytes, got {n_bytes}")
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if scope["path"] in self._endpoints and scope["method"] == "POST" and media_type != "application/json":
            raise UnsupportedMediaType(f"expected Content-Type application/json, got '{media_type[:80]}'")
        return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Give the app the body once more, then whatever follows: a disconnect."""
    handed_over = False

    async def replay() -> Message:
        nonlocal handed_over
        if handed_over:
            return await receive()
        handed_over = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def problem_of(error: LongtailError) -> tuple[dict[str, Any], dict[str, str]]:
    """Write an error as a problem document and its headers."""
    field = getattr(error, "field", None)
    headers = {}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    return problem(status_of(error), type(error).__name__, str(error), field), headers


def problem(status: Status, kind: str, detail: str, field: str | None = None) -> dict[str, Any]:
    """Write a problem document.

    Source: RFC 9457.
    """
    name = re.sub(r"(?<!^)(?=[A-Z])", "-", kind).lower()
    document = {
        "type": f"urn:longtail:problem:{name}",
        "title": status.title,
        "status": status.http,
        "detail": detail,
        "request_id": request_id_var.get(),
    }
    return document if field is None else {**document, "field": field}


async def send_problem(send: Send, document_and_headers: tuple[dict[str, Any], dict[str, str]]) -> None:
    """Send a problem document as a whole response."""
    document, extra = document_and_headers
    body = json.dumps(document).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in extra.items()),
    ]
    await send({"type": "http.response.start", "status": document["status"], "headers": headers})
    await send({"type": "http.response.body", "body": body})
