"""One line of JSON a request: when, which path, how it ended. Never a body, a user's id, a history or a key."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

_log = logging.getLogger("longtail.access")


def start() -> None:
    """Write the lines to standard output from here on; before, they go nowhere. Safe to call twice."""
    if not _log.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        _log.addHandler(handler)
        _log.propagate = False
        _log.setLevel(logging.INFO)


def write(
    *, door: str, method: str, path: str, status: int | str, request_id: str, duration_s: float, received_bytes: int
) -> None:
    """Write a request's line.

    Args:
        door: ``http`` or ``grpc``.
        method: HTTP's method, or gRPC's.
        path: The path of the API, as the documentation writes it; ``other`` for one that is none.
        status: HTTP's status, or gRPC's; 499 where the caller left.
        request_id: As the caller got it.
        duration_s: From the first byte to the last of the answer.
        received_bytes: Length of the body.
    """
    if _log.isEnabledFor(logging.INFO):
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "door": door,
            "method": method,
            "path": path,
            "status": status,
            "request_id": request_id,
            "duration_ms": round(duration_s * 1000, 1),
            "received_bytes": received_bytes,
        }
        _log.info(json.dumps(line))
