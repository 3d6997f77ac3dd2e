"""Users who were deleted, by whichever process, in; description caches that forgot them out.

A process that serves a deletion clears its own caches at once. The others, on this host or another, ask the database
for news once a second.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from longtail_bento.interactions import Interactions
from longtail_bento.release_set import ReleaseSet
from longtail_client.errors import LongtailError

_log = logging.getLogger("longtail")

POLL_S = 1.0


class Forgetting:
    """Keeps the caches of one process up with the deletions of all.

    Args:
        releases: Whose caches shall forget.
        interactions: Where deletions are told.
    """

    def __init__(self, releases: ReleaseSet, interactions: Interactions) -> None:
        self._releases = releases
        self._interactions = interactions
        self._seen = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to ask; what was forgotten before is in no cache of this process.

        Raises:
            DatabaseUnavailable: The database does not answer.
        """
        self._seen, _ = await self._interactions.forgotten_since(0)
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Stop asking. Safe to call before `start`."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self) -> None:
        complaint = ""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                self._seen, digests = await self._interactions.forgotten_since(self._seen)
                complaint = ""
            except LongtailError as error:
                if str(error) != complaint:
                    complaint = str(error)
                    _log.error("deletions by other processes are not known for now: %s", error)
                continue
            except Exception:
                _log.exception("deletions by other processes could not be followed")
                continue
            for release in self._releases.loaded.values():
                release.cache.forget(digests)
