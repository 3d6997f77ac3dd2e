"""`POST /v1/embeddings`, called as OpenAI's clients call it."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import numpy as np
import pytest

TEXTS = ["a quiet drama", "space", "a quiet drama"]


async def embedded(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    response = await client.post("/v1/embeddings", json={"model": "longtail", **fields})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_a_list_of_texts_in_order_is_what_encode_gives(client: httpx.AsyncClient) -> None:
    answer = await embedded(client, input=TEXTS)
    assert (answer["object"], answer["model"]) == ("list", "first")
    assert [(each["object"], each["index"]) for each in answer["data"]] == [("embedding", index) for index in range(3)]
    encoded = (await client.post("/encode", json={"texts": TEXTS})).json()["vectors"]
    np.testing.assert_allclose([each["embedding"] for each in answer["data"]], encoded, atol=1e-7)


async def test_one_text_and_its_tokens(client: httpx.AsyncClient) -> None:
    answer = await embedded(client, input="a quiet drama", user="somebody")
    assert len(answer["data"]) == 1
    assert answer["usage"] == {"prompt_tokens": 5, "total_tokens": 5}  # three words between two special tokens
    assert (await embedded(client, input=TEXTS))["usage"]["total_tokens"] == 13


async def test_base64_is_the_same_vector_in_little_endian(client: httpx.AsyncClient) -> None:
    numbers = (await embedded(client, input=TEXTS))["data"]
    coded = (await embedded(client, input=TEXTS, encoding_format="base64"))["data"]
    for number, code in zip(numbers, coded, strict=True):
        read = np.frombuffer(base64.b64decode(code["embedding"]), dtype="<f4")
        np.testing.assert_array_equal(read, np.array(number["embedding"], dtype=np.float32))


async def test_dimensions_are_the_encoders_or_none(client: httpx.AsyncClient) -> None:
    assert len((await embedded(client, input="space", dimensions=16))["data"][0]["embedding"]) == 16
    response = await client.post("/v1/embeddings", json={"model": "first", "input": "space", "dimensions": 8})
    assert (response.status_code, response.json()["field"]) == (422, "dimensions")
    assert "expected 16" in response.json()["detail"]


@pytest.mark.parametrize(
    ("fields", "status", "field"),
    [
        ({"input": [101, 2054, 102]}, 422, "input"),
        ({"input": [[101, 102]]}, 422, "input"),
        ({"input": ""}, 422, "input.0"),
        ({"input": []}, 422, "input"),
        ({"input": ["space", " "]}, 422, "input.1"),
        ({"input": ["space", 5]}, 422, "input.1"),
        ({"input": None}, 422, "input"),
        ({}, 422, "input"),
        ({"input": ["a"] * 2049}, 422, "input"),
        ({"input": "space", "model": "text-embedding-3-small"}, 404, "model"),
        ({"input": "space", "encoding_format": "int8"}, 422, "encoding_format"),
        ({"input": "space", "colour": "red"}, 422, "colour"),
    ],
)
async def test_what_is_refused_is_said_in_both_shapes(
    client: httpx.AsyncClient, fields: dict[str, Any], status: int, field: str
) -> None:
    response = await client.post("/v1/embeddings", json={"model": "longtail", **fields})
    document = response.json()
    assert (response.status_code, document["status"], document["field"]) == (status, status, field)
    assert response.headers["content-type"] == "application/problem+json"
    assert document["error"] == {
        "message": document["detail"],
        "type": "invalid_request_error",
        "param": field,
        "code": document["type"].removeprefix("urn:longtail:problem:"),
    }
    assert "token" in document["detail"] or field != "input" or "101" not in str(fields)


async def test_an_encoder_that_is_away_can_be_tried_again(client: httpx.AsyncClient, stage: Any) -> None:
    stage.transport.down = True
    response = await client.post("/v1/embeddings", json={"model": "longtail", "input": "space"})
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert response.json()["error"]["type"] == "server_error"


async def test_what_the_edge_refuses_has_both_shapes_too(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/embeddings", content="x", headers={"content-type": "text/plain"})
    assert (response.status_code, response.json()["error"]["code"]) == (415, "unsupported-media-type")


async def test_an_empty_list_is_called_one(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/embeddings", json={"model": "longtail", "input": []})
    assert response.json()["detail"] == "input: expected a text or a list of texts, got an empty list"


async def test_there_is_the_longest_time_for_an_answer(
    client: httpx.AsyncClient, stage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.transport.delay_s = 0.3
    monkeypatch.setattr("longtail_bento.http_app.LONGEST_DEADLINE_MS", 50)
    response = await client.post("/v1/embeddings", json={"model": "longtail", "input": "space"})
    assert response.status_code == 504
    assert "of 50 ms; send fewer texts at a time" in response.json()["detail"]
