"""Streams and callers who leave, over HTTP, against the engine's own count of running texts."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from longtail_bento.processes import ServiceProcess
from longtail_bento.settings import ServiceSettings

CANCELLED_WITHIN_S = 1.0
FIRST_TOKEN_SHARE = 0.25
USERS = ("22", "196", "244", "166", "298", "115")


@pytest.fixture
async def client(service: ServiceProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=service.url, timeout=60.0) as opened:
        yield opened


async def running_texts(settings: ServiceSettings) -> int:
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://127.0.0.1:{settings.triton_metrics_port}/metrics")).text
    (match,) = re.findall(r"^longtail_generator_running_texts\{[^}]*\} (\d+)", text, re.MULTILINE)
    return int(match)


async def ends_soon(settings: ServiceSettings) -> None:
    """Expect that the engine stops writing; what it had to do would have taken it several seconds."""
    left_s = time.monotonic()
    while await running_texts(settings) > 0:
        assert time.monotonic() - left_s < 3 * CANCELLED_WITHIN_S
        await asyncio.sleep(0.05)


async def is_writing(settings: ServiceSettings, n_texts: int) -> None:
    begun_s = time.monotonic()
    while await running_texts(settings) < n_texts:
        assert time.monotonic() - begun_s < 20, "the engine did not begin"
        await asyncio.sleep(0.02)


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


async def test_who_leaves_a_stream_ends_the_generation(client: httpx.AsyncClient, settings: ServiceSettings) -> None:
    async with AsyncExitStack() as callers:
        bodies = [{"user_id": user, "descriptions": 16} for user in USERS]
        streams = [client.stream("POST", "/recommend/stream", json=body) for body in bodies]
        await asyncio.gather(*(callers.enter_async_context(stream) for stream in streams))
        await is_writing(settings, 16 * 3)
    await ends_soon(settings)


async def test_who_leaves_a_plain_call_ends_the_generation(service: ServiceProcess, settings: ServiceSettings) -> None:
    async with httpx.AsyncClient(base_url=service.url, timeout=60.0) as client:
        calls: list[asyncio.Task[Any]] = [
            asyncio.create_task(client.post(path, json={"user_id": user, "descriptions": 16}))
            for user, path in zip(USERS, ("/recommend", "/describe") * 3, strict=True)
        ]
        await is_writing(settings, 16 * 3)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    await ends_soon(settings)
