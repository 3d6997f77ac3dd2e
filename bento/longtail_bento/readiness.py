"""Questions whether the service is ready in, one inference a second at most and its outcome out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from longtail_bento.releases import LiveRelease
from longtail_client.errors import LongtailError

Ready = Callable[[], Awaitable[bool]]
"""Says whether an inference just went through."""

_PROBE_TEXT = "is anybody there"
_PROBE_TIMEOUT_S = 5.0
_PROBE_AGE_S = 1.0


class Readiness:
    """Remembers the last probe for a second; whoever asks while one is under way waits for that one.

    Args:
        probe: Says whether an inference went through.
    """

    def __init__(self, probe: Callable[[], Awaitable[bool]]) -> None:
        self._probe = probe
        self._passed = False
        self._probed_at_s = float("-inf")
        self._probing: asyncio.Task[None] | None = None

    async def __call__(self) -> bool:
        """Say whether an inference went through within the last second."""
        if time.monotonic() - self._probed_at_s > _PROBE_AGE_S:
            if self._probing is None or self._probing.done():
                self._probing = asyncio.create_task(self._run())
            await asyncio.shield(self._probing)  # one who goes away must not end it for the others
        return self._passed

    async def _run(self) -> None:
        self._passed = await self._probe()
        self._probed_at_s = time.monotonic()


async def infers(release: LiveRelease) -> bool:
    """Say whether an inference of a release goes through, and its vectors fit."""
    try:
        encoder = await release.encoder(timeout_s=_PROBE_TIMEOUT_S)
        await encoder.encode([_PROBE_TEXT], timeout_s=_PROBE_TIMEOUT_S)
    except LongtailError:
        return False
    return True
