"""For tests: a fake of the one seam to Triton, and the suites that the fake and a live Triton both pass.

A suite is a class to inherit from; its subclass brings the fixture that the suite names.
"""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest

from longtail_client.contract import (
    GENERATOR,
    TEXT_ENCODER,
    Array,
    Matrix,
    ModelConfig,
    ModelSpec,
    Priority,
    TensorSpec,
    check_tensor,
)
from longtail_client.encoder import Encoder
from longtail_client.errors import ContractMismatch, DeadlineExceeded, ModelNotLoaded, ModelUnavailable
from longtail_client.generator import Generator, Sampling
from longtail_client.transport import Transport

FAKE_VERSION = "1"
FAKE_SLOW_S = 5.0

Fault = Literal["slow", "silent", "broken", "absent"]


class FakeTransport:
    """Stands in for Triton: vectors from hashed token ids, texts from a script.

    Texts that share tokens get near vectors, as with a real encoder, and a row's vector depends on nothing but its
    own ids. Every call is noted in ``calls``.

    Args:
        dim: Length of a vector.
        lines: What the generator writes, one text after another, over and over.
        max_batch_size: Of both models; 0 makes the generator one without a batch dimension, as vLLM's is.
        delay_s: Seconds before each answer, and between two pieces of a stream.

    Attributes:
        served: Versions of each model that answer. Each version of the encoder has vectors of its own.
        loadable: Versions that `serve_versions` can load.
        loads: Each call of `serve_versions`.
        parameters: What those calls told it of each model.
        down: Whether nothing answers.
        faults: What is wrong with a model: it takes `FAKE_SLOW_S` before each answer and piece, never answers and
            keeps no time limit, answers something else than its contract says, or is not there.
        limits: Seconds and priority of each call.
        cancelled: Generations that were ended before they were whole.
    """

    def __init__(
        self,
        *,
        dim: int = 16,
        lines: tuple[str, ...] = ("Drama, 1990s", "Comedy, 1980s", "Western, 1960s", "Horror, 1970s"),
        max_batch_size: int = 32,
        delay_s: float = 0.0,
    ) -> None:
        self.dim = dim
        self.lines = lines
        self.max_batch_size = max_batch_size
        self.delay_s = delay_s
        self.down = False
        self.served = {name: {FAKE_VERSION} for name in (TEXT_ENCODER.name, GENERATOR.name)}
        self.loadable = {name: {FAKE_VERSION} for name in self.served}
        self.parameters: dict[str, dict[str, str]] = {name: {} for name in self.served}
        self.loads: list[tuple[str, tuple[str, ...]]] = []
        self.calls: list[tuple[str, dict[str, tuple[int, ...]]]] = []
        self.limits: list[tuple[str, float, Priority]] = []
        self.faults: dict[str, Fault] = {}
        self.cancelled = 0

    async def infer(
        self,
        model: str,
        version: str,
        inputs: Mapping[str, Array],
        *,
        timeout_s: float,
        priority: Priority = Priority.INTERACTIVE,
    ) -> Mapping[str, Array]:
        """See `Transport.infer`."""
        self._check(TEXT_ENCODER, model, version)
        self._note(model, inputs, timeout_s, priority)
        for spec in TEXT_ENCODER.inputs:
            check_tensor(model, spec, inputs[spec.name], batched=True)
        await self._pass_time(model, timeout_s)
        if self.faults.get(model) == "broken":
            return {"embedding": np.full((len(inputs["input_ids"]), self.dim), np.nan, dtype=np.float32)}
        rows = zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
        return {"embedding": np.stack([self._vector(ids[mask == 1], version) for ids, mask in rows])}

    async def stream(
        self,
        model: str,
        version: str,
        inputs: Mapping[str, Array],
        *,
        timeout_s: float,
        priority: Priority = Priority.INTERACTIVE,
    ) -> AsyncGenerator[Mapping[str, Array], None]:
        """See `Transport.stream`."""
        self._check(GENERATOR, model, version)
        self._note(model, inputs, timeout_s, priority)
        for spec in GENERATOR.inputs:
            check_tensor(model, spec, inputs[spec.name], batched=self.max_batch_size > 0)
        sampling = json.loads(inputs["sampling_parameters"].reshape(-1)[0])
        if sampling["max_tokens"] > 2048:
            raise ContractMismatch("sampling_parameters.max_tokens: expected an integer from 1 to 2048")
        n_texts = sampling["n"] + (self.faults.get(model) == "broken")
        texts = [self.lines[index % len(self.lines)] for index in range(n_texts)]
        words = [re.findall(r"\S+\s*", text)[: sampling["max_tokens"]] for text in texts]
        try:
            if inputs["stream"].reshape(-1)[0]:
                for position in range(max(map(len, words))):
                    await self._pass_time(model, timeout_s)
                    yield self._texts([part[position] if position < len(part) else "" for part in words])
            else:
                await self._pass_time(model, timeout_s)
                yield self._texts(["".join(part) for part in words])
        except (GeneratorExit, asyncio.CancelledError):
            self.cancelled += 1
            raise

    async def model_config(self, model: str, version: str, *, timeout_s: float) -> ModelConfig:
        """See `Transport.model_config`."""
        spec = {TEXT_ENCODER.name: TEXT_ENCODER, GENERATOR.name: GENERATOR}.get(model, TEXT_ENCODER)
        self._check(spec, model, version)
        await self._pass_time(model, timeout_s)
        outputs = (TensorSpec("embedding", "FP32", (self.dim,)),) if spec is TEXT_ENCODER else spec.outputs
        return ModelConfig(
            name=model,
            backend="fake",
            max_batch_size=self.max_batch_size,
            decoupled=spec.decoupled,
            versions=tuple(sorted(self.served[model])),
            inputs=spec.inputs,
            outputs=outputs,
        )

    async def served_versions(self, model: str, *, timeout_s: float) -> tuple[str, ...]:
        """See `Transport.served_versions`."""
        await self._pass_time(model, timeout_s)
        if self.down or not self.served[model]:
            raise ModelUnavailable(f"{model}: the fake is down, or serves none")
        return tuple(sorted(self.served[model]))

    async def serve_versions(
        self, model: str, versions: Sequence[str], *, parameters: Mapping[str, str] | None = None, timeout_s: float
    ) -> None:
        """See `Transport.serve_versions`."""
        if self.down:
            raise ModelUnavailable(f"{model}: the fake is down")
        await self._pass_time(model, timeout_s)
        self.loads.append((model, tuple(versions)))
        broken = set(versions) - self.loadable[model]
        if broken:
            raise ModelNotLoaded(f"{model} version {', '.join(sorted(broken))}: the fake cannot load it")
        self.served[model] = set(versions)
        self.parameters[model].update(parameters or {})

    async def close(self) -> None:
        """See `Transport.close`."""

    def _check(self, spec: ModelSpec, model: str, version: str) -> None:
        if self.down or self.faults.get(model) == "absent":
            raise ModelUnavailable(f"{model} version {version}: the fake is down")
        if model != spec.name or version not in self.served[spec.name]:
            raise ModelUnavailable(f"{model} version {version}: the fake has {spec.name} {self.served[spec.name]}")

    def _note(self, model: str, inputs: Mapping[str, Array], timeout_s: float, priority: Priority) -> None:
        self.calls.append((model, {name: array.shape for name, array in inputs.items()}))
        self.limits.append((model, timeout_s, priority))

    async def _pass_time(self, model: str, timeout_s: float) -> None:
        fault = self.faults.get(model)
        if fault == "silent":
            await asyncio.Event().wait()
        delay_s = max(self.delay_s, FAKE_SLOW_S if fault == "slow" else 0.0)
        if delay_s > timeout_s:
            await asyncio.sleep(timeout_s)
            raise DeadlineExceeded(f"{model}: the fake takes {delay_s} s, {timeout_s} s were allowed")
        await asyncio.sleep(delay_s)

    def _vector(self, ids: Array, version: str = FAKE_VERSION) -> Matrix:
        total = np.zeros(self.dim)
        for token in ids.tolist():
            total += _token_vector(f"{token}" if version == FAKE_VERSION else f"{token} in {version}", self.dim)
        return np.asarray(total / max(float(np.linalg.norm(total)), 1e-9), dtype=np.float32)

    def _texts(self, texts: list[str]) -> dict[str, Array]:
        array = np.array([text.encode() for text in texts], dtype=np.object_)
        return {"text_output": array[np.newaxis] if self.max_batch_size else array}


