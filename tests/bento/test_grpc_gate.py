"""The gRPC door asks for keys, bounds calls in flight and writes the access log, as the HTTP door does."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from pydantic import SecretStr
from tests.waiting import until

from longtail_bento.answering import Answering
from longtail_bento.grpc_server import GrpcDoor
from longtail_bento.release_set import ReleaseSet
from longtail_bento.trials import Trials
from longtail_client import AsyncRecommender
from longtail_client.errors import Overloaded, Unauthenticated
from longtail_client.v1 import recommend_pb2 as pb
from longtail_client.v1 import recommend_pb2_grpc

KEY, NEXT_KEY = "0123456789abcdef", "fedcba9876543210"


@pytest.fixture
async def url(stage: Any) -> AsyncIterator[str]:
    """A gRPC door with two keys and one place."""
    settings = stage.settings.model_copy(
        update={"grpc_port": 0, "api_keys": SecretStr(f"{KEY},{NEXT_KEY}"), "max_in_flight": 1}
    )
    releases = ReleaseSet(settings, stage.transport)
    await releases.start()
    await until(lambda: releases.live.is_sound)
    door = GrpcDoor(settings)

    async def ready() -> bool:
        return True

    port = await door.start(
        Answering(releases, stage.interactions, Trials(settings, releases, stage.interactions)), ready
    )
    yield f"grpc://127.0.0.1:{port}"
    await door.stop(grace_s=1.0)
    await releases.stop()


@pytest.mark.parametrize("key", [KEY, NEXT_KEY])
async def test_a_good_key_is_let_in(url: str, key: str) -> None:
    async with AsyncRecommender(url, key) as longtail:
        assert (await longtail.recommend(user_id="ada")).items
        assert [event async for event in longtail.recommend_stream(user_id="ada")][-1].event == "done"


@pytest.mark.parametrize("key", [None, "wrong", KEY[:-1], f"{KEY},{NEXT_KEY}"])
async def test_any_other_is_not(url: str, key: str | None, stage: Any) -> None:
    async with AsyncRecommender(url, key) as longtail:
        for asked in (
            longtail.recommend(user_id="ada"),
            longtail.release(),
            longtail.delete_interactions(user_id="ada"),
        ):
            with pytest.raises(Unauthenticated):
                await asked
        with pytest.raises(Unauthenticated):
            await anext(longtail.recommend_stream(user_id="ada"))
    assert await stage.interactions.of_user("ada")


async def test_the_status_is_unauthenticated_before_the_message_is_read(url: str) -> None:
    async with grpc.aio.insecure_channel(url.removeprefix("grpc://")) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await recommend_pb2_grpc.RecommenderStub(channel).Recommend(pb.RecommendRequest(k=0))
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_health_needs_no_key(url: str) -> None:
    async with AsyncRecommender(url) as longtail:
        assert await longtail.ready()


async def test_one_call_too_many_is_told_to_come_back(url: str, stage: Any) -> None:
    async with AsyncRecommender(url, KEY, max_tries=1) as longtail, AsyncRecommender(url, KEY) as patient:
        await longtail.describe(user_id="bob")
        stage.transport.delay_s = 1.5
        first = asyncio.ensure_future(longtail.describe(user_id="ada"))
        await until(lambda: stage.calls_of("generator") == 2)
        with pytest.raises(Overloaded) as raised:
            await longtail.release()
        assert raised.value.retry_after_s >= 1
        assert (await patient.release()).release == "first"
        assert (await first).descriptions


async def test_each_call_writes_a_line_that_names_nobody(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "longtail.access"):
        async with AsyncRecommender(url, KEY) as longtail:
            await longtail.recommend(user_id="ada", request_id="app-7")
    (line,) = [json.loads(each.message) for each in caplog.records if each.name == "longtail.access"]
    assert (line["door"], line["method"], line["status"]) == ("grpc", "Recommend", "OK")
    assert line["path"] == "/longtail.v1.Recommender/Recommend"
    assert line["request_id"] == "app-7"
    assert line["received_bytes"] > 0
    assert "ada" not in json.dumps(line)
    assert KEY not in caplog.text
