"""One thread that drives an engine: requests join while others run, pieces leave as they come."""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from longtail_bento.triton.backends.longtail_generator.engine import Engine, Running, SamplingParameters


class Sink(Protocol):
    """Where the texts of one request go."""

    def send(self, texts: list[str], *, final: bool) -> None:
        """Hand over one piece a text; after ``final`` nothing follows."""
        ...

    def fail(self, message: str) -> None:
        """End the request with an error."""
        ...

    def cancelled(self) -> bool:
        """Whether nobody waits for the texts any more."""
        ...


@dataclass(slots=True)
class Job:
    """One request on its way through the engine."""

    prompt: str
    sampling: SamplingParameters
    stream: bool
    echo_prompt: bool
    sink: Sink
    seed: int = field(init=False)
    running: list[Running] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Choose a seed where the caller left it open."""
        self.seed = secrets.randbits(31) if self.sampling.seed is None else self.sampling.seed


class EngineLoop:
    """Owns the engine and its thread.

    Args:
        open_engine: Makes the engine; called again after a step has failed, since its state is then unknown.
        observe: Told the number of running texts after every step.
    """

    def __init__(self, open_engine: Callable[[], Engine], *, observe: Callable[[int], None]) -> None:
        self._open_engine = open_engine
        self._engine: Engine | None = open_engine()
        self._observe = observe
        self._waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._jobs: list[Job] = []
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Let a request join; its sink hears of everything that follows."""
        self._waiting.put(job)

    def close(self) -> None:
        """Cancel what runs and end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                if not self._admit():
                    return
                if self._engine is not None:
                    self._engine.step()
                for job in list(self._jobs):
                    self._advance(job)
            except Exception as error:
                self._engine = None
                for job in self._jobs:
                    job.sink.fail(f"the engine failed and will be opened anew: {error}")
                self._jobs.clear()
            self._observe(sum(len(job.running) for job in self._jobs))

    def _admit(self) -> bool:
        """Take in what waits, sleeping while there is nothing to do; false once closed."""
        while True:
            try:
                job = self._waiting.get(block=not self._jobs)
            except queue.Empty:
                return True
            if job is None:
                for running in self._jobs:
                    self._abandon(running)
                    running.sink.fail("the generator is being unloaded")
                return False
            self._start(job)

    def _start(self, job: Job) -> None:
        """Start the first text; the others join one step later and find its prompt in the engine's prefix cache."""
        job.pieces = [job.prompt if job.echo_prompt else ""] * job.sampling.n
        self._jobs.append(job)
        if not self._join(job, 1):
            self._jobs.remove(job)

    def _join(self, job: Job, n_texts: int) -> bool:
        if self._engine is None:
            self._engine = self._open_engine()
        try:
            while len(job.running) < n_texts:
                seed = job.seed + len(job.running)
                job.running.append(self._engine.start(job.prompt, job.sampling, seed=seed))
        except ValueError as error:
            self._abandon(job)
            job.sink.fail(str(error))
            return False
        return True

    def _advance(self, job: Job) -> None:
        if job.sink.cancelled():
            self._abandon(job)
            self._jobs.remove(job)
            job.sink.send([], final=True)
            return
        for index, text in enumerate(job.running):
            job.pieces[index] += text.read()
        if len(job.running) < job.sampling.n:
            if not self._join(job, job.sampling.n):
                self._jobs.remove(job)
            return
        final = all(text.finished for text in job.running)
        if final:
            self._jobs.remove(job)
        if final or (job.stream and any(job.pieces)):
            job.sink.send(job.pieces, final=final)
            job.pieces = [""] * job.sampling.n

    def _abandon(self, job: Job) -> None:
        for text in job.running:
            text.cancel()
        job.running.clear()