@cache
def _token_vector(token: str, dim: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(zlib.crc32(token.encode())).standard_normal(dim)


class EncoderSuite:
    """What every encoder does. Brings: the fixture ``encoder``, an `Encoder`."""

    async def test_vectors_are_unit_rows_in_order(self, encoder: Encoder) -> None:
        texts = ["a quiet drama", "a loud western", "a quiet drama"]
        vectors = await encoder.encode(texts)
        assert vectors.shape == (3, encoder.dim)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
        np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-5)
        assert float(vectors[0] @ vectors[1]) < 0.999

    async def test_no_texts_give_no_vectors(self, encoder: Encoder) -> None:
        assert (await encoder.encode([])).shape == (0, encoder.dim)

    async def test_a_vector_does_not_depend_on_its_neighbours(self, encoder: Encoder) -> None:
        text = "a thriller about a lighthouse"
        alone = await encoder.encode([text])
        long = " ".join(["lighthouse"] * 250)
        for neighbours in (["short"] * 31, [long], [long, "short", "a thriller"]):
            together = await encoder.encode([text, *neighbours])
            assert float(alone[0] @ together[0]) >= 0.9999

    async def test_many_texts_come_back_in_order(self, encoder: Encoder) -> None:
        texts = [f"film number {index} " + "and more " * (index % 40) for index in range(150)]
        vectors = await encoder.encode(texts)
        for index in (0, 77, 149):
            alone = await encoder.encode([texts[index]])
            assert float(alone[0] @ vectors[index]) >= 0.9999

    async def test_what_is_too_long_is_cut(self, encoder: Encoder) -> None:
        vectors = await encoder.encode(["sea " * 254, "sea " * 5000])
        assert float(vectors[0] @ vectors[1]) >= 0.9999

    async def test_any_text_is_embedded(self, encoder: Encoder) -> None:
        vectors = await encoder.encode(["", " ", "\x00", "日本の映画", "🎬", "a" * 10_000])
        assert np.isfinite(vectors).all()


