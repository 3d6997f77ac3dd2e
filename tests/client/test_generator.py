"""The generator client: vLLM's tensors with and without a batch dimension, streams, and cancelling them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from longtail_client.contract import Array
from longtail_client.errors import ContractMismatch, DeadlineExceeded, ModelUnavailable
from longtail_client.generator import Generator, Sampling
from longtail_client.testing import FAKE_VERSION, FakeTransport, GeneratorSuite


class TestGeneratorOnTheFake(GeneratorSuite):
    @pytest.fixture
    async def generator(self) -> Generator:
        return await Generator.connect(FakeTransport(max_batch_size=32), version=FAKE_VERSION)


class TestGeneratorOnTheFakeWithoutABatchDimension(GeneratorSuite):
    @pytest.fixture
    async def generator(self) -> Generator:
        return await Generator.connect(FakeTransport(max_batch_size=0), version=FAKE_VERSION)


class RecordingTransport(FakeTransport):
    """Keeps the last inputs, and answers with raw bytes where the test gives some."""

    def __init__(self, *, max_batch_size: int = 32, answer: tuple[bytes, ...] | None = None) -> None:
        super().__init__(max_batch_size=max_batch_size)
        self.inputs: Mapping[str, Array] = {}
        self.answer = answer

    async def stream(
        self, model: str, version: str, inputs: Mapping[str, Array], *, timeout_s: float, **more: Any
    ) -> AsyncIterator[Mapping[str, Array]]:
        self.inputs = inputs
        if self.answer is not None:
            yield {"text_output": np.array([self.answer], dtype=np.object_)}
            return
        async for response in super().stream(model, version, inputs, timeout_s=timeout_s, **more):
            yield response


@pytest.mark.parametrize(("max_batch_size", "shape"), [(32, (1, 1)), (0, (1,))])
async def test_tensors_have_a_batch_dimension_only_where_the_model_has(
    max_batch_size: int, shape: tuple[int, ...]
) -> None:
    transport = FakeTransport(max_batch_size=max_batch_size)
    generator = await Generator.connect(transport, version=FAKE_VERSION)
    await generator.generate("Once", Sampling())
    names = ("text_input", "stream", "sampling_parameters", "exclude_input_in_output")
    assert transport.calls == [("generator", dict.fromkeys(names, shape))]


async def test_the_tensors_say_what_the_call_asked() -> None:
    transport = RecordingTransport()
    generator = await Generator.connect(transport, version=FAKE_VERSION)
    await generator.generate("Écris: 映画", Sampling(n=2, stop=("\n",), seed=7, temperature=0.0))
    sent = {name: array.reshape(-1)[0] for name, array in transport.inputs.items()}
    assert sent["text_input"].decode() == "Écris: 映画"
    assert not sent["stream"]
    assert sent["exclude_input_in_output"]
    assert json.loads(sent["sampling_parameters"]) == {
        "n": 2,
        "max_tokens": 32,
        "min_tokens": 0,
        "temperature": 0.0,
        "top_p": 0.95,
        "top_k": -1,
        "repetition_penalty": 1.0,
        "stop": ["\n"],
        "seed": 7,
    }


async def test_a_stream_asks_for_one() -> None:
    transport = RecordingTransport()
    generator = await Generator.connect(transport, version=FAKE_VERSION)
    assert [piece async for piece in generator.stream("Once", Sampling(n=2))] == [
        ["Drama, ", "Comedy, "],
        ["1990s", "1980s"],
    ]
    assert transport.inputs["stream"].tolist() == [[True]]


async def test_texts_come_back_in_order() -> None:
    generator = await Generator.connect(FakeTransport(lines=("one", "two", "three")), version=FAKE_VERSION)
    assert await generator.generate("Once", Sampling(n=3)) == ["one", "two", "three"]


async def test_bytes_that_are_no_utf8_become_replacement_characters() -> None:
    generator = await Generator.connect(RecordingTransport(answer=(b"caf\xe9",)), version=FAKE_VERSION)
    assert await generator.generate("Once", Sampling()) == ["caf\ufffd"]


async def test_another_number_of_texts_is_a_mismatch() -> None:
    generator = await Generator.connect(RecordingTransport(answer=(b"a", b"b")), version=FAKE_VERSION)
    with pytest.raises(ContractMismatch, match="generator version 1: expected 3 texts, got 2"):
        await generator.generate("Once", Sampling(n=3))


async def test_closing_a_stream_early_has_cancelled_it_in_the_model() -> None:
    transport = FakeTransport()
    generator = await Generator.connect(transport, version=FAKE_VERSION)
    async with aclosing(generator.stream("Once", Sampling(n=2))) as pieces:
        assert await anext(pieces) == ["Drama, ", "Comedy, "]
        assert transport.cancelled == 0
    assert transport.cancelled == 1


async def test_a_stream_read_to_its_end_cancels_nothing() -> None:
    transport = FakeTransport()
    generator = await Generator.connect(transport, version=FAKE_VERSION)
    async with aclosing(generator.stream("Once", Sampling())) as pieces:
        assert len([piece async for piece in pieces]) == 2
    assert transport.cancelled == 0


@pytest.mark.parametrize(("own_s", "call_s"), [(30.0, 0.01), (0.01, None)])
async def test_a_call_has_the_time_that_it_says_or_else_the_generators_own(own_s: float, call_s: float | None) -> None:
    transport = FakeTransport()
    generator = await Generator.connect(transport, version=FAKE_VERSION, timeout_s=own_s)
    transport.delay_s = 20.0
    with pytest.raises(DeadlineExceeded, match=r"0\.01 s were allowed"):
        await generator.generate("Once", Sampling(), timeout_s=call_s)


async def test_a_call_may_say_more_time_than_the_generators_own() -> None:
    generator = await Generator.connect(FakeTransport(delay_s=0.05), version=FAKE_VERSION, timeout_s=0.01)
    assert await generator.generate("Once", Sampling(), timeout_s=60.0)


async def test_connecting_has_a_time_limit_of_its_own() -> None:
    with pytest.raises(DeadlineExceeded, match=r"0\.03 s were allowed"):
        await Generator.connect(FakeTransport(delay_s=20.0), version=FAKE_VERSION, connect_timeout_s=0.03)


async def test_a_version_nobody_serves_is_unavailable() -> None:
    with pytest.raises(ModelUnavailable, match="generator version 2"):
        await Generator.connect(FakeTransport(), version="2")
