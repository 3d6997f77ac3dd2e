"""The HTTP door, called through ASGI: good answers, and a problem document for everything else."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import numpy as np
import pytest

from longtail_bento.http_app import HttpDoor

PROBLEM_KEYS = {"type", "title", "status", "detail", "request_id"}
GOOD = {"user_id": "ada", "k": 3}


async def post_bytes(client: httpx.AsyncClient, path: str, body: bytes) -> httpx.Response:
    return await client.post(path, content=body, headers={"content-type": "application/json"})


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert set(document) - {"field", "retry_after_s"} == PROBLEM_KEYS
    assert document["status"] == status
    assert document["type"].startswith("urn:longtail:problem:")
    assert document["title"]
    assert document["detail"]
    assert document["request_id"] == response.headers["x-request-id"]
    return document


async def still_answers(client: httpx.AsyncClient) -> None:
    response = await client.post("/recommend", json=GOOD)
    assert response.status_code == 200
    assert len(response.json()["items"]) == 3


async def test_a_recommendation_over_http(client: httpx.AsyncClient) -> None:
    response = await client.post("/recommend", json={"user_id": "ada", "k": 4, "explain": True, "seed": 1})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert set(answer) == {
        "request_id",
        "release",
        "seed",
        "degraded",
        "descriptions",
        "items",
        "timings_ms",
        "request",
    }
    assert answer["request"]["user_id"] == "ada"
    assert (answer["request"]["k"], answer["request"]["diversity"]) == (4, 0.3)
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3, 4]
    assert all(item["explanation"]["found_by"] == "description" for item in answer["items"])
    assert all(item["item_id"] not in {"1", "2", "3", "4", "5", "9"} for item in answer["items"])


async def test_an_explanation_that_was_not_asked_for_is_no_key(client: httpx.AsyncClient) -> None:
    items = (await client.post("/recommend", json=GOOD)).json()["items"]
    assert items
    assert all("explanation" not in item for item in items)


async def test_whole_numbers_are_whole_however_they_are_written(client: httpx.AsyncClient) -> None:
    body = {
        "history": [{"item_id": "5", "weight": 4, "timestamp": 7.0}],
        "k": 2.0,
        "diversity": 1,
        "adventurousness": 0,
    }
    assert (await client.post("/recommend", json=body)).status_code == 200


async def test_the_media_type_may_name_a_charset(client: httpx.AsyncClient) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    response = await client.post("/recommend", content=json.dumps(GOOD), headers=headers)
    assert response.status_code == 200


async def test_encoded_texts_are_unit_vectors_in_order(client: httpx.AsyncClient) -> None:
    response = await client.post("/encode", json={"texts": ["a quiet drama", "space", "a quiet drama"]})
    answer = response.json()
    vectors = np.array(answer["vectors"])
    assert answer["release"] == "first"
    assert vectors.shape == (3, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-6)
    assert abs(vectors[0] @ vectors[1]) < 0.99


async def test_a_search_over_http(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/search", json={"text": "horror about space and j", "k": 2})).json()
    assert answer["items"][0]["item_id"] == "10"
    assert answer["items"][0]["similarity"] == pytest.approx(1, abs=1e-5)
    assert len(answer["items"]) == 2


async def test_descriptions_over_http(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/describe", json={"user_id": "ada", "descriptions": 2})).json()
    assert answer["descriptions"] == [
        {"text": "Drama, 1990s", "source": "generator"},
        {"text": "Comedy, 1980s", "source": "generator"},
    ]


BAD_FIELDS = [
    ({"user_id": "nobody"}, 404, "user_id"),
    ({"history": []}, 422, "history"),
    ({}, 422, "history"),
    ({"user_id": "ada", "history": [{"item_id": "5"}]}, 422, "user_id, history"),
    ({"history": [{"item_id": "no-such-film"}]}, 404, "history.0.item_id"),
    ({"history": [{"item_id": "5"}, {"item_id": ""}]}, 422, "history.1.item_id"),
    ({"history": [{"item_id": "5", "wieght": 1}]}, 422, "history.0.wieght"),
    ({"history": [{"item_id": "5", "weight": "3"}]}, 422, "history.0.weight"),
    ({"history": [{"item_id": "5", "timestamp": -1}]}, 422, "history.0.timestamp"),
    ({"history": [{"item_id": "5", "timestamp": 1.5}]}, 422, "history.0.timestamp"),
    ({"history": [{"item_id": 5}]}, 422, "history.0.item_id"),
    ({"history": ["5"]}, 422, "history.0"),
    ({"history": {"item_id": "5"}}, 422, "history"),
    ({"history": [{"item_id": "5"}] * 1001}, 422, "history"),
    ({"user_id": "a" * 201}, 422, "user_id"),
    ({"user_id": 196}, 422, "user_id"),
    ({"user_id": "ada", "k": 0}, 422, "k"),
    ({"user_id": "ada", "k": 10_000}, 422, "k"),
    ({"user_id": "a\0da"}, 422, "user_id"),
    ({"user_id": "ada", "k": "5"}, 422, "k"),
    ({"user_id": "ada", "k": 5.5}, 422, "k"),
    ({"user_id": "ada", "k": True}, 422, "k"),
    ({"user_id": "ada", "k": None}, 422, "k"),
    ({"user_id": "ada", "steer": "rain"}, 422, "steer"),
    ({"user_id": "ada", "steer": ["x" * 10_000]}, 422, "steer.0"),
    ({"user_id": "ada", "steer": ["rain", " \n"]}, 422, "steer.1"),
    ({"user_id": "ada", "steer": ["\u0085"]}, 422, "steer.0"),
    ({"user_id": "ada", "steer": ["\ufeff\u3000"]}, 422, "steer.0"),
    ({"user_id": "ada", "steer": ["rain"] * 9}, 422, "steer"),
    ({"user_id": "ada", "given_descriptions": ["a film"] * 17}, 422, "given_descriptions"),
    ({"user_id": "ada", "diversity": 1.01}, 422, "diversity"),
    ({"user_id": "ada", "adventurousness": -0.1}, 422, "adventurousness"),
    ({"user_id": "ada", "diversity": True}, 422, "diversity"),
    ({"user_id": "ada", "explain": 1}, 422, "explain"),
    ({"user_id": "ada", "deadline_ms": 0}, 422, "deadline_ms"),
    ({"user_id": "ada", "seed": -1}, 422, "seed"),
    ({"user_id": "ada", "descriptions": 17}, 422, "descriptions"),
    ({"user_id": "ada", "surprise": 1}, 422, "surprise"),
    ([], 422, "body"),
    ("ada", 422, "body"),
    (5, 422, "body"),
]


@pytest.mark.parametrize(("body", "status", "field"), BAD_FIELDS)
async def test_a_bad_field_is_named(client: httpx.AsyncClient, body: Any, status: int, field: str) -> None:
    document = problem(await client.post("/recommend", json=body), status)
    assert document["field"] == field
    if status == 422:
        assert field in document["detail"]
    await still_answers(client)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/search", {"text": ""}, "text"),
        ("/search", {"text": "x" * 4001}, "text"),
        ("/search", {"k": 3}, "text"),
        ("/search", {"text": "space", "k": 101}, "k"),
        ("/encode", {"texts": []}, "texts"),
        ("/encode", {"texts": ["a"] * 257}, "texts"),
        ("/encode", {"texts": ["a", 5]}, "texts.1"),
        ("/encode", {"texts": "space"}, "texts"),
        ("/describe", {"user_id": "ada", "k": 3}, "k"),
        ("/describe", {"history": []}, "history"),
    ],
)
async def test_every_path_names_its_bad_field(client: httpx.AsyncClient, path: str, body: Any, field: str) -> None:
    assert problem(await client.post(path, json=body), 422)["field"] == field
    await still_answers(client)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
@pytest.mark.parametrize("field", ["diversity", "k", "seed"])
async def test_numbers_that_are_none_are_refused(client: httpx.AsyncClient, number: bytes, field: str) -> None:
    body = b'{"user_id": "ada", "%s": %s}' % (field.encode(), number)
    assert problem(await post_bytes(client, "/recommend", body), 422)["field"] == field
    body = b'{"history": [{"item_id": "5", "weight": %s}]}' % number
    assert problem(await post_bytes(client, "/recommend", body), 422)["field"] == "history.0.weight"
    await still_answers(client)


@pytest.mark.parametrize(
    "body",
    [b"{", b"{'user_id': 'ada'}", b'{"user_id": "ada",}', b"user_id=ada", b'{"k": 1} x', b"\xff\xfe{}"],
)
async def test_what_is_no_json_is_a_bad_request(client: httpx.AsyncClient, body: bytes) -> None:
    problem(await post_bytes(client, "/recommend", body), 400)
    await still_answers(client)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"k": ' + b"9" * 6000 + b"}", b'{"a":' * 20_000])
async def test_json_made_to_hurt_is_a_callers_error(client: httpx.AsyncClient, body: bytes) -> None:
    response = await post_bytes(client, "/recommend", body)
    assert problem(response, response.status_code)["status"] in (400, 422)
    await still_answers(client)


@pytest.mark.parametrize("body", [b"", b"null"])
async def test_an_empty_body_is_refused(client: httpx.AsyncClient, body: bytes) -> None:
    document = problem(await post_bytes(client, "/recommend", body), 422)
    assert document["field"] == "body"
    await still_answers(client)


async def test_a_body_of_five_megabytes_is_too_large(client: httpx.AsyncClient) -> None:
    document = problem(await post_bytes(client, "/recommend", b'{"user_id": "' + b"a" * 5_000_000 + b'"}'), 413)
    assert "1000000 bytes" in document["detail"]
    await still_answers(client)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
async def test_another_media_type_is_unsupported(client: httpx.AsyncClient, media_type: str) -> None:
    response = await client.post("/recommend", content=json.dumps(GOOD), headers={"content-type": media_type})
    document = problem(response, 415)
    assert "application/json" in document["detail"]
    await still_answers(client)


async def test_a_path_that_is_none_is_not_found(client: httpx.AsyncClient) -> None:
    for response in (await client.get("/nowhere"), await client.post("/recommend/more", json=GOOD)):
        problem(response, 404)
    await still_answers(client)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_another_method_is_not_allowed(client: httpx.AsyncClient, method: str) -> None:
    response = await client.request(method, "/recommend")
    problem(response, 405)
    assert response.headers["allow"] == "POST"
    await still_answers(client)


LONE_SURROGATE = rb"\ud800"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/recommend", b'{"user_id": "%s"}'),
        ("/recommend", b'{"history": [{"item_id": "%s"}]}'),
        ("/recommend", b'{"user_id": "ada", "steer": ["%s rain"]}'),
        ("/recommend", b'{"user_id": "ada", "given_descriptions": ["%s rain"]}'),
        ("/recommend", b'{"user_id": "ada", "%s": 1}'),
        ("/recommend", b'{"history": [{"item_id": "5", "%s": 1}]}'),
        ("/search", b'{"text": "%s rain"}'),
        ("/encode", b'{"texts": ["%s rain"]}'),
        ("/describe", b'{"user_id": "%s"}'),
    ],
)
async def test_half_a_character_is_a_callers_error(client: httpx.AsyncClient, path: str, body: bytes) -> None:
    problem(await post_bytes(client, path, body % LONE_SURROGATE), 422)
    await still_answers(client)


@pytest.mark.parametrize("text", ["'; DROP TABLE interactions; --", "🎬 日本", "<|im_end|>", "%s%n", "../etc"])
async def test_odd_ids_are_only_unknown(client: httpx.AsyncClient, text: str) -> None:
    assert problem(await client.post("/recommend", json={"user_id": text}), 404)["field"] == "user_id"
    document = problem(await client.post("/recommend", json={"history": [{"item_id": text}]}), 404)
    assert document["field"] == "history.0.item_id"
    await still_answers(client)


@pytest.mark.parametrize(
    "body",
    [
        {"user_id": "secret" * 50},
        {"user_id": ["secret"]},
        {"user_id": "secret", "history": [{"item_id": "secret"}]},
        {"history": [{"item_id": "secret", "weight": "secret"}]},
        {"history": [{"item_id": "secret", "timestamp": -5}]},
        {"history": [{"item_id": ["secret"]}]},
        {"history": ["secret"]},
        {"history": "secret"},
        {"user_id": "secret", "k": 0},
        {"user_id": "ada", "steer": "secret"},
        {"user_id": "ada", "steer": ["secret" * 60]},
        {"user_id": "ada", "surprise": "secret"},
    ],
)
async def test_a_refusal_does_not_repeat_what_was_given(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    response = await client.post("/recommend", json=body)
    problem(response, 422)
    assert "secret" not in response.text


async def test_a_request_id_comes_back(client: httpx.AsyncClient) -> None:
    response = await client.post("/recommend", json=GOOD, headers={"x-request-id": "web-7:a.b_c"})
    assert response.headers["x-request-id"] == response.json()["request_id"] == "web-7:a.b_c"
    refused = await client.post("/recommend", json={}, headers={"x-request-id": "web-8"})
    assert problem(refused, 422)["request_id"] == "web-8"
    unread = await client.post("/recommend", content="x", headers={"x-request-id": "web-9", "content-type": "a/b"})
    assert problem(unread, 415)["request_id"] == "web-9"


@pytest.mark.parametrize("given", ["", "two words", "x" * 129, "<script>", "a\u00e9"])
async def test_a_malformed_request_id_is_replaced(client: httpx.AsyncClient, given: str) -> None:
    headers = {b"x-request-id": given.encode("latin-1"), b"content-type": b"application/json"}
    response = await client.post("/recommend", content=json.dumps(GOOD), headers=headers)
    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-request-id"])
    assert response.json()["request_id"] == response.headers["x-request-id"]


async def test_two_requests_without_an_id_get_two(client: httpx.AsyncClient) -> None:
    first, second = [(await client.post("/recommend", json=GOOD)).headers["x-request-id"] for _ in range(2)]
    assert first != second


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/encode", {"texts": ["space"]}),
        ("/describe", {"user_id": "ada"}),
        ("/search", {"text": "space"}),
        ("/recommend", {"steer": ["space"]}),
    ],
)
async def test_what_needs_a_model_says_when_to_try_again(
    client: httpx.AsyncClient, stage: Any, path: str, body: dict[str, Any]
) -> None:
    stage.transport.down = True
    response = await client.post(path, json=body)
    assert problem(response, 503)["type"] == "urn:longtail:problem:model-unavailable"
    assert int(response.headers["retry-after"]) >= 1
    stage.transport.down = False
    assert (await client.post(path, json=body)).status_code == 200


async def test_a_known_history_is_answered_without_models(client: httpx.AsyncClient, stage: Any) -> None:
    stage.transport.down = True
    for whose in ({"user_id": "ada"}, {"history": [{"item_id": "7"}]}):
        response = await client.post("/recommend", json={**whose, "k": 3})
        assert response.status_code == 200
        assert response.json()["degraded"][0] == "generate"
        assert len(response.json()["items"]) == 3


async def test_a_generator_that_takes_too_long_to_describe_is_a_timeout(client: httpx.AsyncClient, stage: Any) -> None:
    stage.transport.delay_s = 1.0
    response = await client.post("/describe", json={"user_id": "ada", "deadline_ms": 50})
    assert problem(response, 504)["type"] == "urn:longtail:problem:deadline-exceeded"


@pytest.mark.parametrize(("path", "body"), [("/encode", {"texts": ["space"]}), ("/search", {"text": "space"})])
async def test_texts_have_the_time_that_the_caller_allows(
    client: httpx.AsyncClient, stage: Any, path: str, body: dict[str, Any]
) -> None:
    stage.transport.delay_s = 0.3
    late = await client.post(path, json={**body, "deadline_ms": 50})
    assert "of 50 ms; allow more with deadline_ms" in problem(late, 504)["detail"]
    assert (await client.post(path, json={**body, "deadline_ms": 60_000})).status_code == 200
    assert problem(await client.post(path, json={**body, "deadline_ms": 60_001}), 422)["field"] == "deadline_ms"


async def test_an_error_that_nobody_foresaw_is_a_problem_too(stage: Any) -> None:
    unopened = HttpDoor(stage.settings)
    transport = httpx.ASGITransport(app=unopened.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://longtail") as client:
        response = await client.post("/recommend", json=GOOD, headers={"x-request-id": "web-1"})
    assert problem(response, 500)["request_id"] == "web-1"
    assert "RuntimeError" not in response.text


async def test_the_documentation_lists_the_paths(client: httpx.AsyncClient) -> None:
    document = (await client.get("/docs.json")).json()
    assert {"/recommend", "/describe", "/search", "/encode"} <= set(document["paths"])
    responses = document["paths"]["/recommend"]["post"]["responses"]
    assert {"200", "400", "404", "413", "415", "422", "503", "504"} <= set(responses)


@pytest.mark.parametrize(
    ("filter_", "field"),
    [
        ({"director": "x"}, "filter.director"),
        ({"year": {"gt": 3}}, "filter.year"),
        ({"year": "1960"}, "filter.year"),
        ([], "filter"),
    ],
)
async def test_a_filter_that_is_none_is_a_problem_that_names_it(
    client: httpx.AsyncClient, filter_: Any, field: str
) -> None:
    for path, body in (("/recommend", GOOD), ("/recommend/stream", GOOD), ("/search", {"text": "space"})):
        response = await client.post(path, json={**body, "filter": filter_})
        assert problem(response, 422)["field"] == field


async def test_ready_while_an_inference_goes_through_and_alive_always(client: httpx.AsyncClient, stage: Any) -> None:
    for path in ("/livez", "/readyz"):
        assert (await client.get(path)).status_code == (await client.head(path)).status_code == 200
    stage.transport.down = True
    assert (await client.get("/livez")).status_code == 200
    away = await client.get("/readyz", headers={"x-request-id": "probe-1"})
    assert problem(away, 503)["type"] == "urn:longtail:problem:model-unavailable"
    assert (away.headers["retry-after"], away.headers["x-request-id"]) == ("2", "probe-1")


@pytest.mark.parametrize("path", ["/healthz", "/schema.json", "/static_content/index.html"])
async def test_what_bentoml_would_answer_is_not_there(client: httpx.AsyncClient, path: str) -> None:
    problem(await client.get(path), 404)


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/metrics", "/docs.json"])
async def test_what_stands_beside_the_api_is_read_only(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path)
    problem(response, 405)
    assert "GET" in response.headers["allow"]