class GeneratorSuite:
    """What every generator does. Brings: the fixture ``generator``, a `Generator`."""

    async def test_n_texts_without_the_prompt(self, generator: Generator) -> None:
        texts = await generator.generate("Once upon a time", Sampling(n=3, max_tokens=8))
        assert len(texts) == 3
        assert all(isinstance(text, str) and "Once upon a time" not in text for text in texts)

    async def test_pieces_make_texts(self, generator: Generator) -> None:
        pieces = [piece async for piece in generator.stream("Once upon a time", Sampling(n=2, max_tokens=8))]
        assert len(pieces) > 1
        assert all(len(piece) == 2 for piece in pieces)
        assert all("".join(column).strip() for column in zip(*pieces, strict=True))

    async def test_max_tokens_bounds_a_text(self, generator: Generator) -> None:
        (short,) = await generator.generate("Once upon a time", Sampling(max_tokens=1, temperature=0.0))
        (long,) = await generator.generate("Once upon a time", Sampling(max_tokens=4, min_tokens=4, temperature=0.0))
        assert len(short.split()) <= 1
        assert len(long) > len(short)

    async def test_refused_parameters_name_themselves(self, generator: Generator) -> None:
        with pytest.raises(ContractMismatch, match="max_tokens"):
            await generator.generate("Once", Sampling(max_tokens=100_000))


class TransportSuite:
    """What every transport does. Brings: the fixture ``transport``, a `Transport` to the demo's models."""

    async def test_a_version_nobody_serves_is_unavailable(self, transport: Transport) -> None:
        with pytest.raises(ModelUnavailable, match="text_encoder version 99"):
            await transport.model_config(TEXT_ENCODER.name, "99", timeout_s=5.0)

    async def test_the_configuration_says_what_is_served(self, transport: Transport) -> None:
        config = await transport.model_config(GENERATOR.name, FAKE_VERSION, timeout_s=5.0)
        assert config.decoupled
        assert {tensor.name for tensor in config.inputs} == {tensor.name for tensor in GENERATOR.inputs}

    async def test_what_is_served_is_listed(self, transport: Transport) -> None:
        for model in (TEXT_ENCODER.name, GENERATOR.name):
            assert FAKE_VERSION in await transport.served_versions(model, timeout_s=5.0)

    async def test_a_version_that_cannot_be_loaded_leaves_the_others_serving(self, transport: Transport) -> None:
        served = await transport.served_versions(TEXT_ENCODER.name, timeout_s=5.0)
        with pytest.raises(ModelNotLoaded, match="99"):
            await transport.serve_versions(TEXT_ENCODER.name, [*served, "99"], timeout_s=60.0)
        assert await transport.served_versions(TEXT_ENCODER.name, timeout_s=5.0) == served

    async def test_a_wrong_dtype_is_a_mismatch(self, transport: Transport) -> None:
        wrong: dict[str, Any] = {
            "input_ids": np.ones((1, 32), dtype=np.float32),
            "attention_mask": np.ones((1, 32), dtype=np.int64),
        }
        with pytest.raises(ContractMismatch):
            await transport.infer(TEXT_ENCODER.name, FAKE_VERSION, wrong, timeout_s=5.0)
