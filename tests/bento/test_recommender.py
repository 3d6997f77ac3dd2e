"""Both clients over both doors of the tiny deployment: four ways to the same records and the same errors."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from longtail_client import AsyncRecommender, Recommender, answers, calls
from longtail_client.answers import RecommendAnswer, document_of_record, record_of
from longtail_client.errors import (
    DeadlineExceeded,
    InvalidRequest,
    LongtailError,
    ModelUnavailable,
    RequestTooLarge,
    Unavailable,
    UnknownItem,
    UnknownUser,
)

WAYS = ["blocking http", "blocking grpc", "async http", "async grpc"]
Ask = Callable[..., Awaitable[Any]]


@pytest.fixture(params=WAYS)
async def ask(request: pytest.FixtureRequest, doors: Any) -> AsyncIterator[Ask]:
    """Call a method by name; a stream comes as the list of its events."""
    kind, door = request.param.split()
    url = getattr(doors, door)
    if kind == "async":
        async with AsyncRecommender(url, max_tries=1) as longtail:

            async def awaited(method: str, **fields: Any) -> Any:
                if method.endswith("_stream"):
                    return [event async for event in getattr(longtail, method)(**fields)]
                return await getattr(longtail, method)(**fields)

            yield awaited
    else:
        with Recommender(url, max_tries=1) as blocking:

            async def in_a_thread(method: str, **fields: Any) -> Any:
                found = await asyncio.to_thread(getattr(blocking, method), **fields)
                return await asyncio.to_thread(list, found) if method.endswith("_stream") else found

            yield in_a_thread


async def test_answers_are_frozen_records(ask: Ask) -> None:
    answer = await ask("recommend", user_id="ada", k=3, seed=7, explain=True)
    assert isinstance(answer, RecommendAnswer)
    assert [item.rank for item in answer.items] == [1, 2, 3]
    assert answer.items[0].explanation.found_by == "description"
    assert repr(answer.items[0].attributes["year"]) == str(1950 + int(answer.items[0].item_id))
    assert answer.seed == 7
    assert answer.degraded == ()
    assert answer.timings_ms.total > 0
    with pytest.raises(FrozenInstanceError):
        answer.seed = 8


async def test_an_answer_hands_back_what_replays_it(ask: Ask) -> None:
    first = await ask("recommend", user_id="ada", k=5)
    again = await ask("recommend", user_id="ada", k=5, given_descriptions=[each.text for each in first.descriptions])
    assert [item.item_id for item in again.items] == [item.item_id for item in first.items]
    assert {each.source for each in again.descriptions} == {"given"}


async def test_every_row_has_its_method(ask: Ask) -> None:
    described = await ask("describe", history=[{"item_id": "7", "weight": 2}], descriptions=2)
    assert [each.text for each in described.descriptions] == ["Drama, 1990s", "Comedy, 1980s"]
    encoded = await ask("encode", texts=["space", "a quiet drama"])
    assert [len(vector) for vector in encoded.vectors] == [16, 16]
    found = await ask("search", text="horror about space and j", k=2)
    assert found.items[0].item_id == "10"
    released = await ask("release")
    assert released.release == released.releases[0].release == "first"
    assert released.releases[0].fingerprint.worst_cosine == pytest.approx(1, abs=1e-4)


async def test_what_a_user_did_is_recorded_read_and_deleted(ask: Ask) -> None:
    done = [
        {"user_id": "zoë/1 ?", "item_id": "7", "kind": "like", "timestamp": 100},
        {"user_id": "zoë/1 ?", "item_id": "9", "kind": "rating", "weight": 4.5, "timestamp": 200},
        {"user_id": "zoë/1 ?", "item_id": "7", "kind": "like", "timestamp": 100},
    ]
    stored = await ask("record_interactions", interactions=done)
    assert (stored.received, stored.new) == (3, 2)
    page = await ask("list_interactions", user_id="zoë/1 ?", limit=1)
    assert [(each.item_id, each.kind, each.weight, each.timestamp) for each in page.interactions] == [
        ("7", "like", None, 100)
    ]
    rest = await ask("list_interactions", user_id="zoë/1 ?", after=page.next)
    assert [(each.item_id, each.weight) for each in rest.interactions] == [("9", 4.5)]
    assert rest.next is None
    assert "7" not in {item.item_id for item in (await ask("recommend", user_id="zoë/1 ?", k=20)).items}
    assert (await ask("delete_interactions", user_id="zoë/1 ?")).deleted == 2
    with pytest.raises(UnknownUser):
        await ask("list_interactions", user_id="zoë/1 ?")
    with pytest.raises(UnknownUser):
        await ask("recommend", user_id="zoë/1 ?")


@pytest.mark.parametrize(
    ("method", "fields", "field"),
    [
        ("record_interactions", {"interactions": []}, "interactions"),
        ("record_interactions", {"interactions": [{"user_id": "z", "item_id": "7"}]}, "interactions.0.kind"),
        (
            "record_interactions",
            {"interactions": [{"user_id": "z", "item_id": "7", "kind": "rating"}]},
            "interactions.0.weight",
        ),
        ("list_interactions", {"user_id": "ada", "limit": 0}, "limit"),
        ("list_interactions", {"user_id": "a" * 201}, "user_id"),
        ("list_interactions", {"user_id": 196}, "user_id"),
        ("delete_interactions", {"user_id": "\x00"}, "user_id"),
    ],
)
async def test_interactions_are_refused_alike(ask: Ask, method: str, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await ask(method, **fields)
    assert raised.value.field == field


async def test_a_filter_is_exact_whatever_carries_it(ask: Ask) -> None:
    wanted = {"year": {"gte": 1955, "lte": 1968}, "any": [{"genres": ["horror", "drama"]}, {"year": 1959}]}
    for items in (
        (await ask("recommend", user_id="bob", filter=wanted, k=20)).items,
        (await ask("search", text="space", filter=wanted, k=20)).items,
    ):
        assert items
        for item in items:
            assert 1955 <= item.attributes["year"] <= 1968
            assert item.attributes["genres"][0] in ("horror", "drama") or item.attributes["year"] == 1959
    unwanted = await ask("search", text="space", filter={"not": {"genres": "horror"}}, k=20)
    assert unwanted.items
    assert all(item.attributes["genres"] != ["horror"] for item in unwanted.items)


@pytest.mark.parametrize("wrong", [{"colour": "red"}, {"year": {"gt": 5}}, {"any": "x"}, {"not": 5}, {"year": None}])
async def test_a_filter_that_is_none_is_refused_alike(ask: Ask, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await ask("search", text="space", filter=wrong)
    assert str(raised.value.field).startswith("filter")


async def test_bulk_requests_are_answered_too(ask: Ask) -> None:
    assert (await ask("recommend", user_id="ada", priority="bulk", k=1)).items
    with pytest.raises(InvalidRequest) as raised:
        await ask("describe", user_id="ada", priority="now")
    assert raised.value.field == "priority"


async def test_a_stream_is_an_iterator_of_events(ask: Ask) -> None:
    events = await ask("recommend_stream", user_id="ada", k=2)
    kinds = [event.event for event in events]
    assert (kinds[0], kinds[-2:]) == ("release", ["items", "done"])
    assert set(kinds[1:-2]) == {"token"}
    assert "".join(event.text for event in events[1:-2] if event.description == 0) == "Drama, 1990s"
    assert len(events[-2].items) == 2


@pytest.mark.parametrize(
    ("fields", "kind", "field"),
    [
        ({"user_id": "nobody"}, UnknownUser, "user_id"),
        ({"history": [{"item_id": "no such film"}]}, UnknownItem, "history.0.item_id"),
        ({"user_id": "ada", "k": 0}, InvalidRequest, "k"),
        ({"user_id": "ada", "k": "3"}, InvalidRequest, "k"),
        ({"user_id": "ada", "k": True}, InvalidRequest, "k"),
        ({"user_id": "ada", "explain": 1}, InvalidRequest, "explain"),
        ({"user_id": 196}, InvalidRequest, "user_id"),
        ({"user_id": "ada", "steer": "rain"}, InvalidRequest, "steer"),
        ({"user_id": "ada", "steer": ["rain", ""]}, InvalidRequest, "steer.1"),
        ({"history": [{"item_id": "5", "wieght": 1}]}, InvalidRequest, "history.0.wieght"),
        ({"user_id": "a" * 1_100_000}, RequestTooLarge, None),
        ({}, InvalidRequest, "history"),
    ],
)
async def test_errors_are_those_of_the_tree(ask: Ask, fields: dict[str, Any], kind: type, field: str | None) -> None:
    for method in ("recommend", "recommend_stream"):
        with pytest.raises(LongtailError) as raised:
            await ask(method, **fields)
        assert type(raised.value) is kind
        assert raised.value.field == field  # type: ignore[attr-defined]


async def test_an_error_names_its_request(ask: Ask) -> None:
    with pytest.raises(UnknownUser) as raised:
        await ask("recommend", user_id="nobody", request_id="app-7")
    assert raised.value.request_id == "app-7"
    assert str(raised.value) == "no interaction of user 'nobody' is stored"
    assert (await ask("recommend", user_id="ada", request_id="app-8")).request_id == "app-8"


async def test_a_model_that_is_away_is_unavailable(ask: Ask, stage: Any) -> None:
    stage.transport.down = True
    with pytest.raises(ModelUnavailable) as raised:
        await ask("encode", texts=["space"])
    assert raised.value.retry_after_s >= 1
    degraded = await ask("recommend", user_id="ada")
    assert "generate" in degraded.degraded
    with pytest.raises(ModelUnavailable):
        await ask("recommend_stream", steer=["space"])
    assert await ask("release")


async def test_a_deadline_that_passes_is_said(ask: Ask, stage: Any) -> None:
    stage.transport.delay_s = 1.0
    with pytest.raises(DeadlineExceeded):
        await ask("describe", user_id="ada", deadline_ms=50)


async def test_leaving_a_stream_ends_the_work(doors: Any, stage: Any) -> None:
    def leave(url: str) -> None:
        with Recommender(url) as longtail:
            events = longtail.recommend_stream(user_id="ada")
            assert next(events).event == "release"
            assert next(events).event == "token"
            events.close()

    stage.transport.delay_s = 0.1
    for n_left, url in enumerate((doors.http, doors.grpc), start=1):
        await asyncio.to_thread(leave, url)
        for _ in range(1000):
            if stage.transport.cancelled == n_left:
                break
            await asyncio.sleep(0.01)
        assert stage.transport.cancelled == n_left


@pytest.mark.parametrize("door", ["http", "grpc"])
async def test_a_service_that_comes_back_is_waited_for(doors: Any, stage: Any, door: str) -> None:
    stage.transport.down = True
    async with AsyncRecommender(getattr(doors, door)) as longtail:
        asking = asyncio.create_task(longtail.encode(texts=["space"]))  # type: ignore[arg-type]
        await asyncio.sleep(0.3)
        assert not asking.done()
        stage.transport.down = False
        assert len((await asking).vectors) == 1


async def test_ready_says_whether_an_inference_works(doors: Any, stage: Any) -> None:
    async with AsyncRecommender(doors.grpc) as longtail:
        assert await longtail.ready()
        stage.transport.down = True
        assert not await longtail.ready()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "grpc://127.0.0.1:1"])
async def test_nobody_there_is_unavailable(url: str) -> None:
    async with AsyncRecommender(url) as longtail:
        with pytest.raises(Unavailable, match="longtail up"):
            await longtail.search(text="a")
    with Recommender(url, max_tries=2) as blocking, pytest.raises(Unavailable, match="longtail up"):
        await asyncio.to_thread(blocking.ready)


@pytest.mark.parametrize("url", ["127.0.0.1:3000", "ftp://host", "http://", ""])
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="grpc://"):
        Recommender(url)


def test_both_clients_have_the_same_rows() -> None:
    rows = {
        name
        for name, each in vars(calls).items()
        if inspect.isfunction(each) and each.__module__ == calls.__name__ and not name.startswith("_")
    }
    assert "recommend_stream" in rows
    for name in rows:
        fields = inspect.signature(getattr(calls, name)).parameters
        for kind in (Recommender, AsyncRecommender):
            assert list(inspect.signature(getattr(kind, name)).parameters) == ["self", *fields]
            assert getattr(kind, name).__doc__


def test_a_record_is_the_json_that_it_was_made_from() -> None:
    document = {
        "request_id": "r1",
        "release": "first",
        "seed": 3,
        "degraded": ["generate"],
        "descriptions": [{"text": "a film", "source": "given"}],
        "items": [
            {
                "rank": 1,
                "item_id": "7",
                "title": "Rififi",
                "score": 1.5,
                "similarity": 0.5,
                "popularity_percentile": 12.5,
                "attributes": {"year": 1955, "genres": ["crime"], "length": None},
            }
        ],
        "timings_ms": {"generate": 1.0, "encode": 0.0, "retrieve": 0.0, "rerank": 0.0, "total": 1.0},
    }
    record = record_of(RecommendAnswer, document)
    assert document_of_record(record) == document
    assert record_of(RecommendAnswer, {**document, "of a later version": 1}) == record
    with pytest.raises(LongtailError, match="seed"):
        record_of(RecommendAnswer, {name: each for name, each in document.items() if name != "seed"})
    assert set(answers.EVENTS) == {"release", "token", "items", "done"}
