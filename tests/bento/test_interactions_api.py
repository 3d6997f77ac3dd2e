"""Interactions over HTTP, in SQLite and in a real PostgreSQL: recorded, read, deleted, and seen in answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from tests.postgres_server import PostgresServer

from longtail_bento.answering import Answering
from longtail_bento.http_app import HttpDoor
from longtail_bento.interactions import Interactions
from longtail_bento.release_set import ReleaseSet
from longtail_bento.trials import Trials


async def always() -> bool:
    return True


@pytest.fixture
async def client(settings: Any, transport: Any, database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    door = HttpDoor(settings)
    releases = ReleaseSet(settings, transport)
    await releases.start()
    store = Interactions(database_url)
    await store.prepare()
    for _ in range(3000):
        if releases.live.is_sound:
            break
        await asyncio.sleep(0.01)
    door.open(Answering(releases, store, Trials(settings, releases, store)), always)
    asgi = httpx.ASGITransport(app=door.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=asgi, base_url="http://longtail") as opened:
        yield opened
    await releases.stop()
    await store.close()


def event(item_id: str, kind: str = "like", **more: Any) -> dict[str, Any]:
    return {"user_id": "eve", "item_id": item_id, "kind": kind, "timestamp": 1000, **more}


async def record(client: httpx.AsyncClient, *events: dict[str, Any]) -> dict[str, Any]:
    response = await client.post("/interactions", json={"interactions": list(events)})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def recommended(client: httpx.AsyncClient, **more: Any) -> list[str]:
    asked = {"user_id": "eve", "k": 20, "tail_only": False, "diversity": 0, "descriptions": 0, **more}
    response = await client.post("/recommend", json=asked)
    assert response.status_code == 200, response.text
    return [item["item_id"] for item in response.json()["items"]]


async def test_what_is_recorded_comes_back_and_can_be_recorded_again(client: httpx.AsyncClient) -> None:
    events = [
        event("1", "rating", weight=4.5),
        event("5", "view"),
        event("not in the catalogue", "purchase", timestamp=0),
        event("9", "dislike"),
    ]
    assert await record(client, *events) == {"received": 4, "new": 4}
    answer = (await client.get("/users/eve/interactions")).json()
    assert answer == {
        "user_id": "eve",
        "interactions": [{k: v for k, v in e.items() if k != "user_id"} for e in events],
    }
    again = [{"user_id": "eve", **each} for each in answer["interactions"]]
    assert await record(client, *again, event("1", "rating", weight=2)) == {"received": 5, "new": 0}


async def test_pages_of_a_user(client: httpx.AsyncClient) -> None:
    await record(client, *(event(f"{index}", "view") for index in range(5)))
    first = (await client.get("/users/eve/interactions", params={"limit": 3})).json()
    second = (await client.get("/users/eve/interactions", params={"limit": 3, "after": first["next"]})).json()
    assert [each["item_id"] for page in (first, second) for each in page["interactions"]] == list("01234")
    assert "next" not in second


async def test_ten_thousand_at_once(client: httpx.AsyncClient) -> None:
    events = [event(f"film {index}", "view", user_id=f"user {index % 7}") for index in range(10_000)]
    assert await record(client, *events) == {"received": 10_000, "new": 10_000}
    page = (await client.get("/users/user 3/interactions", params={"limit": 10_000})).json()
    assert [each["item_id"] for each in page["interactions"]] == [f"film {index}" for index in range(3, 10_000, 7)]
    response = await client.post("/interactions", json={"interactions": [*events, event("one more")]})
    assert (response.status_code, response.json()["field"]) == (422, "interactions")


async def test_an_event_without_a_time_happened_now(client: httpx.AsyncClient) -> None:
    before = int(time.time())
    await record(client, {"user_id": "eve", "item_id": "1", "kind": "view"})
    (stored,) = (await client.get("/users/eve/interactions")).json()["interactions"]
    assert before <= stored["timestamp"] <= int(time.time())


BAD = [
    ({}, "interactions"),
    ({"interactions": []}, "interactions"),
    ({"interactions": [event("1"), event("")]}, "interactions.1.item_id"),
    ({"interactions": [event("1", "love")]}, "interactions.0.kind"),
    ({"interactions": [event("1", "rating")]}, "interactions.0.weight"),
    ({"interactions": [event("1", "view", weight=1.0)]}, "interactions.0.weight"),
    ({"interactions": [event("1", "rating", weight="4")]}, "interactions.0.weight"),
    ({"interactions": [event("1", timestamp=int(time.time()) + 3600)]}, "interactions.0.timestamp"),
    ({"interactions": [event("1", timestamp=1.5)]}, "interactions.0.timestamp"),
    ({"interactions": [event("1", timestamp=-1)]}, "interactions.0.timestamp"),
    ({"interactions": [event("1\0")]}, "interactions.0.item_id"),
    ({"interactions": [event("1", user_id="x" * 201)]}, "interactions.0.user_id"),
    ({"interactions": [event("1", colour="red")]}, "interactions.0.colour"),
]


@pytest.mark.parametrize(("body", "field"), BAD)
async def test_a_bad_event_is_named_and_nothing_is_stored(
    client: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    response = await client.post("/interactions", json=body)
    assert (response.status_code, response.json()["field"]) == (422, field)
    assert (await client.get("/users/eve/interactions")).status_code == 404


@pytest.mark.parametrize(
    ("query", "field"),
    [("after=-1", "after"), ("limit=0", "limit"), ("limit=many", "limit"), ("page=2", "page")],
)
async def test_a_bad_page_is_named(client: httpx.AsyncClient, query: str, field: str) -> None:
    response = await client.get(f"/users/eve/interactions?{query}")
    assert (response.status_code, response.json()["field"]) == (422, field)


async def test_a_deleted_user_is_gone_from_everything(client: httpx.AsyncClient) -> None:
    await record(client, event("1"), event("5"), event("1", user_id="bob"))
    assert await recommended(client)
    assert (await client.delete("/users/eve/interactions")).json() == {"deleted": 2}
    assert (await client.get("/users/eve/interactions")).status_code == 404
    response = await client.post("/recommend", json={"user_id": "eve"})
    assert (response.status_code, response.json()["field"]) == (404, "user_id")
    assert (await client.delete("/users/eve/interactions")).json() == {"deleted": 0}
    assert len((await client.get("/users/bob/interactions")).json()["interactions"]) == 1


async def test_what_was_written_for_a_deleted_user_is_forgotten_too(client: httpx.AsyncClient) -> None:
    asked = {"user_id": "eve", "seed": 7}

    async def sources() -> set[str]:
        answer = (await client.post("/describe", json=asked)).json()
        return {each["source"] for each in answer["descriptions"]}

    await record(client, event("1"), event("5"))
    assert (await sources(), await sources()) == ({"generator"}, {"cache"})
    await client.delete("/users/eve/interactions")
    await record(client, event("1"), event("5"))
    assert await sources() == {"generator"}


@pytest.mark.parametrize("user_id", ["a/b", "日本", "50%", "a b?c#d", "interactions", "x/interactions", "."])
async def test_any_user_can_be_addressed(client: httpx.AsyncClient, user_id: str) -> None:
    await record(client, event("1", user_id=user_id))
    path = "".join(f"%{byte:02X}" for byte in user_id.encode())
    response = await client.get(f"/users/{path}/interactions")
    assert response.json()["user_id"] == user_id
    assert (await client.delete(f"/users/{path}/interactions")).json() == {"deleted": 1}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_another_method_is_not_allowed_and_the_user_is_not_named(client: httpx.AsyncClient, method: str) -> None:
    response = await client.request(method, "/users/eve/interactions", json={})
    assert response.status_code == 405
    assert response.headers["allow"] == "DELETE, GET"
    assert "eve" not in response.text


async def test_likes_and_views_change_the_next_answer(client: httpx.AsyncClient) -> None:
    await record(client, event("4"))
    before = await recommended(client)
    await record(client, event("7", "like", timestamp=2000))
    liked = await recommended(client)
    assert "7" in before
    assert "7" not in liked
    assert [item for item in before if item != "7"] != liked
    await record(client, event(liked[0], "view", timestamp=3000))
    assert liked[0] not in await recommended(client)


async def test_a_dislike_pushes_its_likes_away(client: httpx.AsyncClient) -> None:
    await record(client, event("4"))
    before = await recommended(client)
    western = next(item for item in before if int(item) % 4 == 1)
    await record(client, event(western, "dislike", timestamp=2000))
    after = await recommended(client)
    assert western not in after
    others = [item for item in after if int(item) % 4 == 1]
    assert others
    assert mean_place(others, after) > mean_place(others, [item for item in before if item != western])


async def test_a_user_who_only_disliked_gets_what_is_unlike_it(client: httpx.AsyncClient, transport: Any) -> None:
    await record(client, event("1", "dislike"), event("5", "dislike"))
    transport.calls.clear()
    response = await client.post("/recommend", json={"user_id": "eve", "k": 5, "tail_only": False})
    answer = response.json()
    assert (answer["degraded"], answer["descriptions"]) == ([], [])
    assert not {"1", "5"} & {item["item_id"] for item in answer["items"]}
    assert not [item for item in answer["items"] if int(item["item_id"]) % 4 == 1]
    assert (await client.post("/describe", json={"user_id": "eve"})).json()["descriptions"] == []
    assert [model for model, _ in transport.calls] == []


async def test_a_user_of_another_catalogue_has_nothing_to_be_recommended_from(client: httpx.AsyncClient) -> None:
    await record(client, event("no film of ours"))
    response = await client.post("/recommend", json={"user_id": "eve"})
    assert (response.status_code, response.json()["type"]) == (404, "urn:longtail:problem:nothing-to-recommend")
    assert await recommended(client, steer=["space"])


def mean_place(items: list[str], order: list[str]) -> float:
    return sum(order.index(item) for item in items) / len(items)


async def test_a_database_that_is_away_is_a_503_and_the_rest_goes_on(
    settings: Any, transport: Any, postgres: PostgresServer
) -> None:
    store = Interactions(postgres.new_database())
    await store.prepare()
    releases = ReleaseSet(settings, transport)
    await releases.start()
    door = HttpDoor(settings)
    door.open(Answering(releases, store, Trials(settings, releases, store)), always)
    asgi = httpx.ASGITransport(app=door.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=asgi, base_url="http://longtail") as client:
        postgres.stop()
        try:
            for response in (
                await client.post("/interactions", json={"interactions": [event("1")]}),
                await client.get("/users/eve/interactions"),
                await client.delete("/users/eve/interactions"),
                await client.post("/recommend", json={"user_id": "eve"}),
            ):
                assert response.status_code == 503
                assert int(response.headers["retry-after"]) >= 1
                assert "eve" not in response.text
            history = {"history": [{"item_id": "5"}], "descriptions": 0}
            assert (await client.post("/recommend", json=history)).status_code == 200
        finally:
            postgres.start()
        assert await record(client, event("1")) == {"received": 1, "new": 1}
    await releases.stop()
    await store.close()
