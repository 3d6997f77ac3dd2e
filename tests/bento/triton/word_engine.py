"""A small deterministic engine for tests: words made from the prompt, one a step."""

from __future__ import annotations

import threading
import zlib

from longtail_bento.triton.backends.longtail_generator.engine import SamplingParameters, settled

CONTEXT_WORDS = 4096


class WordEngine:
    """See `Engine`.

    Args:
        gate: Steps that may be taken; None lets every step through.
    """

    def __init__(self, gate: threading.Semaphore | None = None) -> None:
        self._gate = gate
        self.n_steps = 0
        self.started: list[tuple[str, int]] = []
        self.steps_at_start: list[int] = []
        self.running: list[WordRunning] = []

    def start(self, prompt: str, sampling: SamplingParameters, *, seed: int) -> WordRunning:
        n_words = len(prompt.split())
        if n_words == 0 or n_words + sampling.max_tokens > CONTEXT_WORDS:
            raise ValueError(f"text_input: expected 1 to {CONTEXT_WORDS} words with max_tokens, got {n_words}")
        self.started.append((prompt, seed))
        self.steps_at_start.append(self.n_steps)
        text = WordRunning(self, word_of(prompt, sampling, seed), sampling)
        self.running.append(text)
        return text

    def step(self) -> None:
        if self._gate is not None:
            assert self._gate.acquire(timeout=60)
        self.n_steps += 1
        for text in list(self.running):
            text.grow()


class WordRunning:
    """See `Running`."""

    def __init__(self, engine: WordEngine, word: str, sampling: SamplingParameters) -> None:
        self._engine = engine
        self._word = word
        self._sampling = sampling
        self._text = ""
        self._n_words = 0
        self._n_read = 0
        self._ended = False

    @property
    def finished(self) -> bool:
        return self._ended and self._n_read == len(self._text)

    def grow(self) -> None:
        self._text += f"{self._word}{self._n_words} "
        self._n_words += 1
        sure, stopped = settled(self._text, self._sampling.stop)
        if stopped:
            self._text = sure
        if stopped or self._n_words == self._sampling.max_tokens:
            self._end()

    def read(self) -> str:
        end = len(self._text if self._ended else settled(self._text, self._sampling.stop)[0])
        piece = self._text[self._n_read : end]
        self._n_read = end
        return piece

    def cancel(self) -> None:
        self._text = self._text[: self._n_read]
        self._end()

    def _end(self) -> None:
        self._ended = True
        if self in self._engine.running:
            self._engine.running.remove(self)


def word_of(prompt: str, sampling: SamplingParameters, seed: int) -> str:
    """Name a text's words: by its prompt, and by its seed where it is sampled."""
    chosen = seed if sampling.temperature > 0 else 0
    return f"w{zlib.crc32(prompt.encode()) % 1000}s{chosen}n"
