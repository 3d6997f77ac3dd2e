"""A deletion that one process serves, seen by another over the same database, in SQLite and in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import sqlalchemy as sa
from tests.waiting import until

from longtail_bento import forgetting
from longtail_bento.answering import Answering
from longtail_bento.clock import Clock
from longtail_bento.domain import Interaction
from longtail_bento.forgetting import Forgetting
from longtail_bento.interaction_wire import DeleteRequest
from longtail_bento.interactions import FORGOTTEN_USERS, Interactions
from longtail_bento.release_set import ReleaseSet
from longtail_bento.settings import MAX_DESCRIPTION_CACHE_AGE_S, ServiceSettings
from longtail_bento.trials import Trials
from longtail_bento.wire import DescribeRequest
from longtail_client.errors import DatabaseUnavailable
from longtail_client.testing import FakeTransport

Worker = Callable[[], Awaitable[Answering]]


@pytest.fixture
async def new_worker(
    settings: ServiceSettings, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Worker]:
    """Starts what a worker process has."""
    monkeypatch.setattr(forgetting, "POLL_S", 0.05)
    async with AsyncExitStack() as ending:

        async def new() -> Answering:
            releases = ReleaseSet(settings, FakeTransport())
            await releases.start()
            ending.push_async_callback(releases.stop)
            await until(lambda: releases.live.is_sound)
            store = Interactions(database_url)
            await store.prepare()
            ending.push_async_callback(store.close)
            follower = Forgetting(releases, store)
            await follower.start()
            ending.push_async_callback(follower.stop)
            return Answering(releases, store, Trials(settings, releases, store))

        yield new


async def describe(worker: Answering, user_id: str) -> set[str]:
    answer = await worker.describe(DescribeRequest(user_id=user_id, seed=7), Clock(10_000), request_id="r")
    return {each.source for each in answer.descriptions}


def kept(worker: Answering) -> int:
    return len(worker.releases.live.cache)


async def test_every_process_forgets_a_user_whom_one_of_them_deleted(new_worker: Worker) -> None:
    one, other = await new_worker(), await new_worker()
    events = [("ada", Interaction("1", 5.0, 100)), ("bob", Interaction("20", 3.0, 50))]
    await one.interactions.record(events)
    for user in ("ada", "bob"):
        await describe(other, user)
    before = kept(other)
    await one.delete_interactions(DeleteRequest(user_id="ada"), Clock(10_000))
    await until(lambda: kept(other) < before)
    await one.interactions.record(events)
    assert await describe(other, "ada") == {"generator"}
    assert await describe(other, "bob") == {"cache"}


async def test_each_deletion_is_told_once_and_the_user_is_not_named(new_worker: Worker) -> None:
    one, other = await new_worker(), await new_worker()
    events = [("ada", Interaction("1", 5.0, 100))]
    for _ in range(2):
        await one.interactions.record(events)
        await describe(other, "ada")
        await one.delete_interactions(DeleteRequest(user_id="ada"), Clock(10_000))
        await until(lambda: kept(other) == 0)
    seen, digests = await other.interactions.forgotten_since(0)
    assert len(digests) == 1
    assert "ada" not in digests[0]
    assert await other.interactions.forgotten_since(seen) == (seen, [])


async def test_a_database_that_is_away_for_a_while_hides_no_deletion(
    new_worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await new_worker(), await new_worker()
    await one.interactions.record([("ada", Interaction("1", 5.0, 100))])
    await describe(other, "ada")
    refused = []

    async def away(seen: int) -> Any:
        refused.append(seen)
        raise DatabaseUnavailable("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(other.interactions, "forgotten_since", away)
        await one.delete_interactions(DeleteRequest(user_id="ada"), Clock(10_000))
        await until(lambda: len(refused) > 1)
        assert kept(other) > 0
    await until(lambda: kept(other) == 0)


async def test_a_deletion_is_told_for_as_long_as_a_cache_may_keep(
    new_worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = (await new_worker()).interactions
    await store.delete_user("ada")
    seen, _ = await store.forgotten_since(0)
    async with store._engine.begin() as connection:
        older = FORGOTTEN_USERS.c.forgotten_at - int(MAX_DESCRIPTION_CACHE_AGE_S) - 1
        await connection.execute(sa.update(FORGOTTEN_USERS).values(forgotten_at=older))
    await store.delete_user("bob")
    _, told = await store.forgotten_since(0)
    assert len(told) == 1
    assert await store.forgotten_since(seen) == (seen + 1, told)
