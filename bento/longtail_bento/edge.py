"""What every HTTP request passes first: a request id, a key, JSON only, a body bounded in length and time, a place.

An eye on whether the caller stays; how errors leave; and the line that the access log gets.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from contextvars import ContextVar
from typing import Any

from longtail_bento import access_log, metrics
from longtail_bento.gate import Gate
from longtail_bento.http_paths import KNOWN_METHODS, METHODS, PROBES, path_of
from longtail_bento.problem import as_openai_expects, problem_of, unknown_problem
from longtail_client.calls import REQUEST_ID
from longtail_client.errors import (
    BodyTooSlow,
    LongtailError,
    RequestTooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger("longtail")

_DRAINED_BYTES = 64 * 1024 * 1024
_WITHOUT_KEY = ("/docs.json", *PROBES)
"""Paths that need no key; the first so that whoever has none learns how to show one."""

_WITHOUT_PLACE = ("/metrics", *PROBES)
"""Paths that are answered however many requests are: the first tells how many they are."""

_CALLER_LEFT = 499
"""Counted for a request whose caller went away; no such status is ever sent. The number is nginx's."""

request_id_var: ContextVar[str] = ContextVar("request_id", default="-")


class Edge:
    """ASGI middleware.

    Args:
        app: What answers.
        gate: Who may come in, and how many at a time.
        max_body_bytes: Longest body that is read.
        longer_body_bytes: The same for the paths that take longer ones.
        body_timeout_s: Seconds that a body may take to come.
    """

    def __init__(
        self,
        app: App,
        *,
        gate: Gate,
        max_body_bytes: int,
        longer_body_bytes: Mapping[str, int],
        body_timeout_s: float,
    ) -> None:
        self._app = app
        self._gate = gate
        self._max_body_bytes = max_body_bytes
        self._longer_body_bytes = longer_body_bytes
        self._body_timeout_s = body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.monotonic()
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        request_id = accepted_request_id(headers.get("x-request-id", ""))
        token = request_id_var.set(request_id)
        path = path_of(scope["path"])
        body = b""
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
            if scope["path"] not in _WITHOUT_KEY:
                self._gate.require_key(headers.get("authorization"), reached_at=(scope.get("server") or (None,))[0])
            with self._gate.holding() as hold:
                body = await self._read_body(path, scope["method"], headers, receive, hold)
                with nullcontext() if scope["path"] in _WITHOUT_PLACE else self._gate.in_flight():
                    if await self._left_before_the_end(scope, body, receive, send_marked):
                        status = _CALLER_LEFT
        except LongtailError as error:
            document = written_for(scope["path"], problem_of(error, request_id))
            await send_problem(send_marked, document, headers_of(error))
        except Exception as error:
            _log.error("request %s failed", request_id, exc_info=error)
            if started:
                raise
            await send_problem(send_marked, written_for(scope["path"], unknown_problem(request_id)), {})
        finally:
            request_id_var.reset(token)
            if scope["path"] not in PROBES:
                duration_s = time.monotonic() - began_s
                metrics.REQUESTS.labels(path or "other", str(status)).inc()
                metrics.REQUEST_SECONDS.labels(path or "other").observe(duration_s)
                access_log.write(
                    door="http",
                    method=scope["method"] if scope["method"] in KNOWN_METHODS else "other",
                    path=path or "other",
                    status=status,
                    request_id=request_id,
                    duration_s=duration_s,
                    received_bytes=len(body),
                )

    async def _left_before_the_end(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> bool:
        """Have the app answer, and end that when the caller goes away: nobody waits for what it does any more."""
        gone = asyncio.Event()
        answering = asyncio.create_task(_run(self._app, scope, _replayed(body, gone), send))

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()
            answering.cancel()

        watching = asyncio.create_task(watch())
        try:
            await answering
        except asyncio.CancelledError:
            if not gone.is_set():
                answering.cancel()
                raise
            return True
        finally:
            watching.cancel()
        return False

    async def _read_body(
        self,
        path: str | None,
        method: str,
        headers: Mapping[str, str],
        receive: Receive,
        hold: Callable[[int], None],
    ) -> bytes:
        """Read the whole body; what is too long is read on and thrown away, so that the caller hears the answer."""
        max_body_bytes = self._longer_body_bytes.get(path or "", self._max_body_bytes)
        body = bytearray()
        n_bytes = 0
        more = True
        try:
            async with asyncio.timeout(self._body_timeout_s):
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        break
                    chunk = message.get("body", b"")
                    n_bytes += len(chunk)
                    more = message.get("more_body", False) and n_bytes <= _DRAINED_BYTES
                    if n_bytes <= max_body_bytes:
                        hold(len(chunk))
                        body += chunk
        except TimeoutError as error:
            if n_bytes <= max_body_bytes:
                raise BodyTooSlow(
                    f"expected the whole body within {self._body_timeout_s:g} s, got {n_bytes} bytes by then"
                ) from error
        if n_bytes > max_body_bytes:
            raise RequestTooLarge(f"expected a body of at most {max_body_bytes} bytes, got {n_bytes}")
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        takes_json = path is not None and method == "POST" and "POST" in METHODS[path]
        if takes_json and media_type != "application/json":
            raise UnsupportedMediaType(f"expected Content-Type application/json, got '{media_type[:80]}'")
        return bytes(body)


def accepted_request_id(given: str) -> str:
    """Take a caller's id of a request, or make one where that is missing or malformed."""
    return given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


async def _run(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


def _replayed(body: bytes, gone: asyncio.Event) -> Receive:
    """Give the app the body once more, then nothing until the caller is gone."""
    handed_over = False

    async def replay() -> Message:
        nonlocal handed_over
        if handed_over:
            await gone.wait()
            return {"type": "http.disconnect"}
        handed_over = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def headers_of(error: LongtailError) -> dict[str, str]:
    """Say after how many seconds a new try makes sense, how to show a key, or that nothing more is read.

    Source: RFC 9110, sections 10.2.3 and 15.5.9; RFC 6750, section 3.
    """
    if isinstance(error, Unavailable):
        return {"Retry-After": str(math.ceil(error.retry_after_s))}
    if isinstance(error, BodyTooSlow):
        return {"Connection": "close"}
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": 'Bearer realm="longtail"' + (', error="invalid_token"' if error.given else "")}
    return {}


def written_for(path: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write a problem document as the clients of a path expect it."""
    return as_openai_expects(document) if path.startswith("/v1/") else document


async def send_problem(send: Send, document: Mapping[str, Any], extra: Mapping[str, str]) -> None:
    """Send a problem document as a whole response."""
    body = json.dumps(document).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        *((name.lower().encode(), value.encode()) for name, value in extra.items()),
    ]
    await send({"type": "http.response.start", "status": document["status"], "headers": headers})
    await send({"type": "http.response.body", "body": body})
