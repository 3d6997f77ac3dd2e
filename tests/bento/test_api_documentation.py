"""docs/api.md has what the API has: every path, method, field and refusal, as the code has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack
from typing import get_args

import httpx
import pytest
from pydantic import BaseModel, SecretStr
from tests.documented import ROOT, check_output, examples_of

from longtail_bento.embeddings_wire import EmbeddingsRequest
from longtail_bento.flow.history import STRENGTHS
from longtail_bento.gate import Gate
from longtail_bento.http_app import HttpDoor
from longtail_bento.interaction_wire import InteractionIn, ListRequest, RecordRequest
from longtail_bento.settings import ServiceSettings
from longtail_bento.status import TABLE
from longtail_bento.wire import DescribeRequest, EncodeRequest, RecommendRequest, SearchRequest, StreamEvent
from longtail_client import Recommender, errors
from longtail_client.calls import Kind
from longtail_client.problem import type_of
from longtail_client.v1 import recommend_pb2 as pb

PAGE = (ROOT / "docs" / "api.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*?)$(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
BARE = [each for each in re.findall(r"\n```http\n(.*?)```", PAGE, re.DOTALL) if "422" not in each]


def test_every_path_and_method_has_a_section() -> None:
    document = HttpDoor(ServiceSettings()).app.openapi()
    served = {f"{method.upper()} {path}" for path, operations in document["paths"].items() for method in operations}
    described = set(re.findall(r"`((?:GET|POST|DELETE|PUT|PATCH) \S+)`", " ".join(SECTIONS)))
    assert described == served


def test_every_grpc_method_has_a_section() -> None:
    described = set(re.findall(r"`([A-Z][a-z]\w+)`", " ".join(SECTIONS)))
    assert described == set(pb.DESCRIPTOR.services_by_name["Recommender"].methods_by_name)


@pytest.mark.parametrize("title", [title for title in SECTIONS if title.startswith("`")])
def test_a_section_shows_the_call_in_curl_and_in_python(title: str) -> None:
    assert "\n```sh\ncurl " in SECTIONS[title]
    assert "\n```python\n" in SECTIONS[title]
    if "`, `" in title:
        assert '("http://127.0.0.1:3000", "grpc://127.0.0.1:3001")' in SECTIONS[title]


def test_every_example_shows_what_comes() -> None:
    assert [each.name for each in examples_of("docs/api.md") if each.shown is None] == []


def test_every_method_of_the_client_is_called() -> None:
    methods = {name for name in vars(Recommender) if not name.startswith("_")} - {"close"}
    assert {name for name in methods if f"longtail.{name}(" not in PAGE} == set()


@pytest.mark.parametrize(
    ("title", "request_type"),
    [
        ("`POST /recommend`, `Recommend`", RecommendRequest),
        ("`POST /describe`, `Describe`", DescribeRequest),
        ("`POST /search`, `Search`", SearchRequest),
        ("`POST /encode`, `Encode`", EncodeRequest),
        ("`POST /v1/embeddings`", EmbeddingsRequest),
        ("`POST /interactions`, `RecordInteractions`", RecordRequest),
        ("`POST /interactions`, `RecordInteractions`", InteractionIn),
        ("`GET /users/{user_id}/interactions`, `ListInteractions`", ListRequest),
    ],
)
def test_every_field_is_told_of(title: str, request_type: type[BaseModel]) -> None:
    told = set(re.findall(r"\w+", " ".join([title, *re.findall(r"`([^`\n]+)`", SECTIONS[title])])))
    assert set(request_type.model_fields) - told == set()


def test_the_defaults_are_those_of_the_service() -> None:
    told = {row[0].strip("`"): row[1].strip("`") for row in ROWS if len(row) == 3}
    for name in ("k", "descriptions", "tail_only", "adventurousness", "diversity", "explain", "priority"):
        assert told[name] == str(RecommendRequest.model_fields[name].default).replace("T", "t").replace("F", "f")
    assert told["deadline_ms"] == f"{ServiceSettings().default_deadline_ms:,}"


def test_every_kind_says_what_it_says_for_its_item() -> None:
    told = {row[0].strip("`"): row[1] for row in ROWS if len(row) == 2}
    assert set(get_args(Kind)) <= set(told)
    assert {kind: float(told[kind]) for kind in STRENGTHS} == dict(STRENGTHS)


def test_every_event_of_a_stream_is_told_of() -> None:
    told = {row[0].strip("`") for row in ROWS if len(row) == 3}
    assert {each.event for each in get_args(StreamEvent)} <= told


def test_every_refusal_has_its_status() -> None:
    told = {name: row[1] for row in ROWS for name in re.findall(r"`([a-z-]+)`", row[0]) if len(row) == 3}
    for kind, status in TABLE.items():
        if kind not in (errors.LongtailError, errors.OperatorError, errors.CallerError):
            assert told[type_of(kind.__name__).rpartition(":")[2]] == str(status.http), kind


async def _refusal(door: HttpDoor) -> str:
    asgi = httpx.ASGITransport(app=door.app)
    async with httpx.AsyncClient(transport=asgi, base_url="http://longtail") as client:
        response = await client.post("/recommend", json={"user_id": "196"})
    return _written(response.status_code, response.reason_phrase, response.headers, response.text)


def _written(status: int, phrase: str, headers: Mapping[str, str], body: str) -> str:
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\n".join(lines) + f"\n\n{body}"


async def test_what_is_refused_without_a_key_is_as_shown() -> None:
    settings = ServiceSettings(api_keys=SecretStr("a-key-of-twenty-letters"))
    check_output("http", BARE[0], await _refusal(HttpDoor(settings)))


async def test_what_is_refused_when_all_places_are_taken_is_as_shown() -> None:
    settings = ServiceSettings()
    gate = Gate(settings)
    with ExitStack() as held:
        for _ in range(settings.max_in_flight):
            held.enter_context(gate.in_flight())
        check_output("http", BARE[1], await _refusal(HttpDoor(settings, gate)))
