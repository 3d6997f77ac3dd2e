"""A generator version for the transformers engine, under the real tritonserver: streamed and batched."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest

from longtail_bento.settings import ServiceSettings
from longtail_bento.triton.launcher import TritonServer
from longtail_client.generator import Generator, Sampling
from longtail_client.testing import GeneratorSuite
from longtail_client.triton_transport import TritonTransport

PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def server(
    transformers_version: Path,
    settings: ServiceSettings,
    module_ports: dict[str, int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[TritonServer]:
    """A tritonserver that serves it and nothing else."""
    apart = settings.model_copy(
        update={
            **module_ports,
            "var": tmp_path_factory.mktemp("transformers-var"),
            "model_repository": transformers_version.parents[1],
            "start_timeout_s": 180.0,
        }
    )
    with TritonServer(apart, models=("generator",)) as server:
        yield server


@pytest.fixture
async def generator(server: TritonServer) -> AsyncIterator[Generator]:
    """A client of it."""
    transport = TritonTransport(server.url)
    yield await Generator.connect(transport, version="1", timeout_s=120.0)
    await transport.close()


class TestTransformersUnderTriton(GeneratorSuite):
    """Every promise of a generator."""


async def test_a_greedy_text_knows_its_facts(generator: Generator) -> None:
    (text,) = await generator.generate("The capital of France is", Sampling(max_tokens=8, temperature=0.0))
    assert "Paris" in text


async def test_a_short_text_joins_a_long_one_and_ends_first(generator: Generator) -> None:
    ended = []

    async def write(name: str, n_tokens: int) -> None:
        await generator.generate("Once upon a time there", Sampling(max_tokens=n_tokens, min_tokens=n_tokens))
        ended.append(name)

    async with aclosing(
        generator.stream("Once upon a time", Sampling(n=2, max_tokens=2000, min_tokens=2000))
    ) as pieces:
        await anext(pieces)
        await asyncio.gather(write("long", 24), write("short", 4))
        assert ended == ["short", "long"]
        assert any(await anext(pieces))


async def test_requests_share_the_engines_steps(generator: Generator, server: TritonServer) -> None:
    sampling = Sampling(n=2, max_tokens=48, min_tokens=48)
    writing = [asyncio.create_task(generator.generate(f"Film number {index}:", sampling)) for index in range(3)]
    most = 0
    while not all(task.done() for task in writing):
        most = max(most, await running_texts(server))
        await asyncio.sleep(0.02)
    assert most == 6
    assert [len(await task) for task in writing] == [2, 2, 2]


async def test_a_caller_who_leaves_ends_the_generation(generator: Generator, server: TritonServer) -> None:
    async with aclosing(generator.stream("Once upon a time", Sampling(max_tokens=2000, min_tokens=2000))) as pieces:
        await anext(pieces)
        assert await running_texts(server) == 1
    left_s = time.monotonic()
    while await running_texts(server) > 0:
        assert time.monotonic() - left_s < PATIENCE_S
        await asyncio.sleep(0.05)


async def test_a_lone_text_repeats_by_its_seed(generator: Generator) -> None:
    sampling = Sampling(max_tokens=16, temperature=1.0, seed=7)
    first = await generator.generate("Once upon a time there", sampling)
    assert await generator.generate("Once upon a time there", sampling) == first
    assert await generator.generate("Once upon a time there", Sampling(max_tokens=16, temperature=1.0, seed=8)) != first


async def running_texts(server: TritonServer) -> int:
    async with httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{server.settings.triton_metrics_port}/metrics"
        text = (await client.get(url)).text
    match = re.search(r"^longtail_generator_running_texts\{[^}]*\} (\d+)", text, re.MULTILINE)
    assert match is not None, "Triton exports no count of running texts"
    return int(match[1])
