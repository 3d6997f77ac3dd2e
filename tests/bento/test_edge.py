"""The ASGI edge by itself: bodies in pieces, bodies too long, everything that is no HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from longtail_bento.edge import Edge, headers_of, request_id_var
from longtail_bento.gate import Gate
from longtail_bento.problem import problem_of
from longtail_bento.settings import ServiceSettings
from longtail_client.errors import DatabaseUnavailable, InvalidRequest, ModelUnavailable, Overloaded, Unauthenticated

BODY_TIMEOUT_S = 0.1


class Echo:
    """An app that answers its body and the request id it sees."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.seen.append(scope)
        if scope["type"] != "http":
            return
        message = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": message["body"] + b"|" + request_id_var.get().encode()})


class Wire:
    """One request's two ends."""

    def __init__(self, *pieces: bytes) -> None:
        self._incoming = [
            {"type": "http.request", "body": piece, "more_body": index < len(pieces) - 1}
            for index, piece in enumerate(pieces)
        ]
        self.n_received = 0
        self.left = asyncio.Event()
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        self.n_received += 1
        if self._incoming:
            return self._incoming.pop(0)
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])


def scope_of(**headers: str) -> dict[str, Any]:
    named = {"content_type": "application/json", **headers}
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]
    return {"type": "http", "method": "POST", "path": "/recommend", "headers": raw}


def edge_around(app: Any, **settings: Any) -> Edge:
    gate = Gate(ServiceSettings(**settings))
    return Edge(
        app, gate=gate, max_body_bytes=10, longer_body_bytes={"/interactions": 20}, body_timeout_s=BODY_TIMEOUT_S
    )


async def call(wire: Wire, app: Any, **headers: str) -> Wire:
    await edge_around(app)(scope_of(**headers), wire.receive, wire.send)
    return wire


async def test_a_body_in_pieces_reaches_the_app_whole() -> None:
    wire = await call(Wire(b"abc", b"", b"def"), Echo(), x_request_id="r1")
    assert wire.status == 200
    assert wire.body == b"abcdef|r1"
    assert (b"x-request-id", b"r1") in wire.sent[0]["headers"]


@pytest.mark.parametrize(("length", "status"), [(10, 200), (11, 413)])
async def test_the_limit_is_the_longest_body_that_is_read(length: int, status: int) -> None:
    assert (await call(Wire(b"x" * length), Echo())).status == status


async def test_a_long_body_is_read_to_its_end_and_never_reaches_the_app() -> None:
    app = Echo()
    wire = await call(Wire(*[b"x" * 6] * 4), app)
    assert wire.status == 413
    assert wire.n_received == 4
    assert app.seen == []
    assert json.loads(wire.body)["detail"].startswith("expected a body of at most 10 bytes")


async def test_the_request_id_does_not_outlive_the_request() -> None:
    before = request_id_var.get()
    await call(Wire(b""), Echo(), x_request_id="r2")
    assert request_id_var.get() == before


async def test_what_is_no_http_passes_untouched() -> None:
    app = Echo()
    scope = {"type": "lifespan"}
    await edge_around(app)(scope, Wire().receive, Wire().send)
    assert app.seen == [scope]


@pytest.mark.parametrize(
    ("error", "kind", "headers"),
    [
        (InvalidRequest("k: too many", field="k"), "invalid-request", {}),
        (ModelUnavailable("gone", retry_after_s=1.2), "model-unavailable", {"Retry-After": "2"}),
        (Overloaded("full"), "overloaded", {"Retry-After": "2"}),
        (Unauthenticated("no key"), "unauthenticated", {"WWW-Authenticate": 'Bearer realm="longtail"'}),
        (
            Unauthenticated("a wrong key", given=True),
            "unauthenticated",
            {"WWW-Authenticate": 'Bearer realm="longtail", error="invalid_token"'},
        ),
    ],
)
def test_an_error_is_written_with_its_kind_and_headers(error: Any, kind: str, headers: dict[str, str]) -> None:
    document = problem_of(error, "r")
    assert document["request_id"] == "r"
    assert document["type"] == f"urn:longtail:problem:{kind}"
    assert document["detail"] == str(error)
    assert document.get("field") == getattr(error, "field", None)
    assert headers_of(error) == headers


def test_callers_are_not_told_where_the_database_is(caplog: pytest.LogCaptureFixture) -> None:
    error = DatabaseUnavailable("the database of interactions does not answer: connection to 10.1.2.3 failed")
    assert problem_of(error, "r-7")["detail"] == "the database of interactions does not answer"
    assert "r-7" in caplog.text
    assert "10.1.2.3" in caplog.text


async def test_an_error_before_the_answer_is_a_problem() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError("a secret")

    wire = await call(Wire(b""), broken, x_request_id="r3")
    document = json.loads(wire.body)
    assert (wire.status, document["status"], document["request_id"]) == (500, 500, "r3")
    assert b"secret" not in wire.body


