"""A database that answers too slowly, in SQLite and in PostgreSQL: both doors say so in time, and go on afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from tests.databases import sync_engine
from tests.waiting import until

from longtail_bento.answering import Answering
from longtail_bento.clock import Clock
from longtail_bento.domain import Interaction
from longtail_bento.interactions import Interactions
from longtail_bento.settings import ServiceSettings
from longtail_client.errors import DeadlineExceeded
from longtail_client.recommender import AsyncRecommender

DEADLINE_MS = 300
LATE_BY_MS = 50
EVENT = {"user_id": "ada", "item_id": "7", "kind": "like", "timestamp": 1000}


@pytest.fixture
def settings(settings: ServiceSettings) -> ServiceSettings:
    return settings.model_copy(update={"default_deadline_ms": DEADLINE_MS})


@pytest.fixture
async def interactions(database_url: str) -> AsyncIterator[Interactions]:
    store = Interactions(database_url)
    await store.prepare()
    await store.record([("ada", Interaction("1", 5.0, 100))])
    yield store
    await store.close()


@contextmanager
def locked(database_url: str) -> Iterator[None]:
    """Have somebody else hold the table: writers wait, and with PostgreSQL readers too."""
    engine = sync_engine(database_url)
    is_sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        hold = "BEGIN IMMEDIATE" if is_sqlite else "LOCK TABLE interactions IN ACCESS EXCLUSIVE MODE"
        connection.execute(sa.text(hold))
        yield
        connection.rollback()


@pytest.mark.parametrize("door", ["http", "grpc"])
async def test_a_slow_database_is_not_waited_for(doors: Any, database_url: str, door: str) -> None:
    # Over HTTP the service's own deadline holds; over gRPC that of the call.
    timeout_s = DEADLINE_MS / 1000 if door == "grpc" else 30.0
    async with AsyncRecommender(getattr(doors, door), timeout_s=timeout_s) as longtail:
        assert len((await longtail.list_interactions(user_id="ada")).interactions) == 1
        calls = [
            lambda: longtail.record_interactions(interactions=[EVENT]),
            lambda: longtail.delete_interactions(user_id="ada"),
        ]
        if database_url.startswith("postgresql"):
            calls.append(lambda: longtail.list_interactions(user_id="ada"))
        with locked(database_url):
            for call in calls:
                begun_s = time.monotonic()
                with pytest.raises(DeadlineExceeded) as late:
                    await call()
                assert door == "grpc" or "deadline_ms" not in str(late.value), "these calls can name none"
                assert (time.monotonic() - begun_s) * 1000 < DEADLINE_MS + 3 * LATE_BY_MS
        assert (await longtail.record_interactions(interactions=[EVENT])).new == 1
        assert len((await longtail.list_interactions(user_id="ada")).interactions) == 2


async def test_work_that_takes_long_to_clean_up_is_not_waited_for() -> None:
    cleaned = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1.0)
            cleaned.set()

    begun_s = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="deadline_ms"):
        await Clock(100).within(stubborn())
    assert (time.monotonic() - begun_s) * 1000 < 100 + 3 * LATE_BY_MS
    assert not cleaned.is_set()
    await until(cleaned.is_set)


async def test_work_that_fails_fails_as_it_is(answering: Answering) -> None:
    async def failing() -> None:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        await Clock(100).within(failing())
