"""Notices when Triton no longer infers, and starts it anew.

A model's dead process is never restarted by Triton, and every health endpoint stays green: only an inference tells.
"""

from __future__ import annotations

import asyncio
import time

from longtail_bento.triton.launcher import TritonServer, probe
from longtail_client.errors import DeadlineExceeded, OperatorError, Unavailable
from longtail_client.triton_transport import TritonTransport

PROBE_EVERY_S = 5.0
FAILURES_BEFORE_RESTART = 2
_PROBE_TIMEOUT_S = 20.0
"""Longer than a full queue takes, so that load is not mistaken for death."""


class Watchdog:
    """Watches one server.

    Args:
        server: A started server; it is stopped and started again when it no longer infers.
    """

    def __init__(self, server: TritonServer) -> None:
        self._server = server
        self._failures = 0
        self._next_probe_s = time.monotonic() + PROBE_EVERY_S

    def check(self) -> str | None:
        """Look after the server; call this about once a second.

        Returns:
            What was wrong, when the server was restarted; else None.

        Raises:
            TritonDied: It did not come back.
        """
        if self._server.pid is None:
            return self._restart("Triton ended")
        if time.monotonic() < self._next_probe_s:
            return None
        failure = asyncio.run(self._probe())
        self._next_probe_s = time.monotonic() + PROBE_EVERY_S
        self._failures = self._failures + 1 if failure else 0
        if failure and self._failures >= FAILURES_BEFORE_RESTART:
            return self._restart(failure)
        return None

    def _restart(self, reason: str) -> str:
        self._server.stop()
        self._server.start()
        self._failures = 0
        self._next_probe_s = time.monotonic() + PROBE_EVERY_S
        return reason

    async def _probe(self) -> str | None:
        transport = TritonTransport(self._server.url)
        try:
            for model in self._server.models:
                # Each version is a process of its own, and the service may have asked for others than are configured.
                for version in await transport.served_versions(model, timeout_s=_PROBE_TIMEOUT_S):
                    await probe(transport, {model: version}, timeout_s=_PROBE_TIMEOUT_S)
        except (Unavailable, DeadlineExceeded, OperatorError) as error:
            return str(error)
        finally:
            await transport.close()
        return None
