"""The engine's thread: requests join while others run, and every one of them hears its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.bento.triton.engine_suite import EngineSuite
from tests.bento.triton.word_engine import WordEngine, WordRunning, word_of

from longtail_bento.triton.backends.longtail_generator.engine import SamplingParameters
from longtail_bento.triton.backends.longtail_generator.loop import EngineLoop, Job

PATIENCE_S = 60.0
PLENTY = 100_000


class TestWordEngine(EngineSuite):
    """The engine of these tests keeps every promise of an engine."""

    @pytest.fixture
    def engine(self) -> WordEngine:
        return WordEngine()


class Listener:
    """See `Sink`: notes what it hears."""

    def __init__(self, name: str = "", ends: list[str] | None = None) -> None:
        self.sent: list[tuple[list[str], bool]] = []
        self.error: str | None = None
        self.is_gone = False
        self._name, self._ends = name, [] if ends is None else ends
        self._heard, self._ended = threading.Event(), threading.Event()

    def send(self, texts: list[str], *, final: bool) -> None:
        self.sent.append((texts, final))
        self._heard.set()
        if final:
            self._end()

    def fail(self, message: str) -> None:
        self.error = message
        self._end()

    def cancelled(self) -> bool:
        return self.is_gone

    def _end(self) -> None:
        assert not self._ended.is_set()
        self._ends.append(self._name)
        self._ended.set()

    def wait(self) -> Listener:
        assert self._ended.wait(PATIENCE_S)
        return self

    def wait_for_a_piece(self) -> None:
        assert self._heard.wait(PATIENCE_S)

    @property
    def texts(self) -> list[str]:
        return ["".join(column) for column in zip(*(texts for texts, _ in self.sent), strict=True)]


@dataclass
class Bench:
    """A loop, the engines that it opened, and the gate to their steps."""

    gate: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    engines: list[WordEngine] = field(default_factory=list)
    observed: list[int] = field(default_factory=list)
    kinds: list[Callable[[threading.Semaphore], WordEngine]] = field(default_factory=list)
    loop: EngineLoop = field(init=False)

    def open(self, *kinds: Callable[[threading.Semaphore], WordEngine]) -> Bench:
        """Start the loop; each opening takes the next kind of engine, and a sound one after the last."""
        self.kinds = list(kinds)
        self.loop = EngineLoop(self._next_engine, observe=self.observed.append)
        return self

    def _next_engine(self) -> WordEngine:
        self.engines.append((self.kinds.pop(0) if self.kinds else WordEngine)(self.gate))
        return self.engines[-1]

    def submit(
        self,
        prompt: str = "a prompt",
        *,
        listener: Listener | None = None,
        stream: bool = False,
        echo: bool = False,
        **sampling: Any,
    ) -> Listener:
        listener = listener or Listener()
        self.loop.submit(
            Job(prompt, SamplingParameters(**{"seed": 0, **sampling}), stream=stream, echo_prompt=echo, sink=listener)
        )
        return listener

    def let(self, n_steps: int = PLENTY) -> None:
        self.gate.release(n_steps)

    @property
    def thread(self) -> threading.Thread:
        return self.loop._thread


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.let()
    if bench.thread.is_alive():
        bench.loop.close()


def expected(prompt: str, n_words: int, *, seed: int = 0, temperature: float = 1.0) -> str:
    word = word_of(prompt, SamplingParameters(temperature=temperature), seed)
    return "".join(f"{word}{index} " for index in range(n_words))


def test_a_short_request_beside_a_running_long_one_ends_first(bench: Bench) -> None:
    ends: list[str] = []
    bench.open()
    long = bench.submit("long", listener=Listener("long", ends), stream=True, max_tokens=128)
    bench.let(3)
    long.wait_for_a_piece()
    short = bench.submit("short", listener=Listener("short", ends), max_tokens=8)
    bench.let()
    assert short.wait().texts == [expected("short", 8)]
    assert long.wait().texts == [expected("long", 128)]
    assert ends == ["short", "long"]
    assert bench.engines[0].n_steps < 128 + 8


def test_pieces_of_a_stream_make_the_text(bench: Bench) -> None:
    bench.open().let()
    streamed = bench.submit(stream=True, n=2, max_tokens=10).wait()
    whole = bench.submit(n=2, max_tokens=10).wait()
    assert streamed.texts == whole.texts == [expected("a prompt", 10), expected("a prompt", 10, seed=1)]
    assert len(streamed.sent) > 5
    assert [final for _, final in streamed.sent] == [False] * (len(streamed.sent) - 1) + [True]
    assert all(any(pieces) for pieces, final in streamed.sent if not final)
    assert len(whole.sent) == 1


def test_each_text_of_a_request_has_its_own_seed(bench: Bench) -> None:
    bench.open().let()
    listener = bench.submit(n=3, seed=40, max_tokens=2).wait()
    assert listener.texts == [expected("a prompt", 2, seed=seed) for seed in (40, 41, 42)]
    assert bench.engines[0].started == [("a prompt", seed) for seed in (40, 41, 42)]


def test_further_texts_join_once_the_first_has_its_prompt_in_the_cache(bench: Bench) -> None:
    bench.open().let()
    bench.submit(n=3, max_tokens=4).wait()
    assert bench.engines[0].steps_at_start == [0, 1, 1]


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_is_echoed_where_that_is_asked_for(bench: Bench, stream: bool) -> None:
    bench.open().let()
    listener = bench.submit("say it", stream=stream, echo=True, n=2, max_tokens=3).wait()
    assert listener.texts == ["say it" + expected("say it", 3), "say it" + expected("say it", 3, seed=1)]


def test_a_stop_string_reaches_the_engine(bench: Bench) -> None:
    bench.open().let()
    stop = expected("a prompt", 3).split()[2]
    assert bench.submit(stop=(stop,), max_tokens=9).wait().texts == [expected("a prompt", 2)]


def test_a_request_that_nobody_waits_for_is_stopped_and_freed(bench: Bench) -> None:
    bench.open()
    left = bench.submit(stream=True, n=2, max_tokens=2000)
    stays = bench.submit("stays", max_tokens=40)
    bench.let(5)
    left.wait_for_a_piece()
    left.is_gone = True
    bench.let()
    assert left.wait().sent[-1] == ([], True)
    assert stays.wait().texts == [expected("stays", 40)]
    assert bench.engines[0].running == []
    assert bench.engines[0].n_steps < 100


def test_a_refused_prompt_fails_alone(bench: Bench) -> None:
    bench.open()
    good = bench.submit("good", max_tokens=20)
    bench.let(2)
    refused = bench.submit("   ")
    bench.let()
    assert (refused.wait().error or "").startswith("text_input: expected 1 to")
    assert refused.sent == []
    assert good.wait().texts == [expected("good", 20)]
    assert len(bench.engines) == 1


class OneTextOnly(WordEngine):
    """Refuses every text after the first."""

    def start(self, prompt: str, sampling: SamplingParameters, *, seed: int) -> WordRunning:
        if self.started:
            raise ValueError("text_input: no room")
        return super().start(prompt, sampling, seed=seed)


def test_a_request_whose_further_texts_are_refused_fails_as_a_whole(bench: Bench) -> None:
    bench.open(OneTextOnly).let()
    listener = bench.submit(n=3, max_tokens=1000).wait()
    assert listener.error == "text_input: no room"
    assert listener.sent == []
    assert bench.engines[0].running == []


class BreaksInStep(WordEngine):
    """Breaks in its third step."""

    def step(self) -> None:
        super().step()
        if self.n_steps == 3:
            raise RuntimeError("out of memory")


class BreaksInStart(WordEngine):
    """Breaks when a text called ``bad`` joins."""

    def start(self, prompt: str, sampling: SamplingParameters, *, seed: int) -> WordRunning:
        if prompt == "bad":
            raise RuntimeError("out of memory")
        return super().start(prompt, sampling, seed=seed)


def test_an_engine_that_breaks_fails_its_requests_and_serves_the_next_anew(bench: Bench) -> None:
    bench.open(BreaksInStep)
    listeners = [bench.submit(prompt, max_tokens=20) for prompt in ("one", "two")]
    bench.let()
    for listener in listeners:
        assert listener.wait().error == "the engine failed and will be opened anew: out of memory"
        assert listener.sent == []
    assert bench.submit("three", max_tokens=5).wait().texts == [expected("three", 5)]
    assert [type(engine) for engine in bench.engines] == [BreaksInStep, WordEngine]


def test_an_engine_that_breaks_as_a_request_joins_is_opened_anew_too(bench: Bench) -> None:
    bench.open(BreaksInStart)
    running = bench.submit("good", stream=True, max_tokens=200)
    bench.let(3)
    running.wait_for_a_piece()
    bad = bench.submit("bad")
    bench.let()
    for listener in (running, bad):
        assert listener.wait().error == "the engine failed and will be opened anew: out of memory"
    assert bench.submit("next", max_tokens=5).wait().texts == [expected("next", 5)]
    assert len(bench.engines) == 2


def test_running_texts_are_counted_and_nobody_is_left_at_the_end(bench: Bench) -> None:
    bench.open().let()
    bench.submit(n=4, max_tokens=6).wait()
    bench.submit(max_tokens=1).wait()
    deadline_s = time.monotonic() + PATIENCE_S
    while bench.observed[-1] != 0 and time.monotonic() < deadline_s:
        time.sleep(0.001)
    assert max(bench.observed) == 4
    assert bench.observed[-1] == 0


def test_the_engine_rests_while_there_is_nothing_to_write(bench: Bench) -> None:
    bench.open().let()
    bench.submit(max_tokens=4).wait()
    time.sleep(0.05)
    assert bench.engines[0].n_steps == 4


def test_closing_fails_what_runs_and_ends_the_thread(bench: Bench) -> None:
    bench.open()
    listener = bench.submit(stream=True, max_tokens=2000)
    bench.let(3)
    listener.wait_for_a_piece()
    closing = threading.Thread(target=bench.loop.close)
    closing.start()
    bench.let(2)
    closing.join(PATIENCE_S)
    assert not bench.thread.is_alive()
    assert listener.wait().error == "the generator is being unloaded"
    assert bench.engines[0].running == []


def test_closing_an_idle_loop_ends_the_thread(bench: Bench) -> None:
    bench.open().loop.close()
    assert not bench.thread.is_alive()


def test_a_seed_that_is_left_open_is_another_each_time() -> None:
    seeds = {Job("x", SamplingParameters(), stream=False, echo_prompt=False, sink=Listener()).seed for _ in range(8)}
    assert len(seeds) > 1
