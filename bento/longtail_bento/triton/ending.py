"""A started process in, nothing of it left running out."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

_DYING_S = 5.0
"""Seconds that a killed process may take to give its memory back."""


def end_group(process: subprocess.Popen[bytes], *, grace_s: float) -> None:
    """End a process that leads a session of its own, and whatever it started.

    The leader may be dead already: a crashed tritonserver leaves its models' processes behind.

    Args:
        process: Started with ``start_new_session=True``.
        grace_s: Seconds that it may take to end by itself.
    """
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        deadline_s = time.monotonic() + _DYING_S
        while time.monotonic() < deadline_s:
            os.killpg(process.pid, 0)  # fails once nothing of the group is left
            time.sleep(0.02)
    process.wait()
