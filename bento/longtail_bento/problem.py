"""An error in, the problem document that tells a caller of it out.

Source: RFC 9457.
"""

from __future__ import annotations

import re
from typing import Any

from longtail_bento.status import Status, status_of
from longtail_client.errors import LongtailError

UNKNOWN = Status(500, "INTERNAL", "Something went wrong")


def problem_of(error: LongtailError, request_id: str) -> dict[str, Any]:
    """Write an error as a problem document."""
    field = getattr(error, "field", None)
    return problem(status_of(error), type(error).__name__, str(error), request_id, field)


def unknown_problem(request_id: str) -> dict[str, Any]:
    """Write what a caller is told of an error that longtail does not know: nothing but that it happened."""
    return problem(UNKNOWN, "InternalError", "an error that longtail does not know", request_id)


def problem(status: Status, kind: str, detail: str, request_id: str, field: str | None = None) -> dict[str, Any]:
    """Write a problem document."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "-", kind).lower()
    document = {
        "type": f"urn:longtail:problem:{name}",
        "title": status.title,
        "status": status.http,
        "detail": detail,
        "request_id": request_id,
    }
    return document if field is None else {**document, "field": field}
