"""Storing interactions in SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from longtail_bento.domain import Interaction
from longtail_bento.interactions import Interactions


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'new' / 'folder' / 'longtail.db'}"


@pytest.fixture
async def store(url: str) -> AsyncIterator[Interactions]:
    opened = Interactions(url)
    await opened.prepare()
    yield opened
    await opened.close()


async def test_interactions_come_back_as_recorded_and_in_that_order(store: Interactions) -> None:
    given = [Interaction("b", 2.5, 300), Interaction("a", -1.0, 100), Interaction("c", 5.0, 2**40)]
    assert await store.record([("ada", each) for each in given], kind="rating") == 3
    assert await store.of_user("ada") == given
    await store.record([("ada", Interaction("d", 1.0, 50))], kind="view")
    assert await store.of_user("ada") == [*given, Interaction("d", 1.0, 50)]


async def test_a_user_nobody_knows_has_none(store: Interactions) -> None:
    assert await store.of_user("nobody") == []


async def test_two_users_are_kept_apart(store: Interactions) -> None:
    await store.record([("ada", Interaction("a")), ("bob", Interaction("b")), ("ada", Interaction("c"))], kind="view")
    assert [each.item_id for each in await store.of_user("ada")] == ["a", "c"]
    assert [each.item_id for each in await store.of_user("bob")] == ["b"]
    assert await store.of_user("AD%") == []


async def test_the_same_event_twice_is_one_row(store: Interactions) -> None:
    first, again = Interaction("a", 3.0, 10), Interaction("a", 5.0, 10)
    await store.record([("ada", first), ("ada", first)], kind="rating")
    await store.record([("ada", again)], kind="rating")
    assert await store.of_user("ada") == [first]


async def test_another_time_or_another_kind_is_another_event(store: Interactions) -> None:
    await store.record([("ada", Interaction("a", 1.0, 10)), ("ada", Interaction("a", 1.0, 11))], kind="view")
    await store.record([("ada", Interaction("a", 4.0, 10))], kind="rating")
    assert [(each.weight, each.timestamp) for each in await store.of_user("ada")] == [(1.0, 10), (1.0, 11), (4.0, 10)]


async def test_what_fails_half_way_leaves_nothing_behind(store: Interactions) -> None:
    def half() -> object:
        for index in range(5001):
            yield "ada", Interaction(f"{index}")
        raise OSError("the table ended too soon")

    with pytest.raises(OSError, match="too soon"):
        await store.record(half(), kind="view")  # type: ignore[arg-type]
    assert await store.of_user("ada") == []


async def test_more_than_one_statement_takes_are_recorded_in_order(store: Interactions) -> None:
    assert await store.record((("ada", Interaction(f"{index}")) for index in range(5003)), kind="view") == 5003
    found = await store.of_user("ada")
    assert [each.item_id for each in found] == [f"{index}" for index in range(5003)]


async def test_reopening_the_file_keeps_the_rows(store: Interactions, url: str) -> None:
    await store.record([("ada", Interaction("a", 2.0, 7))], kind="view")
    reopened = Interactions(url)
    await reopened.prepare()
    try:
        assert await reopened.of_user("ada") == [Interaction("a", 2.0, 7)]
        await reopened.record([("ada", Interaction("a", 2.0, 7))], kind="view")
        assert len(await store.of_user("ada")) == 1
    finally:
        await reopened.close()


@pytest.mark.parametrize("user_id", ["'; DROP TABLE interactions; --", "日本", "a\x00b", ""])
async def test_any_text_is_a_user(store: Interactions, user_id: str) -> None:
    await store.record([(user_id, Interaction("a"))], kind="view")
    assert await store.of_user(user_id) == [Interaction("a")]
