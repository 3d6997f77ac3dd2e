"""Keys, origins and the documentation of the whole HTTP door."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from longtail_bento.http_app import HttpDoor
from longtail_bento.http_paths import METHODS, path_of
from longtail_bento.settings import ServiceSettings

KEY = "a-good-key-for-tests"
SHOP = "https://shop.example"


def client(**settings: Any) -> httpx.AsyncClient:
    asgi = httpx.ASGITransport(app=HttpDoor(ServiceSettings(**settings)).app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=asgi, base_url="http://127.0.0.1")


@pytest.mark.parametrize("path", [*METHODS, "/", "/nowhere"])
async def test_every_path_asks_for_a_key(path: str) -> None:
    async with client(api_keys=KEY) as caller:
        for method in METHODS.get(path, ("GET", "POST")):
            response = await caller.request(method, path, json={} if method == "POST" else None)
            assert response.status_code == 401
            assert response.headers["www-authenticate"].startswith("Bearer")
            assert response.headers["content-type"] == "application/problem+json"
            wrong = await caller.request(method, path, headers={"authorization": "Bearer wrong"})
            assert 'error="invalid_token"' in wrong.headers["www-authenticate"]
        good = await caller.post("/encode", json={}, headers={"authorization": f"Bearer {KEY}"})
        assert good.status_code == 422


@pytest.mark.parametrize(
    ("path", "status"), [("/docs.json", 200), ("/livez", 200), ("/readyz", 503), ("/metrics", 401)]
)
async def test_probes_and_the_documentation_need_no_key_and_no_place(path: str, status: int) -> None:
    async with client(api_keys=KEY) as caller:
        assert (await caller.get(path)).status_code == status


async def test_pages_of_other_origins_are_refused_by_default() -> None:
    async with client() as caller:
        response = await caller.post("/encode", json={}, headers={"origin": SHOP})
        assert not [name for name in response.headers if name.startswith("access-control")]


async def test_pages_of_the_origins_that_were_set_may_call() -> None:
    asked = {"origin": SHOP, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    async with client(api_keys=KEY, cors_origins=f"{SHOP}, https://other.example") as caller:
        preflight = await caller.options("/recommend", headers=asked)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == SHOP
        refused = await caller.post("/recommend", json={}, headers={"origin": SHOP})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == SHOP
        assert "X-Request-ID" in refused.headers["access-control-expose-headers"]
        stranger = await caller.options("/recommend", headers=asked | {"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in stranger.headers


@pytest.mark.parametrize("keys", [None, KEY])
async def test_the_documentation_says_whether_a_key_is_needed(keys: str | None) -> None:
    async with client(api_keys=keys) as caller:
        document = (await caller.get("/docs.json")).json()
    assert set(document["paths"]) == set(METHODS)
    assert {
        path: tuple(sorted(each.upper() for each in operations)) for path, operations in document["paths"].items()
    } == dict(METHODS)
    assert ("security" in document) == (keys is not None)
    for operations in document["paths"].values():
        for operation in operations.values():
            assert ("401" in operation["responses"]) == (keys is not None)
            problems = {status: each for status, each in operation["responses"].items() if status >= "400"}
            assert all(set(each["content"]) == {"application/problem+json"} for each in problems.values())
            assert "Retry-After" in problems["429"]["headers"]
            assert {"408", "413"} <= set(problems)  # a body is read where none is looked at


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/users/eve/interactions", "/users/{user_id}/interactions"),
        ("/users/a/b/interactions", "/users/{user_id}/interactions"),
        ("/users//interactions", "/users/{user_id}/interactions"),
        ("/users/interactions", None),
        ("/users/eve", None),
        ("/recommend", "/recommend"),
        ("/recommend/", None),
        ("/", None),
    ],
)
def test_a_path_of_the_api_is_known_without_its_user(path: str, expected: str | None) -> None:
    assert path_of(path) == expected
