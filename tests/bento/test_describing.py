"""Descriptions that are kept, that equal requests share, and that are forgotten."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from longtail_bento import metrics
from longtail_bento.clock import Clock
from longtail_bento.describing import generated
from longtail_bento.description_cache import DescriptionCache, digest_of_user, taste_of
from longtail_bento.domain import Described, Description, History, Interaction
from longtail_bento.pipeline import history_of
from longtail_bento.wire import RecommendRequest, TokenEvent
from longtail_client.contract import GENERATOR
from longtail_client.errors import DeadlineExceeded


async def describe(stage: Any, listener: Any = None, *, budget_ms: int = 5000, **fields: Any) -> Described:
    request = RecommendRequest(**({"user_id": "ada"} | fields))
    clock = Clock(budget_ms)
    history = await history_of(request, stage.live, stage.interactions, clock)
    return await generated(request, history, stage.live, clock, listener)


def texts(described: Described) -> list[str]:
    return [each.text for each in described.descriptions]


def sources(described: Described) -> set[str]:
    return {each.source for each in described.descriptions}


def counted(outcome: str) -> float:
    return metrics.DESCRIPTION_CACHE.labels(outcome)._value.get()  # type: ignore[no-any-return]


async def test_a_seed_is_answered_once(stage: Any) -> None:
    before = {outcome: counted(outcome) for outcome in ("hit", "written")}
    first = await describe(stage, seed=7)
    second = await describe(stage, seed=7)
    assert stage.calls_of(GENERATOR.name) == 1
    assert (sources(first), sources(second)) == ({"generator"}, {"cache"})
    assert (texts(first), first.seed) == (texts(second), second.seed)
    assert (counted("hit") - before["hit"], counted("written") - before["written"]) == (1, 1)


@pytest.mark.parametrize(
    "other",
    [{"seed": 8}, {"steer": ["a western"]}, {"descriptions": 3}, {"user_id": "bob"}],
    ids=["seed", "steer", "descriptions", "history"],
)
async def test_whatever_decides_the_prompt_decides_what_is_kept(stage: Any, other: dict[str, Any]) -> None:
    await describe(stage, seed=7)
    assert sources(await describe(stage, **({"seed": 7} | other))) == {"generator"}


async def test_a_new_interaction_is_a_new_history(stage: Any) -> None:
    await describe(stage, seed=7)
    await stage.interactions.record([("ada", Interaction("13", 5.0, 400))])
    assert sources(await describe(stage, seed=7)) == {"generator"}


async def test_without_a_seed_every_answer_is_fresh_and_its_seed_brings_it_back(stage: Any) -> None:
    first, second = await describe(stage), await describe(stage)
    assert first.seed != second.seed
    assert sources(first) | sources(second) == {"generator"}
    assert texts(await describe(stage, seed=first.seed)) == texts(first)
    assert stage.calls_of(GENERATOR.name) == 2


async def test_what_is_kept_is_told_to_who_listens(stage: Any) -> None:
    kept = await describe(stage, seed=7)
    pieces: list[TokenEvent] = []
    await describe(stage, pieces.append, seed=7)
    assert [(piece.description, piece.text) for piece in pieces] == list(enumerate(texts(kept)))


@pytest.mark.parametrize("seed", [None, 7])
async def test_equal_requests_at_a_time_share_one_generation(stage: Any, seed: int | None) -> None:
    stage.transport.delay_s = 0.05
    pieces: list[TokenEvent] = []
    plain, streamed, bulk = await asyncio.gather(
        describe(stage, seed=seed),
        describe(stage, pieces.append, seed=seed),
        describe(stage, seed=seed, priority="bulk"),
    )
    assert stage.calls_of(GENERATOR.name) == 2, "bulk stands apart"
    assert (texts(plain), plain.seed) == (texts(streamed), streamed.seed)
    told = ["".join(piece.text for piece in pieces if piece.description == number) for number in range(4)]
    assert told == list(stage.transport.lines)
    assert sources(bulk) == {"generator"}


async def test_who_joins_late_hears_what_was_written_before(stage: Any) -> None:
    stage.transport.delay_s = 0.05
    early: list[TokenEvent] = []
    late: list[TokenEvent] = []
    begun = asyncio.Event()

    def hear(piece: TokenEvent) -> None:
        early.append(piece)
        begun.set()

    first = asyncio.create_task(describe(stage, hear, seed=7))
    await begun.wait()
    await asyncio.gather(first, describe(stage, late.append, seed=7))
    assert late == early
    assert stage.calls_of(GENERATOR.name) == 1


async def test_a_generation_survives_the_first_caller_and_ends_with_the_last(stage: Any) -> None:
    stage.transport.delay_s = 0.2
    first, second = (asyncio.create_task(describe(stage, seed=7)) for _ in range(2))
    await asyncio.sleep(0.05)
    first.cancel()
    assert texts(await second) == list(stage.transport.lines)
    assert (stage.calls_of(GENERATOR.name), stage.transport.cancelled) == (1, 0)

    callers = [asyncio.create_task(describe(stage, seed=8)) for _ in range(2)]
    await asyncio.sleep(0.1)
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    await asyncio.sleep(0)
    assert stage.transport.cancelled == 1


async def test_anothers_deadline_is_not_mine(stage: Any) -> None:
    await describe(stage)
    stage.transport.delay_s = 0.2
    hasty = asyncio.create_task(describe(stage, seed=7, budget_ms=100))
    await asyncio.sleep(0.02)
    patient = asyncio.create_task(describe(stage, seed=7, budget_ms=5000))
    with pytest.raises(DeadlineExceeded):
        await hasty
    assert texts(await patient) == list(stage.transport.lines)


@pytest.mark.parametrize("again", ["Drama, 1990s, France, Italy, Spain", "Western, 1960s, Mexico"])
async def test_what_is_written_anew_after_anothers_deadline_is_heard_once(
    stage: Any, again: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = "Drama, 1990s, France, Italy, Spain"
    stage.transport.lines = (first,)
    unbounded = stage.transport.stream

    async def ended_in_time(*args: Any, timeout_s: float, **more: Any) -> AsyncIterator[Any]:
        """A stream that Triton ends when its time is up, between two pieces."""
        ends_at_s = time.monotonic() + timeout_s
        async for piece in unbounded(*args, timeout_s=timeout_s, **more):
            if time.monotonic() + stage.transport.delay_s > ends_at_s:
                stage.transport.lines = (again,)
                raise DeadlineExceeded("the time is up")
            yield piece

    monkeypatch.setattr(stage.transport, "stream", ended_in_time)
    await describe(stage)
    stage.transport.delay_s = 0.3
    hasty_heard: list[TokenEvent] = []
    patient_heard: list[TokenEvent] = []
    heard = asyncio.Event()

    def hear(piece: TokenEvent) -> None:
        hasty_heard.append(piece)
        heard.set()

    hasty = asyncio.create_task(describe(stage, hear, seed=7, budget_ms=800, descriptions=1))
    await heard.wait()
    patient = asyncio.create_task(describe(stage, patient_heard.append, seed=7, budget_ms=30_000, descriptions=1))
    with pytest.raises(DeadlineExceeded):
        await hasty
    assert texts(await patient) == [again]
    told = "".join(piece.text for piece in patient_heard)
    begun = "".join(piece.text for piece in hasty_heard)
    assert first.startswith(begun)
    assert len(begun) < len(first)
    assert told == (again if again == first else begun), "of a text that takes another course, no more is told"


async def test_few_bulk_generations_run_at_a_time_and_nobody_waits_behind_them(stage: Any) -> None:
    stage.transport.delay_s = 0.3
    await stage.live.generator(timeout_s=1.0)
    stage.transport.calls.clear()
    bulk = [asyncio.create_task(describe(stage, seed=seed, priority="bulk")) for seed in range(5)]
    await asyncio.sleep(0.1)
    assert stage.calls_of(GENERATOR.name) == stage.settings.bulk_generations == 2
    await describe(stage, seed=9)
    assert not all(call.done() for call in bulk)
    assert all(texts(each) for each in await asyncio.gather(*bulk))


async def test_a_forgotten_user_leaves_nothing(stage: Any) -> None:
    await describe(stage, seed=7)
    await describe(stage, user_id="bob", seed=7)
    stage.live.cache.forget([digest_of_user("ada")])
    assert sources(await describe(stage, seed=7)) == {"generator"}
    assert sources(await describe(stage, user_id="bob", seed=7)) == {"cache"}


@pytest.mark.parametrize("at_once", [False, True], ids=["kept", "joined"])
async def test_what_another_user_had_written_is_forgotten_with_whoever_was_answered_with_it(
    stage: Any, at_once: bool
) -> None:
    history = [Interaction("1", 5.0, 100), Interaction("5", 4.0, 200), Interaction("9", 5.0, 300)]  # ada's
    await stage.interactions.record([("cleo", each) for each in history])
    stage.transport.delay_s = 0.05 if at_once else 0.0
    asked = [describe(stage, seed=7), describe(stage, user_id="cleo", seed=7)]
    if at_once:
        await asyncio.gather(*asked)
    else:
        for each in asked:
            await each
    assert stage.calls_of(GENERATOR.name) == 1
    stage.live.cache.forget([digest_of_user("cleo")])
    assert len(stage.live.cache) == 0


async def test_what_is_being_written_for_a_forgotten_user_is_not_kept(stage: Any) -> None:
    stage.transport.delay_s = 0.05
    writing = asyncio.create_task(describe(stage, seed=7))
    await asyncio.sleep(0.02)
    stage.live.cache.forget([digest_of_user("ada")])
    assert texts(await writing)
    assert len(stage.live.cache) == 0
    await describe(stage, seed=7)
    assert len(stage.live.cache) == 2, "forgotten is not refused"


def described(text: str, seed: int = 1) -> Described:
    return Described((Description(text, "generator"), Description(text + "!", "generator")), seed)


def test_the_least_recently_used_is_forgotten_first() -> None:
    cache = DescriptionCache(capacity=4, max_age_s=60)
    cache.keep("a", 2, described("a"))
    cache.keep("b", 2, described("b"))
    assert cache.of_seed("a", 2, 1) is not None
    assert cache.latest("a", 1) == Described((Description("a", "cache"),), 1)
    cache.keep("c", 2, described("c"))
    assert len(cache) == 4
    assert cache.latest("b", 2) is None
    assert cache.of_seed("a", 2, 1) is not None


def test_nothing_is_kept_where_there_is_no_room_and_nothing_longer_than_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nothing = DescriptionCache(capacity=0, max_age_s=60)
    nothing.keep("a", 2, described("a"))
    assert len(nothing) == 0
    now_s = 100.0
    monkeypatch.setattr("longtail_bento.description_cache.time.monotonic", lambda: now_s)
    cache = DescriptionCache(capacity=4, max_age_s=60)
    cache.keep("a", 2, described("a"))
    now_s += 60
    assert cache.latest("a", 2) is not None
    now_s += 1
    assert cache.latest("a", 2) is None
    assert cache.of_seed("a", 2, 1) is None


def test_a_taste_is_a_history_and_wishes_and_no_two_are_alike() -> None:
    def history(rows: list[int], preferences: list[float]) -> History:
        array = np.array(rows, dtype=np.int64)
        return History(array, np.array(preferences, dtype=np.float32), array)

    tastes = [
        taste_of(history([1, 2], [1, 1]), ()),
        taste_of(history([2, 1], [1, 1]), ()),
        taste_of(history([1, 2], [1, 0.5]), ()),
        taste_of(history([1, 2], [1, 1]), ("ab",)),
        taste_of(history([1, 2], [1, 1]), ("a", "b")),
        taste_of(history([], []), ("ab",)),
    ]
    assert len(set(tastes)) == len(tastes)
    assert taste_of(history([1, 2], [1, 1]), ()) == tastes[0]
