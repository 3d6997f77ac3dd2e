"""Streams, and callers who leave either door, against the engine's own count of running texts."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from longtail_bento.processes import ServiceProcess
from longtail_bento.settings import ServiceSettings
from longtail_bento.triton.launcher import TritonServer
from longtail_client import AsyncRecommender
from longtail_client.release import RELEASE_FILE, prompt_sha256, read_release, sealed
from longtail_client.release_state import ReleaseState, changing_state, write_state

CANCELLED_WITHIN_S = 1.0
FIRST_TOKEN_SHARE = 0.25


@pytest.fixture
async def client(service: ServiceProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=service.url, timeout=60.0) as opened:
        yield opened


async def running_texts(settings: ServiceSettings) -> int:
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://127.0.0.1:{settings.triton_metrics_port}/metrics")).text
    (match,) = re.findall(r"^longtail_generator_running_texts\{[^}]*\} (\d+)", text, re.MULTILINE)
    return int(match)


async def until_running(settings: ServiceSettings, n_texts: int) -> None:
    begun_s = time.monotonic()
    while await running_texts(settings) != n_texts:
        assert time.monotonic() - begun_s < 30, f"the engine never had {n_texts} texts"
        await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def wordy(
    settings: ServiceSettings, triton: TritonServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceSettings]:
    """A service of its own whose release has the generator ramble on: 16 texts take it more than five seconds."""
    var = tmp_path_factory.mktemp("wordy")
    (var / "catalogues").symlink_to(settings.var / "catalogues")
    shutil.copy(settings.var / "longtail.db", var)
    release = read_release(settings.var, "demo-1")
    prompt = release.prompt.model_copy(update={"max_tokens": 256, "stop": (), "temperature": 5.0, "top_p": 1.0})
    changes = {"name": "wordy", "prompt": prompt, "prompt_sha256": prompt_sha256(prompt)}
    rambling = sealed(release.model_copy(update=changes))
    (var / "releases" / "wordy").mkdir(parents=True)
    (var / "releases" / "wordy" / RELEASE_FILE).write_text(rambling.model_dump_json())
    with changing_state(var):
        write_state(var, ReleaseState(live="wordy"))
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        port, grpc_port = one.getsockname()[1], other.getsockname()[1]
    own = settings.model_copy(update={"var": var, "port": port, "grpc_port": grpc_port})
    process = ServiceProcess(own)
    process.start()
    process.wait_for("/readyz")
    yield own
    process.stop()


async def test_a_stream_tells_of_tokens_early_and_ends_in_the_plain_answer(client: httpx.AsyncClient) -> None:
    shares = []
    for seed in range(3):
        begun_s = time.monotonic()
        names, first_s, items = [], 0.0, {}
        async with client.stream("POST", "/recommend/stream", json={"user_id": "22", "seed": seed}) as response:
            name = ""
            async for line in response.aiter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                    names.append(name)
                    if name == "token" and not first_s:
                        first_s = time.monotonic() - begun_s
                elif line.startswith("data: ") and name == "items":
                    items = json.loads(line.removeprefix("data: "))
        assert [each for each in names if each != "token"] == ["release", "items", "done"]
        assert names.count("token") > 8
        shares.append(first_s / (time.monotonic() - begun_s))
    assert min(shares) < FIRST_TOKEN_SHARE, shares
    given = [each["text"] for each in items["descriptions"]]
    again = (await client.post("/recommend", json={"user_id": "22", "given_descriptions": given})).json()
    assert [item["item_id"] for item in again["items"]] == [item["item_id"] for item in items["items"]]
    for one, other in zip(again["items"], items["items"], strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-4)


@pytest.mark.parametrize("door", ["http", "grpc"])
async def test_who_leaves_ends_the_generation(wordy: ServiceSettings, door: str) -> None:
    port = wordy.port if door == "http" else wordy.grpc_port
    asked: dict[str, Any] = {"user_id": "196", "descriptions": 16}
    async with AsyncRecommender(f"{door}://{wordy.host}:{port}") as longtail:

        async def listen() -> None:
            async for _ in longtail.recommend_stream(**asked):
                pass

        for call in (lambda: longtail.recommend(**asked), lambda: longtail.describe(**asked), listen):
            waiting = asyncio.ensure_future(call())
            await until_running(wordy, 16)
            await asyncio.sleep(0.3)
            assert await running_texts(wordy) == 16, "the texts are long enough to be left in the middle"
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting
            left_s = time.monotonic()
            await until_running(wordy, 0)
            assert time.monotonic() - left_s < 3 * CANCELLED_WITHIN_S
