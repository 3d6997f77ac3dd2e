"""The time of one request: what is left of it, where it went, and what had to be done without."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from longtail_client.errors import DeadlineExceeded, LongtailError

T = TypeVar("T")

LONGEST_DEADLINE_MS = 60_000
"""What a request may ask for."""

MORE_TIME = "allow more with deadline_ms"

_abandoned: set[asyncio.Task[Any]] = set()


class Clock:
    """Started when a request arrives.

    Args:
        budget_ms: Milliseconds until the answer is due.
        remedy: What the caller may do when they do not suffice.
    """

    def __init__(self, budget_ms: float, *, remedy: str = MORE_TIME) -> None:
        self._remedy = remedy
        self._start_s = time.monotonic()
        self._budget_ms = budget_ms
        self.timings_ms: dict[str, float] = {}
        self.failures: dict[str, LongtailError] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Note how long a stage takes; a stage entered twice adds up."""
        start_s = time.monotonic()
        try:
            yield
        finally:
            self.timings_ms[name] = self.timings_ms.get(name, 0.0) + (time.monotonic() - start_s) * 1000

    def degrade(self, stage: str, reason: LongtailError) -> None:
        """Note that the answer does without a stage, and why."""
        self.failures.setdefault(stage, reason)

    @property
    def last_failure(self) -> LongtailError | None:
        """Why the last stage that failed did; None where all went well."""
        return next(reversed(self.failures.values()), None)

    def left_s(self, *, share: float = 1.0) -> float:
        """Say how long the next call may take.

        Args:
            share: The part of what is left that it may use, in ``(0, 1]``.

        Raises:
            DeadlineExceeded: Nothing is left.
        """
        left_s = self._start_s + self._budget_ms / 1000 - time.monotonic()
        if left_s <= 0:
            raise DeadlineExceeded(f"the answer was not ready within {self._budget_ms:.0f} ms; {self._remedy}")
        return left_s * share

    @asynccontextmanager
    async def limited(self, *, share: float = 1.0) -> AsyncIterator[Clock]:
        """End a block when its share of what is left is used up, whether or not what it calls keeps a time limit.

        Args:
            share: As of `left_s`.

        Yields:
            The clock of that share.

        Raises:
            DeadlineExceeded: Nothing is left, or the block took longer.
        """
        left_s = self.left_s(share=share)
        part = Clock(left_s * 1000, remedy=self._remedy)
        try:
            async with asyncio.timeout(left_s):
                yield part
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"not ready after {left_s * 1000:.0f} of {self._budget_ms:.0f} ms; {self._remedy}"
            ) from error

    async def within(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for work as long as there is time, and not for it to clean up after that.

        A database driver that is told to stop may wait for its server; `limited` would wait with it.

        Raises:
            DeadlineExceeded: Nothing is left, or the work took longer.
        """
        task = asyncio.ensure_future(work)
        try:
            left_s = self.left_s()
            await asyncio.wait({task}, timeout=left_s)
            if task.done():
                return task.result()
        finally:
            if not task.done():
                task.cancel()
                _abandoned.add(task)
                task.add_done_callback(_forget_abandoned)
        raise DeadlineExceeded(f"not ready after {left_s * 1000:.0f} of {self._budget_ms:.0f} ms; {self._remedy}")

    def finished_ms(self, *stages: str) -> dict[str, float]:
        """Return the milliseconds of each stage, 0 for one that was not needed, and ``total``."""
        total_ms = (time.monotonic() - self._start_s) * 1000
        return {name: round(self.timings_ms.get(name, 0.0), 2) for name in stages} | {"total": round(total_ms, 2)}


def _forget_abandoned(task: asyncio.Task[Any]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()  # nobody is left who could be told
