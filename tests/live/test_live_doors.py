"""Both doors of the running service, through the Python client: the same answers and the same refusals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from tokenizers import Tokenizer

from longtail_bento.processes import ServiceProcess
from longtail_bento.settings import ServiceSettings
from longtail_client import LongtailError, Recommender
from longtail_client.answers import RecommendAnswer
from longtail_client.errors import InvalidRequest, RequestTooLarge, UnknownItem, UnknownUser

GIVEN = ["a western about an old gunfighter", "a quiet French drama"]
GOOD: list[dict[str, Any]] = [
    {"user_id": "196", "given_descriptions": GIVEN},
    {"user_id": "22", "descriptions": 0, "k": 50, "tail_only": False},
    {"user_id": "655", "given_descriptions": [], "diversity": 1.0, "adventurousness": 0.0, "explain": True},
    {"history": [{"item_id": "100"}, {"item_id": "56", "weight": 4}], "given_descriptions": GIVEN},
    {"steer": ["something gentle"], "descriptions": 0},
]
BAD: list[tuple[dict[str, Any], type[LongtailError], str | None]] = [
    ({"user_id": "nobody"}, UnknownUser, "user_id"),
    ({}, InvalidRequest, "history"),
    ({"history": [{"item_id": "1"}, {"item_id": "no such"}]}, UnknownItem, "history.1.item_id"),
    ({"user_id": "196", "k": 0}, InvalidRequest, "k"),
    ({"user_id": "196", "k": 10_000}, InvalidRequest, "k"),
    ({"user_id": "196", "k": "10"}, InvalidRequest, "k"),
    ({"user_id": 196}, InvalidRequest, "user_id"),
    ({"user_id": "196", "steer": ["a" * 10_000]}, InvalidRequest, "steer.0"),
    ({"user_id": "a" * 5_000_000}, RequestTooLarge, None),
]


@pytest.fixture(scope="module")
def doors(service: ServiceProcess, settings: ServiceSettings) -> Iterator[tuple[Recommender, Recommender]]:
    with (
        Recommender(service.url) as over_http,
        Recommender(f"grpc://{settings.host}:{settings.grpc_port}") as over_grpc,
    ):
        yield over_http, over_grpc


def same(one: RecommendAnswer, other: RecommendAnswer) -> None:
    assert (one.release, one.degraded, one.descriptions) == (other.release, other.degraded, other.descriptions)
    assert [item.item_id for item in one.items] == [item.item_id for item in other.items]
    assert [item.attributes for item in one.items] == [item.attributes for item in other.items]
    np.testing.assert_allclose([item.score for item in one.items], [item.score for item in other.items], atol=1e-4)


@pytest.mark.parametrize("fields", GOOD)
def test_both_doors_give_the_same_answer(doors: tuple[Recommender, Recommender], fields: dict[str, Any]) -> None:
    answers = [door.recommend(**fields) for door in doors]
    assert answers[0].items
    same(*answers)


@pytest.mark.parametrize(("fields", "kind", "field"), BAD)
def test_both_doors_refuse_alike(
    doors: tuple[Recommender, Recommender], fields: dict[str, Any], kind: type, field: str | None
) -> None:
    for door in doors:
        with pytest.raises(LongtailError) as raised:
            door.recommend(**fields)
        assert type(raised.value) is kind
        assert raised.value.field == field  # type: ignore[attr-defined]


def test_what_one_door_wrote_the_other_replays(doors: tuple[Recommender, Recommender]) -> None:
    for first, second in (doors, doors[::-1]):
        answer = first.recommend(user_id="22")
        assert answer.descriptions
        again = second.recommend(user_id="22", given_descriptions=[each.text for each in answer.descriptions])
        assert [item.item_id for item in again.items] == [item.item_id for item in answer.items]
        np.testing.assert_allclose(
            [item.score for item in again.items], [item.score for item in answer.items], atol=1e-4
        )


def test_both_doors_stream(doors: tuple[Recommender, Recommender]) -> None:
    for door in doors:
        events = list(door.recommend_stream(user_id="196", k=3))
        kinds = [event.event for event in events]
        assert (kinds[0], kinds[-2:]) == ("release", ["items", "done"])
        assert kinds.count("token") > 4


def test_the_other_rows_are_the_same(doors: tuple[Recommender, Recommender]) -> None:
    assert all(door.ready() for door in doors)
    found = [door.search(text="a western about an old gunfighter", k=5).items for door in doors]
    assert [item.item_id for item in found[0]] == [item.item_id for item in found[1]]
    vectors = [np.array(door.encode(texts=GIVEN).vectors) for door in doors]
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert len({door.release().releases[0].index_sha256 for door in doors}) == 1
    assert all(door.describe(user_id="196", descriptions=1).descriptions for door in doors)


def test_a_vector_is_the_same_from_either_door_and_from_triton_itself(
    doors: tuple[Recommender, Recommender], settings: ServiceSettings, built: Path
) -> None:
    texts = [*GIVEN, "a recipe for lentil soup", "space"]
    release = next(each for each in doors[0].release().releases if each.place == "live")
    assert release.encoder_version is not None
    folder = built / "model_repository" / "text_encoder" / release.encoder_version
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding(length=32)
    rows = tokenizer.encode_batch(texts)
    direct = [triton.InferInput(name, [len(texts), 32], "INT64") for name in ("input_ids", "attention_mask")]
    direct[0].set_data_from_numpy(np.array([row.ids for row in rows], dtype=np.int64))
    direct[1].set_data_from_numpy(np.array([row.attention_mask for row in rows], dtype=np.int64))
    with triton.InferenceServerClient(f"127.0.0.1:{settings.triton_grpc_port}") as client:
        answer = client.infer("text_encoder", direct, model_version=release.encoder_version, client_timeout=60.0)
    expected = answer.as_numpy("embedding")
    for door in doors:
        vectors = np.array(door.encode(texts=texts).vectors)
        np.testing.assert_allclose((vectors * expected).sum(axis=1), 1.0, atol=1e-4)