async def test_an_error_after_the_answer_began_is_raised() -> None:
    async def breaking(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    wire = Wire(b"")
    with pytest.raises(ZeroDivisionError):
        await call(wire, breaking)
    assert [message["type"] for message in wire.sent] == ["http.response.start"]


async def test_a_caller_who_leaves_ends_the_answer() -> None:
    wire, ended = Wire(b""), asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    request = asyncio.create_task(call(wire, slow))
    await asyncio.sleep(0.01)
    assert not ended.is_set()
    wire.left.set()
    done, _ = await asyncio.wait({request}, timeout=30)
    assert done
    assert ended.is_set()
    assert wire.sent == []


KEY = "a-good-key-for-tests"


async def test_a_request_without_a_key_is_refused_before_its_body_is_read() -> None:
    app, wire = Echo(), Wire(b"abc")
    await edge_around(app, api_keys=KEY)(scope_of(x_request_id="r4"), wire.receive, wire.send)
    assert wire.status == 401
    assert json.loads(wire.body)["request_id"] == "r4"
    assert (b"www-authenticate", b'Bearer realm="longtail"') in wire.sent[0]["headers"]
    assert (b"x-request-id", b"r4") in wire.sent[0]["headers"]
    assert (app.seen, wire.n_received) == ([], 0)


@pytest.mark.parametrize(("key", "status"), [(KEY, 200), (KEY[:-1], 401), ("", 401)])
async def test_a_key_lets_in(key: str, status: int) -> None:
    wire = Wire(b"")
    await edge_around(Echo(), api_keys=KEY)(scope_of(authorization=f"Bearer {key}"), wire.receive, wire.send)
    assert wire.status == status


async def test_the_documentation_needs_no_key() -> None:
    wire = Wire(b"")
    await edge_around(Echo(), api_keys=KEY)(scope_of() | {"path": "/docs.json"}, wire.receive, wire.send)
    assert wire.status == 200


@pytest.mark.parametrize(("server", "status"), [("127.0.0.1", 200), ("::1", 200), ("10.1.2.3", 401), ("fd00::1", 401)])
async def test_without_keys_only_loopback_is_answered(server: str, status: int) -> None:
    wire = Wire(b"")
    await edge_around(Echo())(scope_of() | {"server": (server, 3000)}, wire.receive, wire.send)
    assert wire.status == status


async def test_more_requests_than_are_answered_at_one_time_are_told_to_come_back() -> None:
    go_on = asyncio.Event()

    async def waiting(scope: Any, receive: Any, send: Any) -> None:
        await go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    edge = edge_around(waiting, max_in_flight=2)
    wires = [Wire(b"") for _ in range(5)]
    held = [asyncio.create_task(edge(scope_of(), wire.receive, wire.send)) for wire in wires[:2]]
    await asyncio.sleep(0.01)
    await edge(scope_of(), wires[2].receive, wires[2].send)
    assert wires[2].status == 429
    assert (b"retry-after", b"1") in wires[2].sent[0]["headers"]
    scrape = asyncio.create_task(edge(scope_of() | {"path": "/metrics"}, wires[4].receive, wires[4].send))
    go_on.set()
    await asyncio.gather(*held, scrape)
    await edge(scope_of(), wires[3].receive, wires[3].send)
    assert [wire.status for wire in wires] == [200, 200, 429, 200, 200]


class SlowWire(Wire):
    """A sender who stops after the first pieces."""

    async def receive(self) -> dict[str, Any]:
        message = await super().receive()
        return message | {"more_body": True} if message["type"] == "http.request" else message


async def test_slow_senders_take_no_place() -> None:
    edge = edge_around(Echo(), max_in_flight=1)
    slow = [SlowWire(b"abc") for _ in range(5)]
    sending = [asyncio.create_task(edge(scope_of(), wire.receive, wire.send)) for wire in slow]
    await asyncio.sleep(0.01)
    wire = Wire(b"abc")
    await edge(scope_of(), wire.receive, wire.send)
    assert wire.status == 200
    assert not any(each.done() for each in sending)
    await asyncio.gather(*sending)
    assert [each.status for each in slow] == [408] * 5
    assert json.loads(slow[0].body)["type"] == "urn:longtail:problem:body-too-slow"
    assert (b"connection", b"close") in slow[0].sent[0]["headers"]


async def test_what_is_too_long_and_slow_is_too_long() -> None:
    wire = SlowWire(b"x" * 11)
    await edge_around(Echo())(scope_of(), wire.receive, wire.send)
    assert wire.status == 413


async def test_interactions_may_be_longer() -> None:
    for length, status in ((20, 200), (21, 413)):
        wire = Wire(b"x" * length)
        await edge_around(Echo())(scope_of() | {"path": "/interactions"}, wire.receive, wire.send)
        assert wire.status == status


async def test_each_request_is_one_line_that_names_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="longtail.access"):
        for path in ("/users/eve/interactions", "/somewhere/eve"):
            wire = Wire(b"eve")
            scope = scope_of(x_request_id="r5", authorization=f"Bearer {KEY}") | {"path": path, "query_string": b"eve"}
            await edge_around(Echo(), api_keys=KEY)(scope, wire.receive, wire.send)
        await edge_around(Echo(), api_keys=KEY)(scope_of(), wire.receive, wire.send)
    lines = [json.loads(record.getMessage()) for record in caplog.records]
    assert [(line["path"], line["status"], line["received_bytes"]) for line in lines] == [
        ("/users/{user_id}/interactions", 200, 3),
        ("other", 200, 3),
        ("/recommend", 401, 0),
    ]
    assert lines[0] | {"time": 0, "duration_ms": 0} == {
        "time": 0,
        "door": "http",
        "method": "POST",
        "path": "/users/{user_id}/interactions",
        "status": 200,
        "request_id": "r5",
        "duration_ms": 0,
        "received_bytes": 3,
    }
    assert "eve" not in caplog.text
    assert KEY not in caplog.text
