"""Prompt in, sampled texts out, through vLLM's tensor contract."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass

import numpy as np

from longtail_client.contract import GENERATOR, Array, Priority, check_config
from longtail_client.errors import ContractMismatch
from longtail_client.transport import Transport


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the generator chooses tokens; the names are vLLM's.

    Attributes:
        n: Texts sampled from the one prompt, 1 or more.
        max_tokens: Tokens a text may have, 1 or more.
        min_tokens: Tokens before a text may end.
        temperature: 0 takes the likeliest token; higher values spread out.
        top_p: Smallest probability mass that is sampled from, in (0, 1].
        top_k: Likeliest tokens that are sampled from; -1 means all.
        repetition_penalty: Above 1 discourages tokens that were already used.
        stop: Strings that end a text; they are not part of it.
        seed: Repeats a lone request; promises nothing when requests share a batch.
    """

    n: int = 1
    max_tokens: int = 32
    min_tokens: int = 0
    temperature: float = 0.8
    top_p: float = 0.95
    top_k: int = -1
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0

    def as_json(self) -> str:
        """Write the ``sampling_parameters`` tensor's content."""
        return json.dumps(asdict(self))


class Generator:
    """One version of the generator, as Triton serves it.

    Use `connect`, which checks the served model against the contract first.
    """

    def __init__(self, transport: Transport, *, version: str, batched: bool, timeout_s: float) -> None:
        self._transport = transport
        self._batched = batched
        self._timeout_s = timeout_s
        self.version = version

    @classmethod
    async def connect(
        cls, transport: Transport, *, version: str, timeout_s: float = 8.0, connect_timeout_s: float = 5.0
    ) -> Generator:
        """Read the served model's configuration and return a generator that fits it.

        Ours has a batch dimension, NVIDIA's vLLM backend has none (``max_batch_size: 0``); both are spoken.

        Args:
            transport: The way to Triton.
            version: Model version, never left to Triton.
            timeout_s: Seconds that a later call may take which does not say how many.
            connect_timeout_s: Seconds that this call may take.

        Raises:
            ModelUnavailable: Triton does not answer or serves no such version.
            ContractMismatch: The model does not speak the contract.
        """
        config = await transport.model_config(GENERATOR.name, version, timeout_s=connect_timeout_s)
        check_config(GENERATOR, config)
        return cls(transport, version=version, batched=config.max_batch_size > 0, timeout_s=timeout_s)

    async def generate(
        self,
        prompt: str,
        sampling: Sampling,
        *,
        timeout_s: float | None = None,
        priority: Priority = Priority.INTERACTIVE,
    ) -> list[str]:
        """Sample texts and wait for all of them.

        Args:
            prompt: The text as the model shall see it, chat markup included.
            sampling: How to sample.
            timeout_s: Seconds for the whole call; the generator's own where None.
            priority: Whether it may wait behind calls that somebody waits for.

        Returns:
            ``sampling.n`` texts, without the prompt.

        Raises:
            ModelUnavailable: Triton does not answer.
            DeadlineExceeded: The time ran out; the generation is cancelled in the model.
            ContractMismatch: The model refused the sampling parameters, or answered another number of texts.
        """
        texts: list[str] = []
        async with aclosing(self._call(prompt, sampling, False, timeout_s, priority)) as responses:
            async for response in responses:
                texts.extend(response)
        self._check_count(texts, sampling)
        return texts

    async def stream(
        self,
        prompt: str,
        sampling: Sampling,
        *,
        timeout_s: float | None = None,
        priority: Priority = Priority.INTERACTIVE,
    ) -> AsyncGenerator[list[str], None]:
        """Sample texts and hand over their pieces as they come.

        Closing the iterator cancels the generation in the model. Args and errors are those of `generate`.

        Yields:
            ``sampling.n`` pieces, empty where a text did not grow; joined by position they are the texts.
        """
        async with aclosing(self._call(prompt, sampling, True, timeout_s, priority)) as responses:
            async for response in responses:
                self._check_count(response, sampling)
                yield response

    def _check_count(self, texts: Sequence[str], sampling: Sampling) -> None:
        if len(texts) != sampling.n:
            raise ContractMismatch(
                f"{GENERATOR.name} version {self.version}: expected {sampling.n} texts, got {len(texts)}"
            )

    async def _call(
        self, prompt: str, sampling: Sampling, stream: bool, timeout_s: float | None, priority: Priority
    ) -> AsyncGenerator[list[str], None]:
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        responses = self._transport.stream(
            GENERATOR.name,
            self.version,
            self._inputs(prompt, sampling, stream=stream),
            timeout_s=limit_s,
            priority=priority,
        )
        async with aclosing(responses):
            async for response in responses:
                yield [text.decode("utf-8", "replace") for text in response["text_output"].reshape(-1).tolist()]

    def _inputs(self, prompt: str, sampling: Sampling, *, stream: bool) -> Mapping[str, Array]:
        values = {
            "text_input": np.array([prompt.encode()], dtype=np.object_),
            "stream": np.array([stream]),
            "sampling_parameters": np.array([sampling.as_json().encode()], dtype=np.object_),
            "exclude_input_in_output": np.array([True]),
        }
        return {name: value[np.newaxis] if self._batched else value for name, value in values.items()}
