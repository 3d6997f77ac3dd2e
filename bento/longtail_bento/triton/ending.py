"""A started process in, nothing of it left running out."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess


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
