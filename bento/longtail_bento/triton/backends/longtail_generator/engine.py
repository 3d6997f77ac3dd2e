"""The engine seam: a prompt and sampling parameters in, growing texts out, one token a step.

An engine knows nothing of Triton and the backend nothing of the engine's library. Every engine passes the suite that
`tests/bento/triton/engine_suite.py` declares.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SamplingParameters:
    """vLLM's sampling parameters, as far as every engine honours them.

    Attributes:
        n: Texts sampled from the one prompt, 1 to 16.
        max_tokens: Tokens a text may have, 1 to 2048.
        min_tokens: Tokens before a text may end, 0 to ``max_tokens``.
        temperature: 0 takes the likeliest token.
        top_p: Probability mass sampled from, in (0, 1].
        top_k: Likeliest tokens sampled from; -1 for all.
        repetition_penalty: Above 1 discourages tokens already used; in (0, 2].
        stop: Strings that end a text and are left out of it.
        seed: Start of the random numbers, None for any; text ``i`` of ``n`` uses ``seed + i``.
    """

    n: int = 1
    max_tokens: int = 16
    min_tokens: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None

    @classmethod
    def from_json(cls, text: str) -> SamplingParameters:
        """Read the content of the ``sampling_parameters`` tensor.

        Args:
            text: A JSON object; an empty string takes the defaults.

        Raises:
            ValueError: Not an object, an unknown parameter, or a value out of range; the message names it.
        """
        try:
            given = json.loads(text) if text else {}
        except (ValueError, RecursionError) as error:
            raise ValueError(f"sampling_parameters: expected a JSON object, got {text[:80]!r} ({error})") from error
        if not isinstance(given, dict):
            raise ValueError(f"sampling_parameters: expected a JSON object, got {text[:80]!r}")
        given = {key: _as_number(value) if key != "stop" else value for key, value in given.items()}
        unknown = sorted(set(given) - set(cls.__slots__))
        if unknown:
            raise ValueError(f"sampling_parameters: unknown {unknown}, expected some of {list(cls.__slots__)}")
        max_tokens = _integer(given, "max_tokens", 16, 1, 2048)
        return cls(
            n=_integer(given, "n", 1, 1, 16),
            max_tokens=max_tokens,
            min_tokens=_integer(given, "min_tokens", 0, 0, max_tokens),
            temperature=_number(given, "temperature", 1.0, 0.0, 10.0),
            top_p=_number(given, "top_p", 1.0, 1e-6, 1.0),
            top_k=_integer(given, "top_k", -1, -1, 1_000_000),
            repetition_penalty=_number(given, "repetition_penalty", 1.0, 1e-6, 2.0),
            stop=_strings("stop", given.get("stop")),
            seed=_integer(given, "seed", -1, 0, 2**63 - 1) if given.get("seed") is not None else None,
        )


class Running(Protocol):
    """One text that an engine is writing."""

    @property
    def finished(self) -> bool:
        """Whether the text has ended and all of it was read."""
        ...

    def read(self) -> str:
        """Take the piece of text that came since the last read, possibly empty."""
        ...

    def cancel(self) -> None:
        """Stop writing; the engine frees what it held."""
        ...


class Engine(Protocol):
    """Writes many texts at once; a text may join while others run. Called from one thread only."""

    def start(self, prompt: str, sampling: SamplingParameters, *, seed: int) -> Running:
        """Let one text join at the next step.

        Args:
            prompt: The text to go on from, chat markup included.
            sampling: How to sample; ``n`` and ``seed`` are the caller's business.
            seed: Start of this text's random numbers.

        Raises:
            ValueError: The prompt is empty or does not fit the model's context.
        """
        ...

    def step(self) -> None:
        """Write one token of every running text."""
        ...


def settled(text: str, stop: tuple[str, ...], *, start: int = 0) -> tuple[str, bool]:
    """Say how much of a growing text may be handed over.

    Args:
        text: The text so far.
        stop: Strings that end it.
        start: Characters at the beginning that no stop string is looked for in.

    Returns:
        The text before the first stop string, less an ending that may yet become one; and whether one was found.
    """
    found = [at for at in (text.find(each, start) for each in stop) if at >= 0]
    if found:
        return text[: min(found)], True
    for length in range(min(max(map(len, stop), default=1) - 1, len(text) - start), 0, -1):
        if any(each.startswith(text[-length:]) for each in stop if len(each) > length):
            return text[:-length], False
    return text, False


def _as_number(value: object) -> object:
    """Read a number that was written as a string, as callers of the vLLM backend write them."""
    if isinstance(value, str):
        for read in (int, float):
            try:
                return read(value)
            except ValueError:
                continue
    return value


def _integer(given: dict[str, object], key: str, default: int, low: int, high: int) -> int:
    value = given.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"sampling_parameters.{key}: expected an integer from {low} to {high}, got {value!r}")
    return value


def _number(given: dict[str, object], key: str, default: float, low: float, high: float) -> float:
    value = given.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"sampling_parameters.{key}: expected a number from {low:g} to {high:g}, got {value!r}")
    return float(value)


def _strings(key: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    strings = [value] if isinstance(value, str) else value
    if not isinstance(strings, list) or not all(isinstance(string, str) and string for string in strings):
        raise ValueError(f"sampling_parameters.{key}: expected a string or a list of strings, got {value!r}")
    return tuple(strings)
