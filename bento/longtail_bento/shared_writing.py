"""Equal requests at the same time in, one generation out, which lives as long as somebody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from functools import partial

from longtail_bento.domain import Described
from longtail_bento.wire import TokenEvent

Listener = Callable[[TokenEvent], None]
Write = Callable[[Listener], Awaitable[Described]]


class Once:
    """A listener that hears no piece twice, where a text that it heard the start of is written again.

    The second writing may take another course, for sampling depends on what shares its batch. Of such a text it hears
    no more, rather than the end of one after the start of the other; the descriptions of the answer are the true ones.

    Args:
        listener: Told of what is new.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._heard: dict[int, str] = {}
        self._written: dict[int, str] = {}

    def begin(self) -> None:
        """Say that all texts are written from their start now."""
        self._written.clear()

    def __call__(self, piece: TokenEvent) -> None:
        """Hear a piece of a text."""
        number = piece.description
        heard = self._heard.get(number, "")
        written = self._written[number] = self._written.get(number, "") + piece.text
        if len(written) > len(heard) and written.startswith(heard):
            self._heard[number] = written
            self._listener(TokenEvent(description=number, text=written[len(heard) :]))


class _Writing:
    def __init__(self, write: Write) -> None:
        self.pieces: list[TokenEvent] = []
        self.listeners: list[Listener] = []
        self.n_waiting = 0
        self.task = asyncio.create_task(_run(write, self._tell))

    def _tell(self, piece: TokenEvent) -> None:
        self.pieces.append(piece)
        for listener in self.listeners:
            listener(piece)


class SharedWriting:
    """The generations of one release that run now."""

    def __init__(self) -> None:
        self._running: dict[Hashable, _Writing] = {}

    def runs(self, key: Hashable) -> bool:
        """Whether somebody waits for this already."""
        return key in self._running

    async def wait_for(self, key: Hashable, write: Write, listener: Listener | None) -> Described:
        """Write, or wait for what an equal request has begun; the last one to leave ends the generation.

        Args:
            key: What makes two requests equal.
            write: Begins; it is handed a listener to tell of pieces of text.
            listener: Told of every piece, those first that were written before it came.
        """
        writing = self._running.get(key)
        if writing is None:
            writing = self._running[key] = _Writing(write)
            writing.task.add_done_callback(partial(self._end, key, writing))
        if listener is not None:
            for piece in writing.pieces:
                listener(piece)
            writing.listeners.append(listener)
        writing.n_waiting += 1
        try:
            return await asyncio.shield(writing.task)
        finally:
            writing.n_waiting -= 1
            if listener is not None:
                writing.listeners.remove(listener)
            if writing.n_waiting == 0 and not writing.task.done():
                self._running.pop(key, None)  # whoever comes now begins anew
                writing.task.cancel()

    def _end(self, key: Hashable, writing: _Writing, task: asyncio.Task[Described]) -> None:
        if self._running.get(key) is writing:
            del self._running[key]
        if not task.cancelled():
            task.exception()  # whoever waited has been told; nobody may be left to ask


async def _run(write: Write, listener: Listener) -> Described:
    return await write(listener)
