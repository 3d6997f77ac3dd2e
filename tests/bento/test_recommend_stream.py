"""The streamed recommendation: what comes in which order, what ends it, and how it looks over HTTP."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from longtail_bento.answering import Answering
from longtail_bento.clock import Clock
from longtail_bento.wire import DoneEvent, ErrorEvent, ItemsEvent, RecommendRequest, StreamEvent, TokenEvent
from longtail_client.errors import UnknownUser


def stream(answering: Answering, **fields: Any) -> Any:
    request = RecommendRequest(**({"user_id": "ada", "k": 3} | fields))
    return answering.recommend_stream(request, Clock(request.deadline_ms or 5000), request_id="r-1")


async def events_of(answering: Answering, **fields: Any) -> list[StreamEvent]:
    return [event async for event in stream(answering, **fields)]


def server_sent(text: str) -> list[tuple[str, dict[str, Any]]]:
    events = []
    for block in text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


async def test_a_release_then_tokens_then_items_then_done(answering: Answering, stage: Any) -> None:
    events = await events_of(answering, seed=3)
    kinds = [event.event for event in events]
    n_tokens = kinds.count("token")
    assert kinds == ["release", *["token"] * n_tokens, "items", "done"]
    texts = [""] * 4
    for event in events:
        if isinstance(event, TokenEvent):
            texts[event.description] += event.text
    assert texts == list(stage.transport.lines)
    assert n_tokens == sum(len(line.split()) for line in texts)


async def test_the_items_are_those_of_the_plain_call(answering: Answering) -> None:
    request = RecommendRequest(user_id="ada", k=5, seed=3, explain=True)
    plain = await answering.recommend(request, Clock(5000), request_id="r-1")
    (streamed,) = [e for e in await events_of(answering, k=5, seed=3, explain=True) if isinstance(e, ItemsEvent)]
    assert streamed.items == plain.items
    assert streamed.seed == plain.seed
    assert [each.text for each in streamed.descriptions] == [each.text for each in plain.descriptions]


async def test_what_fails_before_the_first_event_is_raised(answering: Answering) -> None:
    with pytest.raises(UnknownUser):
        await anext(stream(answering, user_id="nobody"))


async def test_what_fails_later_is_the_last_event(answering: Answering, stage: Any) -> None:
    stage.transport.down = True
    events = await events_of(answering, user_id=None, steer=["a western"])
    assert [event.event for event in events] == ["release", "error"]
    error = events[-1]
    assert isinstance(error, ErrorEvent)
    assert (error.status, error.type, error.request_id) == (503, "urn:longtail:problem:model-unavailable", "r-1")


async def test_an_error_nobody_foresaw_ends_the_stream_and_gives_nothing_away(
    answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr("longtail_bento.pipeline.rank", broken)
    error = (await events_of(answering))[-1]
    assert isinstance(error, ErrorEvent)
    assert error.status == 500
    assert "secret" not in error.model_dump_json()


async def test_closing_the_stream_ends_the_generation(answering: Answering, stage: Any) -> None:
    events = stream(answering)
    stage.transport.delay_s = 0.2
    while (await anext(events)).event != "token":
        pass
    await events.aclose()
    assert stage.transport.cancelled == 1


async def test_events_over_http(client: httpx.AsyncClient) -> None:
    response = await client.post("/recommend/stream", json={"user_id": "ada", "k": 2, "seed": 1})
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    events = server_sent(response.text)
    assert [name for name, _ in events if name != "token"] == ["release", "items", "done"]
    plain = (await client.post("/recommend", json={"user_id": "ada", "k": 2, "seed": 1})).json()
    items = dict(events)["items"]
    assert items["items"] == plain["items"]
    assert set(items) == set(plain)
    assert events[0][1] == {"request_id": response.headers["x-request-id"], "release": "first"}


async def test_a_refusal_over_http_is_a_plain_problem(client: httpx.AsyncClient) -> None:
    for body, status in (({"user_id": "nobody"}, 404), ({"user_id": "ada", "k": 0}, 422)):
        response = await client.post("/recommend/stream", json=body)
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"


async def test_a_failure_midway_over_http_is_a_last_event(client: httpx.AsyncClient, stage: Any) -> None:
    stage.transport.down = True
    response = await client.post("/recommend/stream", json={"steer": ["a western"]})
    (first, last) = server_sent(response.text)
    assert (first[0], last[0], last[1]["status"]) == ("release", "error", 503)
    assert last[1]["request_id"] == response.headers["x-request-id"]
    assert last[1]["retry_after_s"] == 2.0


def test_every_event_has_a_name_of_its_own() -> None:
    names = {kind.event for kind in StreamEvent.__args__}  # type: ignore[attr-defined]
    assert names == {"release", "token", "items", "done", "error"}
    assert DoneEvent(request_id="r").model_dump() == {"request_id": "r"}
