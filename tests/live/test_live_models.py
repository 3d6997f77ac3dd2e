"""Both models through a real Triton: the suites that the fake passes, and what only the real ones can show."""

from __future__ import annotations

import asyncio
import json
import re
import time
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from longtail_bento.settings import ServiceSettings
from longtail_client.encoder import Encoder, TextTokenizer, padded
from longtail_client.generator import Generator, Sampling
from longtail_client.testing import EncoderSuite, GeneratorSuite, TransportSuite
from longtail_client.triton_transport import TritonTransport
from longtail_export.cpu import this_cpu
from longtail_export.encoder_graph import load_encoder
from longtail_export.encoder_parity import parity_texts
from longtail_export.encoder_recipes import RECIPES
from longtail_export.encoder_runtimes import openvino_embed, torch_embed
from longtail_export.sources import fetch

CANCELLED_WITHIN_S = 3.0


class TestEncoderOnTriton(EncoderSuite):
    """The real MiniLM."""


class TestGeneratorOnTriton(GeneratorSuite):
    """The real SmolLM2."""


class TestTransportToTriton(TransportSuite):
    """The real gRPC connection."""


@pytest.mark.parametrize(("version", "precision"), [("1", "bf16"), ("2", "int8")])
async def test_triton_gives_each_text_in_company_the_vector_that_export_measured_alone(
    transport: TritonTransport, built: Path, version: str, precision: str
) -> None:
    folder = built / "model_repository" / "text_encoder" / version
    report = json.loads((folder / "report.json").read_text())
    assert report["precision"] == precision
    tokenizer = TextTokenizer(folder / "tokenizer.json")
    texts = parity_texts(folder / "tokenizer.json", 64, seed=1)
    measured = openvino_embed(folder / "model.onnx", precision)
    expected = np.concatenate([measured(*padded([row])) for row in tokenizer(texts)])
    encoder = await Encoder.connect(transport, tokenizer, version=version, timeout_s=60.0)
    got = await encoder.encode(texts)
    in_bf16 = precision == "bf16" and this_cpu().has_bf16
    asked = report["thresholds"]["batch_invariance"] if in_bf16 else 0.9999
    assert float((expected * got).sum(axis=1).min()) >= asked


async def test_triton_and_torch_agree_within_what_the_version_was_asked(encoder: Encoder, built: Path) -> None:
    folder = fetch("minilm-l6", built / "var" / "sources")
    texts = parity_texts(folder / "tokenizer.json", 64, seed=1)
    torch_model = torch_embed(load_encoder(folder))
    expected = np.concatenate([torch_model(*padded([row])) for row in TextTokenizer(folder / "tokenizer.json")(texts)])
    cosines = (expected * await encoder.encode(texts)).sum(axis=1)
    asked = RECIPES["bf16"].thresholds
    assert float(cosines.mean()) >= asked.mean_cosine
    # A CPU without units for bf16 computes this version in float32, and then it is as near as float32.
    assert float(cosines.min()) >= (asked.worst_cosine if this_cpu().has_bf16 else 0.9999)


async def test_requests_of_like_length_share_executions(encoder: Encoder, execution_count: Any) -> None:
    async with execution_count:
        await asyncio.gather(*(encoder.encode([f"a film about number {index}"]) for index in range(64)))
    assert execution_count.texts == 64
    assert execution_count.executions <= 32


async def test_a_short_request_overtakes_a_long_one(generator: Generator) -> None:
    ended: list[str] = []

    async def write(name: str, n_tokens: int) -> None:
        await generator.generate("Once upon a time there", Sampling(max_tokens=n_tokens, min_tokens=n_tokens))
        ended.append(name)

    long = asyncio.create_task(write("long", 128))
    await asyncio.sleep(0.2)
    await asyncio.gather(long, write("short", 8))
    assert ended == ["short", "long"]


async def test_a_caller_who_leaves_ends_the_generation(generator: Generator, settings: ServiceSettings) -> None:
    async with aclosing(generator.stream("Once upon a time", Sampling(max_tokens=2000, min_tokens=2000))) as pieces:
        await anext(pieces)
        assert await running_texts(settings) == 1
    left_s = time.monotonic()
    while await running_texts(settings) > 0:
        assert time.monotonic() - left_s < CANCELLED_WITHIN_S
        await asyncio.sleep(0.05)


async def test_sampling_parameters_are_honoured(generator: Generator) -> None:
    prompt = "Question: Name the days of the week.\nAnswer: Monday, Tuesday, Wednesday,"
    greedy = Sampling(max_tokens=12, temperature=0.0)
    (first,) = await generator.generate(prompt, greedy)
    (again,) = await generator.generate(prompt, greedy)
    assert first == again
    assert "Friday" in first
    (stopped,) = await generator.generate(prompt, Sampling(max_tokens=12, temperature=0.0, stop=("Friday",)))
    assert stopped.strip() == first.split("Friday")[0].strip()
    (penalised,) = await generator.generate(prompt, Sampling(max_tokens=24, temperature=0.0, repetition_penalty=2.0))
    assert penalised != (await generator.generate(prompt, Sampling(max_tokens=24, temperature=0.0)))[0]
    (short,) = await generator.generate(prompt, Sampling(max_tokens=24, temperature=0.0, stop=("day",)))
    assert "day" not in short

    warm = Sampling(max_tokens=24, temperature=1.0, seed=7)
    open_end = "Once upon a time there"
    tale = await generator.generate(open_end, warm)
    assert tale == await generator.generate(open_end, warm)
    assert tale != await generator.generate(open_end, replace(warm, seed=8))

    hot = Sampling(max_tokens=12, temperature=3.0, top_p=1.0)
    assert not only_days((await generator.generate(prompt, hot))[0])
    assert only_days((await generator.generate(prompt, replace(hot, top_k=1)))[0])
    assert only_days((await generator.generate(prompt, replace(hot, temperature=1.0, top_p=0.01)))[0])


def only_days(text: str) -> bool:
    return all(word.endswith("day") for word in re.findall(r"[A-Za-z]{2,}", text)[:-1])


async def running_texts(settings: ServiceSettings) -> int:
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://127.0.0.1:{settings.triton_metrics_port}/metrics")).text
    match = re.search(r"^longtail_generator_running_texts\{[^}]*\} (\d+)", text, re.MULTILINE)
    assert match is not None, "Triton exports no count of running texts"
    return int(match[1])
