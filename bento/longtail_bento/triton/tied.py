"""A command in, the same command out as a child that Linux ends when its parent is gone, were it killed.

Run as a program, this file ties itself and becomes the command: a `preexec_fn` would run between fork and exec, where a
process with threads must not run Python.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
"""Source: prctl(2). The setting survives exec. It names the thread that started the child, which must live as long."""


def tied(command: Sequence[str]) -> list[str]:
    """Write a command line that does what ``command`` does, and ends with SIGTERM when the caller's thread has ended.

    Args:
        command: A program, by path or by name, and its arguments.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def end_with_parent(parent: int) -> None:
    """Have this process told to end, by SIGTERM, when its parent is gone; where there is no Linux, do nothing.

    Args:
        parent: Process id of the parent; this process ends at once if that is gone already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606  it is the caller's own command
