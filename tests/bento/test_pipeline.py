"""The whole flow over a 20-film catalogue: full answers, and answers that do without a model."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from longtail_bento import pipeline
from longtail_bento.clock import Clock
from longtail_bento.flow.interests import find_interests
from longtail_bento.wire import (
    DescribeRequest,
    HistoryItem,
    RecommendRequest,
    RecommendResponse,
    SearchRequest,
    SearchResponse,
)
from longtail_client.contract import GENERATOR, TEXT_ENCODER
from longtail_client.errors import (
    DeadlineExceeded,
    InvalidRequest,
    ModelUnavailable,
    NothingToRecommend,
    UnknownItem,
    UnknownUser,
)

HEAD = {"1", "2", "3", "4"}
TAIL = {str(number) for number in range(5, 21)}


async def recommend(stage: Any, *, budget_ms: int = 5000, **fields: Any) -> RecommendResponse:
    request = RecommendRequest(**fields)
    clock = Clock(request.deadline_ms or budget_ms)
    return await pipeline.recommend(request, stage.live, stage.interactions, clock, request_id="r-1")


async def search(stage: Any, **fields: Any) -> SearchResponse:
    return await pipeline.search(SearchRequest(**fields), stage.live, Clock(5000), request_id="r-2")


def ids(answer: RecommendResponse | SearchResponse) -> list[str]:
    return [item.item_id for item in answer.items]


async def test_an_answer_carries_everything_that_made_it(stage: Any) -> None:
    answer = await recommend(stage, user_id="ada", k=5, seed=7)
    assert (answer.request_id, answer.release, answer.seed, answer.degraded) == ("r-1", "first", 7, [])
    assert [(each.text, each.source) for each in answer.descriptions] == [
        (line, "generator") for line in stage.transport.lines
    ]
    assert [item.rank for item in answer.items] == [1, 2, 3, 4, 5]
    timings = answer.timings_ms
    assert timings.total >= timings.generate + timings.encode + timings.retrieve + timings.rerank - 0.1
    assert timings.generate > 0
    assert timings.retrieve > 0


async def test_items_are_served_as_the_catalogue_has_them(stage: Any) -> None:
    for item in (await recommend(stage, user_id="ada", k=20)).items:
        number = int(item.item_id)
        assert item.title == f"film number {number}"
        assert item.attributes["year"] == 1950 + number
        assert item.attributes["genres"] == [("drama", "western", "horror", "comedy")[number % 4]]
        assert item.popularity_percentile == 100 * (20 - number) / 20
        assert item.explanation is None


async def test_every_item_is_of_the_tail_and_none_is_known_to_the_user(stage: Any) -> None:
    answer = await recommend(stage, user_id="ada", k=100)
    assert set(ids(answer)) == TAIL - {"5", "9"}
    assert len(answer.items) == 14


async def test_k_items_come_once_each(stage: Any) -> None:
    for k in (1, 3, 10):
        answer = await recommend(stage, user_id="ada", k=k)
        assert len(set(ids(answer))) == len(answer.items) == k


async def test_the_head_may_be_asked_for_but_never_what_was_seen(stage: Any) -> None:
    answer = await recommend(stage, user_id="ada", k=100, tail_only=False)
    assert set(ids(answer)) == (TAIL | HEAD) - {"1", "5", "9"}


async def test_a_history_in_the_request_answers_as_the_stored_one_does(stage: Any) -> None:
    history = [HistoryItem(item_id=item, weight=weight) for item, weight in (("1", 5.0), ("5", 4.0), ("9", 5.0))]
    stored = await recommend(stage, user_id="ada", seed=1)
    given = await recommend(stage, history=history, seed=1)
    assert [(item.item_id, item.score) for item in given.items] == [(item.item_id, item.score) for item in stored.items]


async def test_similarities_are_cosines_to_what_found_the_item(stage: Any) -> None:
    answer = await recommend(stage, user_id="ada", k=10, explain=True, steer=["western about war"])
    encoder = await stage.live.encoder(timeout_s=1.0)
    catalogue = stage.live.catalogue
    found_by = set()
    for item in answer.items:
        assert item.explanation is not None
        assert item.explanation.text in item.explanation.sentence
        found_by.add(item.explanation.found_by)
        (vector,) = await encoder.encode([item.explanation.text])
        assert item.similarity == pytest.approx(
            float(catalogue.vectors[catalogue.row_of[item.item_id]] @ vector), abs=1e-5
        )
        assert item.explanation.cosine == item.similarity
    assert found_by <= {"description", "steer"}


async def test_given_descriptions_replace_the_generator(stage: Any) -> None:
    answer = await recommend(stage, user_id="ada", given_descriptions=["quiet horror", "loud comedy"])
    assert [(each.text, each.source) for each in answer.descriptions] == [
        ("quiet horror", "given"),
        ("loud comedy", "given"),
    ]
    assert stage.calls_of(GENERATOR.name) == 0
    assert stage.calls_of(TEXT_ENCODER.name) == 1


async def test_the_same_descriptions_and_history_give_the_same_items_and_scores(stage: Any) -> None:
    first = await recommend(stage, user_id="ada", seed=1)
    texts = [each.text for each in first.descriptions]
    replays = [await recommend(stage, user_id="ada", given_descriptions=texts) for _ in range(2)]
    for replay in replays:
        assert ids(replay) == ids(first)
        np.testing.assert_allclose(
            [item.score for item in replay.items], [item.score for item in first.items], atol=1e-4
        )


async def test_the_seed_given_is_the_seed_reported_and_one_is_made_up_otherwise(stage: Any) -> None:
    assert (await recommend(stage, user_id="ada", seed=2**53)).seed == 2**53
    made_up = {(await recommend(stage, user_id="ada", k=1)).seed for _ in range(4)}
    assert len(made_up) > 1


async def test_no_descriptions_asked_for_are_not_missed(stage: Any) -> None:
    answer = await recommend(stage, user_id="ada", descriptions=0)
    assert answer.degraded == []
    assert answer.descriptions == []
    assert stage.transport.calls == []
    assert len(answer.items) == 10


async def test_fewer_descriptions_are_asked_of_the_generator(stage: Any) -> None:
    answer = await recommend(stage, user_id="ada", descriptions=2)
    assert [each.text for each in answer.descriptions] == list(stage.transport.lines[:2])


async def test_a_generator_that_writes_nothing_useful_is_said_to_be_missing(stage: Any) -> None:
    stage.transport.lines = ("", "1.", stage.live.catalogue.liked_phrase(4), "...")
    answer = await recommend(stage, user_id="ada")
    assert [(each.text, each.source) for each in answer.descriptions] == [("western", "attributes")]
    assert answer.degraded == ["generate"]
    assert len(answer.items) == 10


@pytest.mark.parametrize("echo", ["film number 5", "Film Number 9."])
async def test_a_title_of_the_history_is_no_description(stage: Any, echo: str) -> None:
    stage.transport.lines = (echo, "a quiet drama")
    answer = await recommend(stage, user_id="ada", descriptions=2)
    assert [each.text for each in answer.descriptions] == ["a quiet drama"]


async def test_a_wish_brings_what_it_describes_to_the_front(stage: Any) -> None:
    for number, wish in ((10, "horror about space and j"), (13, "western about space and m")):
        answer = await recommend(stage, user_id="bob", descriptions=0, steer=[wish], explain=True)
        assert ids(answer)[0] == str(number)
        assert answer.items[0].similarity == pytest.approx(1.0, abs=1e-5)
        assert answer.items[0].explanation is not None
        assert answer.items[0].explanation.found_by == "steer"


GENRES = ("drama", "western", "horror", "comedy")


def genres(answer: RecommendResponse | SearchResponse) -> list[str]:
    return [GENRES[int(item.item_id) % 4] for item in answer.items]


async def test_what_a_wish_does_not_want_goes_to_the_back(stage: Any) -> None:
    plain = genres(await recommend(stage, user_id="bob", k=16, descriptions=0))
    steered = genres(await recommend(stage, user_id="bob", k=16, descriptions=0, steer=["no horror"]))
    assert sorted(plain) == sorted(steered)
    places = [[place for place, genre in enumerate(each) if genre == "horror"] for each in (plain, steered)]
    assert sum(places[1]) > sum(places[0]) + 8
    wish = genres(await recommend(stage, user_id="bob", k=4, descriptions=0, steer=["a western, no horror"]))
    assert "horror" not in wish
    assert wish[0] == "western"


async def test_a_later_wish_brings_back_what_an_earlier_one_declined(stage: Any) -> None:
    wish = "western about space and m"
    plain = await recommend(stage, user_id="bob", k=16, descriptions=0, steer=[wish])
    lifted = await recommend(stage, user_id="bob", k=16, descriptions=0, steer=["no westerns", wish])
    assert ids(lifted) == ids(plain)
    declined = await recommend(stage, user_id="bob", k=16, descriptions=0, steer=[wish, "no westerns"])
    assert ids(declined) != ids(plain)


async def test_an_aversion_alone_searches_away_from_it(stage: Any) -> None:
    answer = await recommend(stage, steer=["no horror about space"], descriptions=0, k=4, explain=True)
    assert "horror" not in genres(answer)
    assert {item.explanation.found_by for item in answer.items if item.explanation} == {"steer"}


async def test_a_filter_is_exact(stage: Any) -> None:
    answer = await recommend(stage, user_id="bob", k=100, filter={"genres": ["horror"], "year": {"gte": 1960}})
    assert set(ids(answer)) == {"10", "14", "18"}
    everywhere = await recommend(stage, user_id="bob", k=100, filter={"genres": "horror"}, tail_only=False)
    assert set(ids(everywhere)) == {"2", "6", "10", "14", "18"}
    found = await search(stage, text="space", k=100, filter={"not": {"genres": ["horror", "drama", "comedy"]}})
    assert set(genres(found)) == {"western"}
    assert (await search(stage, text="space", filter={"genres": "opera"})).items == []


async def test_a_filter_that_leaves_nothing_is_said_to(stage: Any) -> None:
    with pytest.raises(NothingToRecommend, match="passes the filter") as refused:
        await recommend(stage, user_id="bob", filter={"year": 1970})
    assert refused.value.field == "filter"


@pytest.mark.parametrize("call", [recommend, search])
async def test_a_filter_on_what_no_item_has_is_refused_by_name(stage: Any, call: Any) -> None:
    whose = {"user_id": "bob"} if call is recommend else {"text": "space"}
    with pytest.raises(InvalidRequest, match="no attribute 'director'") as refused:
        await call(stage, **whose, filter={"director": "x"})
    assert refused.value.field == "filter.director"


async def test_without_models_the_interests_answer(stage: Any) -> None:
    stage.transport.down = True
    answer = await recommend(stage, user_id="ada", k=100, adventurousness=0, diversity=0, explain=True)
    assert answer.degraded == ["generate", "encode"]
    assert set(ids(answer)) == TAIL - {"5", "9"}

    catalogue = stage.live.catalogue
    (interest,) = find_interests(
        catalogue.vectors[[0, 4, 8]], np.array([0.5 ** (2 / 50), 0.1 * 0.5 ** (1 / 50), 1.0], dtype=np.float32)
    )
    by_cosine = sorted(ids(answer), key=lambda item: -float(catalogue.vectors[catalogue.row_of[item]] @ interest))
    assert ids(answer) == by_cosine
    assert {item.explanation.found_by for item in answer.items if item.explanation} == {"interest"}
    assert {item.explanation.text for item in answer.items if item.explanation} <= {"film number 1", "film number 9"}


async def test_wishes_that_cannot_be_encoded_are_said_to_be_missing(stage: Any) -> None:
    stage.transport.down = True
    answer = await recommend(stage, user_id="ada", steer=["something with rain"])
    assert answer.degraded == ["generate", "encode"]
    assert len(answer.items) == 10


async def test_given_descriptions_that_cannot_be_encoded_are_said_to_be_missing(stage: Any) -> None:
    stage.transport.down = True
    answer = await recommend(stage, user_id="ada", given_descriptions=["a quiet drama"])
    assert answer.degraded == ["encode"]
    assert len(answer.items) == 10


async def test_full_answers_come_back_with_the_models(stage: Any) -> None:
    before = await recommend(stage, user_id="ada")
    stage.transport.down = True
    without = await recommend(stage, user_id="ada")
    stage.transport.down = False
    after = await recommend(stage, user_id="ada")
    assert (before.degraded, without.degraded[:1], after.degraded) == ([], ["generate"], [])
    assert ids(after) == ids(before)


async def test_a_service_that_starts_without_models_finds_them_later(stage: Any) -> None:
    stage.transport.down = True
    assert (await recommend(stage, user_id="ada")).degraded
    stage.transport.down = False
    answer = await recommend(stage, user_id="ada")
    assert answer.degraded == []
    assert len(answer.descriptions) == 4


async def test_a_late_generator_is_done_without(stage: Any) -> None:
    stage.transport.faults[GENERATOR.name] = "slow"
    answer = await recommend(stage, user_id="ada", deadline_ms=1000)
    assert answer.degraded == ["generate"]
    assert len(answer.items) == 10
    assert answer.timings_ms.generate >= 600
    assert answer.timings_ms.total < 1000 + 3 * 50


async def test_a_first_call_that_hangs_is_done_without_in_time(stage: Any) -> None:
    stage.transport.delay_s = 2.0
    start_s = time.monotonic()
    answer = await recommend(stage, user_id="ada", deadline_ms=300, steer=["something with rain"])
    assert time.monotonic() - start_s < 1.0
    assert answer.degraded == ["generate", "encode"]


async def test_a_wish_alone_is_enough(stage: Any) -> None:
    answer = await recommend(stage, steer=["western about war"], k=5, explain=True)
    assert len(answer.items) == 5
    assert set(ids(answer)) <= TAIL
    assert answer.degraded == []


async def test_a_wish_alone_needs_the_models(stage: Any) -> None:
    stage.transport.down = True
    with pytest.raises(ModelUnavailable, match="the fake is down"):
        await recommend(stage, steer=["western about war"])


async def test_a_wish_alone_that_the_models_are_too_slow_for_runs_out_of_time(stage: Any) -> None:
    stage.transport.delay_s = 5.0
    with pytest.raises(DeadlineExceeded):
        await recommend(stage, steer=["western about war"], deadline_ms=200)


async def test_an_unknown_user_is_refused_by_name(stage: Any) -> None:
    with pytest.raises(UnknownUser, match="nobody") as refusal:
        await recommend(stage, user_id="nobody")
    assert refusal.value.field == "user_id"


async def test_an_unknown_item_is_refused_at_its_place(stage: Any) -> None:
    with pytest.raises(UnknownItem, match="'99'") as refusal:
        await recommend(stage, history=[HistoryItem(item_id="5"), HistoryItem(item_id="99")])
    assert refusal.value.field == "history.1.item_id"
    assert stage.transport.calls == []


async def test_who_has_seen_the_whole_tail_is_told_so(stage: Any) -> None:
    seen = [HistoryItem(item_id=item) for item in sorted(TAIL)]
    with pytest.raises(NothingToRecommend, match="seen every item of the tail") as refused:
        await recommend(stage, history=seen)
    assert refused.value.field == "tail_only"
    answer = await recommend(stage, history=seen, tail_only=False)
    assert answer.items
    assert not {item.item_id for item in answer.items} & TAIL


async def test_adventure_takes_popularity_off_the_scores(stage: Any) -> None:
    async def scores(adventurousness: float) -> dict[str, float]:
        texts = ["a quiet drama"]
        answer = await recommend(
            stage, user_id="ada", k=100, adventurousness=adventurousness, tail_only=False, given_descriptions=texts
        )
        return {item.item_id: item.score for item in answer.items}

    near, far = await scores(0.0), await scores(1.0)
    assert len(near) == 17
    for item, score in near.items():
        n_users = 21 - int(item)
        assert far[item] == pytest.approx(score - 0.25 * np.log(1 + n_users), abs=1e-4)


async def test_described_alone_are_the_generators_descriptions(stage: Any) -> None:
    request = DescribeRequest(user_id="ada", descriptions=3, seed=4)
    answer = await pipeline.describe(request, stage.live, stage.interactions, Clock(5000), request_id="r-3")
    assert [each.text for each in answer.descriptions] == list(stage.transport.lines[:3])
    assert (answer.request_id, answer.release, answer.seed) == ("r-3", "first", 4)
    assert set(answer.timings_ms) == {"generate", "total"}
    assert stage.calls_of(TEXT_ENCODER.name) == 0


async def test_describing_needs_the_generator(stage: Any) -> None:
    request = DescribeRequest(user_id="ada")
    stage.transport.down = True
    with pytest.raises(ModelUnavailable):
        await pipeline.describe(request, stage.live, stage.interactions, Clock(5000), request_id="r")
    stage.transport.down = False
    await pipeline.describe(request, stage.live, stage.interactions, Clock(5000), request_id="r")
    stage.transport.delay_s = 1.0
    with pytest.raises(DeadlineExceeded):
        await pipeline.describe(request, stage.live, stage.interactions, Clock(50), request_id="r")


async def test_a_search_orders_by_cosine(stage: Any) -> None:
    answer = await search(stage, text="horror about space", k=6)
    encoder = await stage.live.encoder(timeout_s=1.0)
    (vector,) = await encoder.encode(["horror about space"])
    catalogue = stage.live.catalogue
    cosines = {item: float(catalogue.vectors[catalogue.row_of[item]] @ vector) for item in TAIL}
    assert ids(answer) == sorted(TAIL, key=lambda item: (-round(cosines[item], 5), int(item)))[:6]
    for item in answer.items:
        assert item.score == item.similarity == pytest.approx(cosines[item.item_id], abs=1e-5)


async def test_a_search_finds_no_more_than_is_allowed(stage: Any) -> None:
    assert set(ids(await search(stage, text="space", k=100))) == TAIL
    assert set(ids(await search(stage, text="space", k=100, tail_only=False))) == TAIL | HEAD


async def test_a_search_needs_the_encoder(stage: Any) -> None:
    stage.transport.down = True
    with pytest.raises(ModelUnavailable):
        await search(stage, text="space")
