"""What a Python program may say that HTTP and gRPC carry in different ways: it comes to the same."""

from __future__ import annotations

from typing import Any

import pytest

from longtail_bento.grpc_server import GrpcDoor
from longtail_client import AsyncRecommender, calls
from longtail_client.errors import InvalidRequest


@pytest.fixture(params=["http", "grpc"])
async def longtail(request: pytest.FixtureRequest, doors: Any) -> Any:
    async with AsyncRecommender(getattr(doors, request.param), max_tries=1) as client:
        yield client


@pytest.mark.parametrize("user_id", [".", "..", "...", ".a", "a/../b", "%2E%2E"])
async def test_a_user_may_have_any_name(longtail: Any, user_id: str) -> None:
    did = {"user_id": user_id, "item_id": "5", "kind": "like", "timestamp": 5}
    await longtail.record_interactions(interactions=[did])
    assert len((await longtail.list_interactions(user_id=user_id)).interactions) == 1
    assert (await longtail.delete_interactions(user_id=user_id)).deleted == 1


async def test_a_page_is_as_long_as_it_may_be(longtail: Any) -> None:
    long = "🎬" * 195
    did = [
        {"user_id": "u", "item_id": f"{long}{number:05}", "kind": "view", "timestamp": number} for number in range(6000)
    ]
    for part in (did[:2000], did[2000:4000], did[4000:]):
        await longtail.record_interactions(interactions=part)
    page = await longtail.list_interactions(user_id="u", limit=10_000)
    assert [each.item_id for each in page.interactions] == [each["item_id"] for each in did]


async def test_an_empty_filter_passes_everything(longtail: Any) -> None:
    asked: dict[str, Any] = {"user_id": "ada", "given_descriptions": ["horror about space"]}
    assert (await longtail.recommend(**asked, filter={})).items == (await longtail.recommend(**asked)).items
    with pytest.raises(InvalidRequest, match=r"filter\.not"):
        await longtail.recommend(**asked, filter={"not": {}})


def nested(depth: int, *, inside: str = "not") -> dict[str, Any]:
    made: dict[str, Any] = {"year": 1990}
    for _ in range(depth):
        made = {inside: made if inside == "not" else [made]}
    return made


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"k": 2.0}, "k"),
        ({"k": float("nan")}, "k"),
        ({"k": True}, "k"),
        ({"k": "2"}, "k"),
        ({"seed": 7.0}, "seed"),
        ({"deadline_ms": 900.0}, "deadline_ms"),
        ({"user_id": None, "history": [{"item_id": "5"}, {"item_id": "5", "timestamp": 5.0}]}, "history.1.timestamp"),
        ({"filter": nested(5)}, "filter.not.not.not.not.not"),
        ({"filter": nested(19)}, "filter.not.not.not.not.not"),
        ({"filter": nested(20)}, "filter"),
        ({"filter": nested(3000)}, "filter"),
        ({"filter": nested(9, inside="any")}, "filter.any.0.any.0.any.0.any.0.any.0"),
        ({"filter": nested(3000, inside="any")}, "filter"),
        ({"steer": [nested(3000)]}, "steer"),
    ],
)
async def test_both_doors_refuse_the_same_field(longtail: Any, asked: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await longtail.recommend(**{"user_id": "ada"} | asked)
    assert refused.value.field == field


async def test_both_doors_refuse_a_page_of_half_an_interaction(longtail: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await longtail.list_interactions(user_id="ada", limit=2.0)
    assert refused.value.field == "limit"


@pytest.mark.parametrize("request_id", ["", "a\nb", "é", "x" * 129])
def test_a_request_id_that_cannot_travel_is_refused_before_it_does(request_id: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        calls.release(request_id=request_id)
    assert refused.value.field == "request_id"


def test_every_try_says_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 77.9)
    view: calls.Interaction = {"user_id": "u", "item_id": "5", "kind": "view"}
    call = calls.record_interactions(interactions=[view, {**view, "timestamp": 0}])
    assert [each["timestamp"] for each in call.document["interactions"]] == [77, 0]
    assert "timestamp" not in view, "the caller's own is left as it is"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_grpc_listens_on_either_loopback(stage: Any, host: str) -> None:
    door = GrpcDoor(stage.settings.model_copy(update={"grpc_port": 0, "host": host}))

    async def ready() -> bool:
        return True

    try:
        assert await door.start(stage.live, ready) > 0
    finally:
        await door.stop(grace_s=0.0)
