"""The whole service as a process, called over HTTP: good requests, bad ones, and Triton going away."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import httpx
import numpy as np
import psutil
import pyarrow.parquet
import pytest

from longtail_bento.processes import ServiceProcess
from longtail_bento.settings import ServiceSettings
from longtail_bento.triton.launcher import TritonServer

RECOVERED_WITHIN_S = 15.0
JSON = {"Content-Type": "application/json"}


def test_a_known_user_gets_ten_items_of_the_tail(http: httpx.Client, settings: ServiceSettings) -> None:
    response = http.post("/recommend", json={"user_id": "196", "explain": True})
    assert response.status_code == 200
    answer = response.json()
    table = pyarrow.parquet.read_table(settings.var / "catalogues" / "demo" / "interactions.parquet")
    seen = set(table.filter(pyarrow.compute.equal(table["user_id"], "196"))["item_id"].to_pylist())
    assert len(seen) > 10
    assert [item["rank"] for item in answer["items"]] == list(range(1, 11))
    assert not seen & {item["item_id"] for item in answer["items"]}
    assert all(item["popularity_percentile"] < 80 for item in answer["items"])
    assert all(-1 <= item["similarity"] <= 1 for item in answer["items"])
    assert {item["explanation"]["found_by"] for item in answer["items"]} == {"description"}
    assert answer["degraded"] == []
    assert answer["descriptions"]
    assert {each["source"] for each in answer["descriptions"]} == {"generator"}
    assert set(answer["timings_ms"]) == {"generate", "encode", "retrieve", "rerank", "total"}
    assert answer["release"] == "demo-1"
    assert response.headers["x-request-id"] == answer["request_id"]


def test_nothing_of_a_long_history_is_recommended(http: httpx.Client, settings: ServiceSettings) -> None:
    table = pyarrow.parquet.read_table(settings.var / "catalogues" / "demo" / "interactions.parquet")
    seen = set(table.filter(pyarrow.compute.equal(table["user_id"], "655"))["item_id"].to_pylist())
    assert len(seen) > 500
    answer = http.post("/recommend", json={"user_id": "655", "k": 100, "descriptions": 0}).json()
    assert not seen & {item["item_id"] for item in answer["items"]}


def test_given_descriptions_replay_an_answer(http: httpx.Client) -> None:
    first = http.post("/recommend", json={"user_id": "22"}).json()
    given = [each["text"] for each in first["descriptions"]]
    again = http.post("/recommend", json={"user_id": "22", "given_descriptions": given}).json()
    assert [item["item_id"] for item in again["items"]] == [item["item_id"] for item in first["items"]]
    scores = [[item["score"] for item in answer["items"]] for answer in (first, again)]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-4)
    assert {each["source"] for each in again["descriptions"]} == {"given"}


async def test_an_answer_is_replayed_alike_among_others(service: ServiceProcess) -> None:
    async with httpx.AsyncClient(base_url=service.url, timeout=60.0) as client:
        first = (await client.post("/recommend", json={"user_id": "22", "steer": ["no war"], "k": 30})).json()
        given = [each["text"] for each in first["descriptions"]]
        again = {"user_id": "22", "steer": ["no war"], "k": 30, "given_descriptions": given}

        async def disturb(n_words: int) -> None:
            texts = [f"{'a long film about number ' * n_words}{index}" for index in range(n_words)]
            assert (await client.post("/encode", json={"texts": texts})).status_code == 200

        answers = await asyncio.gather(
            *(client.post("/recommend", json=again) for _ in range(6)), *(disturb(n_words) for n_words in range(1, 9))
        )
    scores = {item["item_id"]: item["score"] for item in first["items"]}
    for response in answers[:6]:
        items = response.json()["items"]
        assert {item["item_id"] for item in items} == set(scores)
        assert max(abs(item["score"] - scores[item["item_id"]]) for item in items) <= 1e-4


@pytest.mark.parametrize("descriptions", [0, 4])
def test_what_a_wish_does_not_want_is_kept_away(http: httpx.Client, descriptions: int) -> None:
    def horrors(steer: list[str]) -> int:
        body = {"user_id": "655", "k": 100, "descriptions": descriptions, "steer": steer, "seed": 5}
        items = http.post("/recommend", json=body).json()["items"]
        return sum("Horror" in item["attributes"]["genres"] for item in items)

    assert horrors(["no horror"]) < horrors([]) / 2 + 1
    assert horrors(["a film without horror"]) < horrors(["a horror film"]) / 2


def test_a_filter_is_exact_on_real_attributes(http: httpx.Client) -> None:
    body = {"genres": ["Western", "Musical"], "not": {"genres": "Comedy"}}
    items = http.post("/recommend", json={"user_id": "196", "k": 50, "filter": body, "descriptions": 0}).json()["items"]
    assert items
    for item in items:
        assert {"Western", "Musical"} & set(item["attributes"]["genres"])
        assert "Comedy" not in item["attributes"]["genres"]


def test_a_wish_alone_is_enough(http: httpx.Client) -> None:
    answer = http.post("/recommend", json={"steer": ["a western with horses"], "descriptions": 0, "k": 5}).json()
    assert "Western" in {genre for item in answer["items"] for genre in item["attributes"]["genres"]}


def test_the_nearest_item_to_its_own_text_is_itself(http: httpx.Client, settings: ServiceSettings) -> None:
    items = pyarrow.parquet.read_table(settings.var / "catalogues" / "demo" / "items.parquet").slice(100, 1).to_pylist()
    found = http.post("/search", json={"text": items[0]["text"], "k": 3, "tail_only": False}).json()["items"]
    assert found[0]["item_id"] == items[0]["item_id"]
    assert found[0]["similarity"] == pytest.approx(1.0, abs=1e-4)


async def test_sixteen_concurrent_encodes_are_at_most_eight_executions(
    service: ServiceProcess, execution_count: Any
) -> None:
    async with httpx.AsyncClient(base_url=service.url, timeout=60.0) as client:

        async def encode(index: int) -> None:
            response = await client.post("/encode", json={"texts": [f"a film about number {index}"]})
            assert response.status_code == 200

        await asyncio.gather(*(encode(index) for index in range(16)))  # connections are open from here on
        async with execution_count:
            await asyncio.gather(*(encode(index) for index in range(16)))
    assert execution_count.texts == 16
    assert execution_count.executions <= 8


BAD: list[tuple[str, Any, int, str | None]] = [
    ("unknown user", {"user_id": "nobody"}, 404, "user_id"),
    ("empty history, no user", {"history": []}, 422, "history"),
    ("nothing at all", {}, 422, "history"),
    ("unknown item", {"history": [{"item_id": "1"}, {"item_id": "no such"}]}, 404, "history.1.item_id"),
    ("k of 0", {"user_id": "196", "k": 0}, 422, "k"),
    ("k of 10,000", {"user_id": "196", "k": 10_000}, 422, "k"),
    ("a string for a number", {"user_id": "196", "k": "10"}, 422, "k"),
    ("a number for a string", {"user_id": 196}, 422, "user_id"),
    ("an unknown field", {"user_id": "196", "colour": "red"}, 422, "colour"),
    ("NaN", b'{"user_id": "196", "diversity": NaN}', 422, "diversity"),
    ("infinity", b'{"user_id": "196", "adventurousness": Infinity}', 422, "adventurousness"),
    ("5 MB", b'{"user_id": "' + b"a" * 5_000_000 + b'"}', 413, None),
    ("invalid JSON", b'{"user_id": ', 400, None),
    ("a steer of 10,000 characters", {"user_id": "196", "steer": ["a" * 10_000]}, 422, "steer.0"),
]


@pytest.mark.parametrize(("body", "status", "field"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_input_is_a_problem_that_names_the_field(
    http: httpx.Client, body: Any, status: int, field: str | None
) -> None:
    content = {"content": body, "headers": JSON} if isinstance(body, bytes) else {"json": body}
    response = http.post("/recommend", **content)
    problem = response.json()
    assert (response.status_code, problem["status"], problem.get("field")) == (status, status, field)
    assert response.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "detail", "request_id"} <= set(problem)
    assert http.post("/recommend", json={"user_id": "196", "descriptions": 0}).status_code == 200


def test_what_is_counted(http: httpx.Client) -> None:
    http.post("/recommend", json={"user_id": "196"})
    text = http.get("/metrics").text
    assert 'longtail_requests_total{endpoint="/recommend",status="200"}' in text
    for stage in ("generate", "encode", "retrieve", "rerank", "total"):
        assert f'longtail_stage_seconds_count{{endpoint="recommend",stage="{stage}"}}' in text
    assert 'longtail_request_seconds_count{endpoint="/recommend"}' in text


def test_live_ready_and_documented(http: httpx.Client) -> None:
    assert http.get("/livez").status_code == 200
    assert http.get("/readyz").status_code == 200
    assert {"/recommend", "/search", "/encode", "/describe"} <= set(http.get("/docs.json").json()["paths"])


def test_triton_may_go_away_and_come_back(http: httpx.Client, triton: TritonServer) -> None:
    good = {"/encode": {"texts": ["a film"]}, "/describe": {"user_id": "196"}, "/search": {"text": "a film"}}
    leader = triton.pid
    triton.kill()
    assert not stubs_of(leader), "a model's process outlives its server"
    try:
        for path, body in good.items():
            response = http.post(path, json=body)
            assert response.status_code == 503, path
            assert int(response.headers["retry-after"]) >= 1
            assert response.headers["content-type"] == "application/problem+json"
        answer = http.post("/recommend", json={"user_id": "196"})
        assert answer.status_code == 200
        assert len(answer.json()["items"]) == 10
        assert answer.json()["degraded"] == ["generate", "encode"]
        time.sleep(1.1)  # the last probe may be a second old
        assert http.get("/readyz").status_code == 503
        assert http.get("/livez").status_code == 200
    finally:
        triton.start()
    back_s = time.monotonic()
    while http.get("/readyz").status_code != 200:
        assert time.monotonic() - back_s < RECOVERED_WITHIN_S
        time.sleep(0.1)
    for path, body in good.items():
        assert http.post(path, json=body).status_code == 200, path
    assert http.post("/recommend", json={"user_id": "196"}).json()["degraded"] == []


def stubs_of(leader: int | None) -> list[int]:
    """List the processes of a server's session."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found
