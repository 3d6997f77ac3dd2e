"""One deadline and what is done without when it comes near: every rung, with every way a model can fail."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from longtail_bento import pipeline
from longtail_bento.clock import Clock
from longtail_bento.wire import DescribeRequest, RecommendRequest, RecommendResponse, SearchRequest
from longtail_client.contract import GENERATOR, TEXT_ENCODER
from longtail_client.errors import ContractMismatch, DeadlineExceeded, LongtailError, ModelUnavailable

LATE_BY_MS = 50
FAULTS = ("slow", "silent", "broken", "absent")
DEADLINE_MS = 400


async def recommend(stage: Any, **fields: Any) -> RecommendResponse:
    """Recommend, and see that the answer, or the refusal, came in time."""
    request = RecommendRequest(**({"user_id": "ada", "deadline_ms": DEADLINE_MS} | fields))
    assert request.deadline_ms is not None
    clock, begun_s = Clock(request.deadline_ms), time.monotonic()
    try:
        return await pipeline.recommend(request, stage.live, stage.interactions, clock, request_id="r")
    finally:
        assert (time.monotonic() - begun_s) * 1000 < request.deadline_ms + 3 * LATE_BY_MS


def told(answer: RecommendResponse) -> list[tuple[str, str]]:
    return [(each.text, each.source) for each in answer.descriptions]


@pytest.mark.parametrize("fault", FAULTS)
async def test_first_rung_descriptions_of_another_day(stage: Any, fault: Any) -> None:
    before = await recommend(stage, seed=1)
    stage.transport.faults[GENERATOR.name] = fault
    answer = await recommend(stage, seed=2)
    assert told(answer) == [(line, "cache") for line in stage.transport.lines]
    assert answer.degraded == ["generate"]
    assert answer.seed == 1, "the seed is that of the descriptions"
    assert [item.item_id for item in answer.items] == [item.item_id for item in before.items]


@pytest.mark.parametrize("fault", FAULTS)
async def test_second_rung_kinds_of_what_was_liked(stage: Any, fault: Any) -> None:
    stage.transport.faults[GENERATOR.name] = fault
    history = [{"item_id": "6", "weight": 5.0}, {"item_id": "7", "weight": 1.0}, {"item_id": "10", "weight": 5.0}]
    answer = await recommend(stage, user_id=None, history=history, explain=True)
    assert told(answer) == [("horror", "attributes"), ("comedy", "attributes")]
    assert answer.degraded == ["generate"]
    assert {item.explanation.found_by for item in answer.items if item.explanation} == {"description"}


@pytest.mark.parametrize("fault", FAULTS)
async def test_last_rung_the_interests_alone(stage: Any, fault: Any) -> None:
    stage.transport.faults |= {GENERATOR.name: fault, TEXT_ENCODER.name: fault}
    stage.live._encoder = stage.live._generator = None
    answer = await recommend(stage, explain=True)
    assert answer.degraded == ["generate", "encode"]
    assert len(answer.items) == 10
    assert {item.explanation.found_by for item in answer.items if item.explanation} == {"interest"}


@pytest.mark.parametrize("fault", FAULTS)
async def test_without_the_encoder_the_interests_answer(stage: Any, fault: Any) -> None:
    await (await stage.live.encoder(timeout_s=1.0)).encode(["a"])
    stage.transport.faults[TEXT_ENCODER.name] = fault
    answer = await recommend(stage, explain=True)
    assert (answer.degraded, len(answer.items)) == (["encode"], 10)
    assert {item.explanation.found_by for item in answer.items if item.explanation} == {"interest"}


REFUSED = {"slow": DeadlineExceeded, "silent": DeadlineExceeded, "broken": ContractMismatch, "absent": ModelUnavailable}


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_truly_needs_a_model_is_refused_in_time(stage: Any, fault: Any) -> None:
    stage.transport.faults |= {GENERATOR.name: fault, TEXT_ENCODER.name: fault}
    refused: type[LongtailError] = REFUSED[fault]
    with pytest.raises(refused):
        await recommend(stage, user_id=None, steer=["a western"])
    for call in (
        lambda: pipeline.describe(
            DescribeRequest(user_id="ada"), stage.live, stage.interactions, Clock(100), request_id="r"
        ),
        lambda: pipeline.search(SearchRequest(text="a western"), stage.live, Clock(100), request_id="r"),
    ):
        begun_s = time.monotonic()
        with pytest.raises(refused):
            await call()
        assert (time.monotonic() - begun_s) * 1000 < 100 + 3 * LATE_BY_MS


async def test_what_was_written_for_other_wishes_is_no_substitute(stage: Any) -> None:
    await recommend(stage, steer=["a western"])
    stage.transport.faults[GENERATOR.name] = "absent"
    answer = await recommend(stage, steer=["no western"])
    assert {each.source for each in answer.descriptions} == {"attributes"}


async def test_wishes_steer_without_the_generator(stage: Any) -> None:
    stage.transport.faults[GENERATOR.name] = "absent"
    place = {}
    for steer in ([], ["horror about space and j"], ["no drama about space"]):
        answer = await recommend(stage, user_id="bob", steer=steer, k=16)
        assert answer.degraded == ["generate"]
        place[" ".join(steer)] = [item.item_id for item in answer.items]
    assert place["horror about space and j"].index("10") < place[""].index("10")
    dramas = ("8", "12", "16")
    assert sum(map(place["no drama about space"].index, dramas)) > sum(map(place[""].index, dramas))


async def test_triton_is_told_what_is_left(stage: Any) -> None:
    await recommend(stage, deadline_ms=1000, priority="bulk")
    limits = {model: (timeout_s, priority.name) for model, timeout_s, priority in stage.transport.limits}
    assert 0.5 < limits[GENERATOR.name][0] <= 0.7
    assert 0.6 < limits[TEXT_ENCODER.name][0] <= 0.8
    assert {priority for _, priority in limits.values()} == {"BULK"}


async def test_a_long_deadline_is_the_models_time_too(stage: Any) -> None:
    await recommend(stage, deadline_ms=60_000)
    limits = {model: timeout_s for model, timeout_s, _ in stage.transport.limits}
    assert 30.0 < limits[GENERATOR.name] <= 42.0
    assert 30.0 < limits[TEXT_ENCODER.name] <= 48.0


async def test_a_database_that_hangs_is_not_waited_for(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(_: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(stage.interactions, "of_user", hang)
    with pytest.raises(DeadlineExceeded):
        await recommend(stage)


async def test_a_search_that_is_too_slow_runs_out_of_time(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.live.retriever, "search", lambda *_: time.sleep(1.0))
    with pytest.raises(DeadlineExceeded):
        await recommend(stage, descriptions=0)


async def test_a_millisecond_is_too_little_and_is_said_at_once(stage: Any) -> None:
    stage.transport.delay_s = 0.05
    with pytest.raises(DeadlineExceeded):
        await recommend(stage, deadline_ms=1)
    assert stage.calls_of(TEXT_ENCODER.name) == 0
