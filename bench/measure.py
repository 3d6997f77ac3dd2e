"""Measurements of a running stack, each beside a peer where it has one."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import httpx
import numpy as np
import openvino_genai
import psutil

from longtail_bento.settings import ServiceSettings
from longtail_client.encoder import Encoder, TextTokenizer, padded
from longtail_client.generator import Generator, Sampling
from longtail_client.manifest import read_manifest
from longtail_client.release import read_release
from longtail_client.release_state import read_state
from longtail_client.triton_transport import TritonTransport
from longtail_export.encoder_graph import load_encoder
from longtail_export.encoder_parity import parity_texts
from longtail_export.encoder_runtimes import openvino_embed, torch_embed
from longtail_export.sources import fetch

ROUNDS = 5
N_REQUESTS = 40
TEXTS = [f"Drama, Comedy, 19{60 + index % 40}s, France, about a journey number {index}" for index in range(64)]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row of the table.

    Attributes:
        what: What was measured, with its load.
        measured: The figure, with its unit.
        peer: The peer and its figure; empty where there is none.
        ratio: Ours to the peer's; None where there is none.
    """

    what: str
    measured: str
    peer: str = ""
    ratio: float | None = None


async def recommend(url: str) -> list[Measurement]:
    """Time `/recommend` with 4 descriptions of at most 32 tokens, one request after another, for different users."""
    milliseconds, degraded = [], 0
    async with httpx.AsyncClient(base_url=url, timeout=60.0) as client:
        for user in range(1, N_REQUESTS + 1):
            start_s = time.perf_counter()
            answer = (await client.post("/recommend", json={"user_id": str(user)})).raise_for_status().json()
            milliseconds.append((time.perf_counter() - start_s) * 1000)
            degraded += bool(answer["degraded"])
    ordered = sorted(milliseconds)
    return [
        Measurement("/recommend, 4 descriptions, concurrency 1: median", f"{statistics.median(ordered):.0f} ms"),
        Measurement("the same: 95th percentile", f"{ordered[int(0.95 * len(ordered))]:.0f} ms"),
        Measurement("the same: answers that were degraded", f"{degraded} of {len(ordered)}"),
    ]


async def executions(url: str, settings: ServiceSettings) -> list[Measurement]:
    """Count the executions that sixteen concurrent `/encode` calls become, by Triton's own statistics."""
    transport, version = TritonTransport(settings.triton_grpc), _live_encoder(settings)
    async with httpx.AsyncClient(base_url=url, timeout=60.0) as client:

        async def sixteen() -> None:
            calls = (client.post("/encode", json={"texts": [text]}) for text in TEXTS[:16])
            for response in await asyncio.gather(*calls):
                response.raise_for_status()

        await sixteen()
        counts = []
        for _ in range(ROUNDS):
            await asyncio.sleep(1.5)  # Triton's statistics lag behind its answers
            _, before = await transport.executions("text_encoder", version, timeout_s=5.0)
            await sixteen()
            await asyncio.sleep(1.5)
            _, after = await transport.executions("text_encoder", version, timeout_s=5.0)
            counts.append(after - before)
    await transport.close()
    return [Measurement("16 concurrent /encode calls: executions of the model", f"{max(counts)} at most")]


async def encoder_against_peer(settings: ServiceSettings) -> list[Measurement]:
    """Compare the live encoder through Triton with the same version in process, and its vectors with torch's."""
    version = _live_encoder(settings)
    folder = settings.model_repository / "text_encoder" / version
    precision = read_manifest(folder)["precision"]
    tokenizer = TextTokenizer(folder / "tokenizer.json")
    transport = TritonTransport(settings.triton_grpc)
    encoder = await Encoder.connect(transport, tokenizer, version=version, timeout_s=60.0)
    same_version = openvino_embed(folder / "model.onnx", precision)

    async def through_triton(texts: list[str]) -> None:
        await encoder.encode(texts)

    async def in_process(texts: list[str]) -> None:
        same_version(*padded(tokenizer(texts)))

    rows = []
    for n_texts in (1, 32):
        texts = TEXTS[:n_texts]
        ours, peer = await _taking_turns(partial(through_triton, texts), partial(in_process, texts))
        rows.append(
            Measurement(
                f"{precision} encoder through Triton, requests of {n_texts}",
                f"{n_texts / ours:.0f} texts/s",
                f"in process {n_texts / peer:.0f} texts/s",
                peer / ours,
            )
        )

    source = fetch("minilm-l6", settings.var / "sources")
    texts = parity_texts(source / "tokenizer.json")
    torch_model = torch_embed(load_encoder(source))
    expected = np.concatenate([torch_model(*padded([row])) for row in tokenizer(texts)])
    cosines = (expected * await encoder.encode(texts)).sum(axis=1)
    await transport.close()
    rows.append(
        Measurement(
            f"worst cosine of the {precision} encoder's vectors to torch's, {len(texts)} texts", f"{cosines.min():.7f}"
        )
    )
    return rows


async def generator_against_peer(settings: ServiceSettings) -> list[Measurement]:
    """Compare 4 texts of one prompt through Triton with the same engine in process."""
    prompt = "I liked Fargo, Heat and Casino. " * 12
    folder = settings.model_repository / "generator" / "1"
    transport = TritonTransport(settings.triton_grpc)
    generator = await Generator.connect(transport, version="1", timeout_s=60.0)
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = 1
    scheduler.enable_prefix_caching = True
    pipeline = openvino_genai.ContinuousBatchingPipeline(str(folder), scheduler, "CPU")
    config = pipeline.get_config()
    config.max_new_tokens = config.min_new_tokens = 32
    config.do_sample, config.num_return_sequences = True, 4

    async def through_triton() -> None:
        await generator.generate(prompt, Sampling(n=4, max_tokens=32, min_tokens=32))

    async def in_process() -> None:
        pipeline.generate([prompt], [config])

    ours, peer = await _taking_turns(through_triton, in_process)
    await transport.close()
    return [
        Measurement(
            "generator through Triton, 4 texts of 32 tokens",
            f"{ours * 1000:.0f} ms",
            f"openvino-genai in process {peer * 1000:.0f} ms",
            ours / peer,
        )
    ]


def memory() -> Measurement:
    """Add up what is resident of this process's children: Triton, its models, the service."""
    processes = psutil.Process().children(recursive=True)
    resident = sum(process.memory_info().rss for process in processes if process.is_running())
    return Measurement(f"resident memory of all {len(processes)} processes", f"{resident / 2**30:.2f} GiB")


def _live_encoder(settings: ServiceSettings) -> str:
    return read_release(settings.var, read_state(settings.var).live_name()).encoder.version


async def _taking_turns(first: Callable[[], Awaitable[None]], second: Callable[[], Awaitable[None]]) -> list[float]:
    """Run two things in turns, once each unmeasured, and return the median seconds of both."""
    seconds: tuple[list[float], list[float]] = ([], [])
    await first()
    await second()
    for _ in range(ROUNDS * 3):
        for index, run in enumerate((first, second)):
            start_s = time.perf_counter()
            await run()
            seconds[index].append(time.perf_counter() - start_s)
    return [statistics.median(each) for each in seconds]
