"""A problem document in, the error of `errors.py` that it tells of out; and the type under which each error travels.

Source: RFC 9457.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from longtail_client import errors
from longtail_client.errors import CallerError, LongtailError, Unavailable

_BY_STATUS: dict[int, type[LongtailError]] = {
    401: errors.Unauthenticated,
    408: errors.BodyTooSlow,
    413: errors.RequestTooLarge,
    422: errors.InvalidRequest,
    429: errors.Overloaded,
    503: Unavailable,
    504: errors.DeadlineExceeded,
}


def type_of(name: str) -> str:
    """Write an error's class name as the ``type`` of a problem document."""
    kebab = re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
    return f"urn:longtail:problem:{kebab}"


def error_of(document: Mapping[str, Any], *, status: int, retry_after_s: float | None = None) -> LongtailError:
    """Make the error that a service's problem document tells of.

    Args:
        document: What came; anything may be missing, since a proxy may have written it.
        status: HTTP status.
        retry_after_s: The pause that the service asked for; None takes that of the document.
    """
    kind = _kinds().get(str(document.get("type"))) or _BY_STATUS.get(status)
    if kind is None:
        kind = CallerError if 400 <= status < 500 else LongtailError
    message = str(document.get("detail") or f"the service answered {status}")
    error: LongtailError
    if issubclass(kind, CallerError):
        error = kind(message)
        error.field = document.get("field")
    elif issubclass(kind, Unavailable):
        pause_s = document.get("retry_after_s") if retry_after_s is None else retry_after_s
        error = kind(message, retry_after_s=pause_s) if isinstance(pause_s, int | float) else kind(message)
    else:
        error = kind(message)
    error.request_id = document.get("request_id")
    return error


@cache
def _kinds() -> dict[str, type[LongtailError]]:
    return {type_of(kind.__name__): kind for kind in _tree(LongtailError)}


def _tree(kind: type[LongtailError]) -> Iterator[type[LongtailError]]:
    yield kind
    for each in kind.__subclasses__():
        if each.__module__ == errors.__name__:
            yield from _tree(each)
