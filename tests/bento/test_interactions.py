"""Storing interactions, in SQLite and in a real PostgreSQL."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.postgres_server import PostgresServer
from tests.waiting import until

from longtail_bento.domain import Interaction
from longtail_bento.interactions import Interactions
from longtail_client.errors import DatabaseUnavailable, InvalidRequest


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Interactions]:
    opened = Interactions(database_url)
    await opened.prepare()
    yield opened
    await opened.close()


async def test_interactions_come_back_as_recorded_and_in_that_order(store: Interactions) -> None:
    given = [
        Interaction("b", 2.5, 300),
        Interaction("a", -1.0, 100, "dislike"),
        Interaction("c", 5.0, 2**40, "purchase"),
        Interaction("a", 1.0, 100, "view"),
    ]
    assert await store.record([("ada", each) for each in given]) == 4
    assert await store.of_user("ada") == given
    await store.record([("ada", Interaction("d", 1.0, 50))])
    assert await store.of_user("ada") == [*given, Interaction("d", 1.0, 50)]


async def test_a_user_nobody_knows_has_none(store: Interactions) -> None:
    assert await store.of_user("nobody") == []
    assert await store.delete_user("nobody") == 0


async def test_two_users_are_kept_apart(store: Interactions) -> None:
    await store.record([("ada", Interaction("a")), ("bob", Interaction("b")), ("ada", Interaction("c"))])
    assert [each.item_id for each in await store.of_user("ada")] == ["a", "c"]
    assert [each.item_id for each in await store.of_user("bob")] == ["b"]
    assert await store.of_user("AD%") == []


async def test_the_same_event_twice_is_one_row(store: Interactions) -> None:
    first, again = Interaction("a", 3.0, 10), Interaction("a", 5.0, 10)
    assert await store.record([("ada", first), ("ada", first)]) == 1
    assert await store.record([("ada", again), ("ada", Interaction("b", 1.0, 10))]) == 1
    assert await store.of_user("ada") == [first, Interaction("b", 1.0, 10)]


async def test_another_time_kind_or_user_is_another_event(store: Interactions) -> None:
    events = [
        Interaction("a", 1.0, 10, "view"),
        Interaction("a", 1.0, 11, "view"),
        Interaction("a", 4.0, 10, "rating"),
    ]
    assert await store.record([("ada", each) for each in events]) == 3
    assert await store.record([("bob", events[0])]) == 1
    assert await store.of_user("ada") == events


async def test_what_fails_half_way_leaves_nothing_behind(store: Interactions) -> None:
    def half() -> Iterator[tuple[str, Interaction]]:
        for index in range(5001):
            yield "ada", Interaction(f"{index}")
        raise OSError("the table ended too soon")

    with pytest.raises(OSError, match="too soon"):
        await store.record(half())
    assert await store.of_user("ada") == []


async def test_more_than_one_statement_takes_are_recorded_in_order(store: Interactions) -> None:
    assert await store.record(("ada", Interaction(f"{index}")) for index in range(5003)) == 5003
    found = await store.of_user("ada")
    assert [each.item_id for each in found] == [f"{index}" for index in range(5003)]
    assert await store.record(("ada", Interaction(f"{index}")) for index in range(4999, 5005)) == 2


async def test_reopening_the_database_keeps_the_rows(store: Interactions, database_url: str) -> None:
    await store.record([("ada", Interaction("a", 2.0, 7))])
    reopened = Interactions(database_url)
    await reopened.prepare()
    try:
        assert await reopened.of_user("ada") == [Interaction("a", 2.0, 7)]
        assert await reopened.record([("ada", Interaction("a", 2.0, 7))]) == 0
        assert len(await store.of_user("ada")) == 1
    finally:
        await reopened.close()


async def test_pages_make_up_the_whole(store: Interactions) -> None:
    events = [Interaction(f"{index}", 1.0, index, "view") for index in range(7)]
    for event in events:  # between those of another user
        await store.record([("ada", event), ("bob", event)])
    pages, after = [], 0
    while True:
        page = await store.page_of_user("ada", after=after, limit=3)
        pages.append(page.interactions)
        if page.next is None:
            break
        after = page.next
    assert pages == [events[:3], events[3:6], events[6:]]
    assert (await store.page_of_user("ada", limit=7)).next is None
    assert (await store.page_of_user("ada", after=10**15)).interactions == []


async def test_what_is_recorded_later_comes_later(store: Interactions, database_url: str) -> None:
    """A row that appeared before others that are known already would be in no page of a reader who is behind it."""
    await store.record([("ada", Interaction("first"))])
    held, go_on = threading.Event(), threading.Event()

    def slowly() -> Iterator[tuple[str, Interaction]]:
        yield from (("ada", Interaction(f"slow-{index}")) for index in range(5000))
        held.set()  # the first statement is done, and its ids are taken
        go_on.wait()
        yield "ada", Interaction("slow-last")

    async def record_slowly() -> None:
        other = Interactions(database_url)
        await other.record(slowly())
        await other.close()

    slow = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(record_slowly())))
    await until(held.is_set)
    quick = asyncio.create_task(store.record([("ada", Interaction("quick")), ("bob", Interaction("quick"))]))
    await asyncio.wait({quick}, timeout=0.5)
    seen = await store.of_user("ada")
    go_on.set()
    await asyncio.gather(slow, quick)
    everything = await store.of_user("ada")
    assert len(everything) == 5003
    assert everything[: len(seen)] == seen


async def test_a_deleted_user_is_gone_and_nobody_else(store: Interactions) -> None:
    await store.record([(user, Interaction(item)) for user in ("ada", "bob") for item in ("a", "b")])
    assert await store.delete_user("ada") == 2
    assert await store.of_user("ada") == []
    assert len(await store.of_user("bob")) == 2
    assert await store.delete_user("ada") == 0
    assert await store.record([("ada", Interaction("a"))]) == 1


@pytest.mark.parametrize("user_id", ["'; DROP TABLE interactions; --", "日本", "🎬" * 200, "a/b", ""])
async def test_any_text_is_a_user(store: Interactions, user_id: str) -> None:
    await store.record([(user_id, Interaction("a"))])
    assert await store.of_user(user_id) == [Interaction("a")]


async def test_what_postgresql_cannot_store_is_refused_by_both(store: Interactions) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await store.record([("ada", Interaction("a")), ("ada", Interaction("b\0"))])
    assert refused.value.field == "item_id"
    with pytest.raises(InvalidRequest):
        await store.record([("a\0b", Interaction("a"))])
    assert await store.of_user("ada") == []
    assert await store.of_user("a\0b") == []
    assert await store.delete_user("a\0b") == 0


async def test_many_writers_at_once_lose_nothing(store: Interactions) -> None:
    batches = [[(f"user-{n % 3}", Interaction(f"{n}-{index}")) for index in range(20)] for n in range(30)]
    counts = await asyncio.gather(*(store.record(batch) for batch in (*batches, *batches)))
    assert sum(counts) == 600
    stored = [await store.of_user(f"user-{n}") for n in range(3)]
    assert [len(each) for each in stored] == [200, 200, 200]


async def test_a_database_that_is_away_is_said_to_be_and_comes_back(postgres: PostgresServer) -> None:
    store = Interactions(postgres.new_database())
    await store.prepare()
    await store.record([("ada", Interaction("a"))])
    postgres.stop()
    try:
        with pytest.raises(DatabaseUnavailable, match="does not answer"):
            await store.of_user("ada")
        with pytest.raises(DatabaseUnavailable):
            await store.record([("ada", Interaction("b"))])
        with pytest.raises(DatabaseUnavailable):
            await store.delete_user("ada")
    finally:
        postgres.start()
    assert await store.of_user("ada") == [Interaction("a")]
    await store.close()


async def test_a_commit_of_sqlite_is_on_the_disk(store: Interactions, database_url: str) -> None:
    if database_url.startswith("sqlite"):
        async with store._engine.connect() as connection:
            pragmas = [(await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one() for name in PRAGMAS]
        assert pragmas == list(PRAGMAS.values())
    else:
        async with store._engine.connect() as connection:
            shown = (await connection.exec_driver_sql("SHOW synchronous_commit")).scalar_one()
        assert shown == "on"


PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 10_000}
