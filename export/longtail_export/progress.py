"""How long work says where it is: named steps, and bars over counted units, on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class Progress(Protocol):
    """Hears of steps and of counted work."""

    def step(self, what: str) -> None:
        """A step begins."""
        ...

    def bar(self, what: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Counted work begins; the context's value is called with the units done since the last call."""
        ...


class TerminalProgress:
    """Writes to a console; bars redraw only where the console is a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def step(self, what: str) -> None:
        """See `Progress.step`."""
        self._console.print(f"  {what} …", style="dim")

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """See `Progress.bar`."""
        columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with RichProgress(*columns, console=self._console) as progress:
            task = progress.add_task(what, total=total)
            yield lambda units: progress.advance(task, units)


class SilentProgress:
    """Says nothing: for tests and for callers with a display of their own."""

    def step(self, what: str) -> None:
        """See `Progress.step`."""

    def bar(self, what: str, total: int) -> AbstractContextManager[Callable[[int], None]]:  # noqa: ARG002
        """See `Progress.bar`."""
        return nullcontext(lambda _units: None)
