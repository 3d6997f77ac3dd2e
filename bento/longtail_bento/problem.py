"""An error in, the problem document that tells a caller of it out.

Source: RFC 9457.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from longtail_bento.status import Status, status_of
from longtail_client.errors import DatabaseUnavailable, InvalidRequest, LongtailError, Unavailable
from longtail_client.problem import type_of

UNKNOWN = Status(500, "INTERNAL", "Something went wrong")

_log = logging.getLogger("longtail")

_PARTS = ("body", "query", "path")
"""Parts of an HTTP request; a field is called by its name alone."""


def problem_of(error: LongtailError, request_id: str) -> dict[str, Any]:
    """Write an error as a problem document."""
    field = getattr(error, "field", None)
    detail = str(error)
    if isinstance(error, DatabaseUnavailable):  # what its driver says names its address and its user
        _log.warning("request %s failed: %s", request_id, error)
        detail = "the database of interactions does not answer"
    document = problem(status_of(error), type(error).__name__, detail, request_id, field)
    return {**document, "retry_after_s": error.retry_after_s} if isinstance(error, Unavailable) else document


def refusal_of(errors: Sequence[Mapping[str, Any]]) -> InvalidRequest:
    """Name the first field at fault; the given value is left out, since it may be somebody's history.

    Args:
        errors: What pydantic found, in its order.
    """
    first = errors[0]
    place = [str(part) for part in first["loc"]]
    if place and place[0] in _PARTS:
        del place[0]
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "missing" or (first["type"] == "too_short" and first["ctx"]["actual_length"] == 0):
        message = "expected something, got nothing"  # an empty list and none are one thing on gRPC
    if not place and ": " in message:  # a rule over several fields begins with their names
        return InvalidRequest(message, field=message.partition(":")[0])
    field = ".".join(place) or "body"
    return InvalidRequest(f"{field}: {message}", field=field)


def as_openai_expects(document: Mapping[str, Any]) -> dict[str, Any]:
    """Add to a problem document the object that OpenAI's clients look for; theirs and ours then stand side by side."""
    error = {
        "message": document["detail"],
        "type": "invalid_request_error" if document["status"] < 500 else "server_error",
        "param": document.get("field"),
        "code": str(document["type"]).rpartition(":")[2],
    }
    return {**document, "error": error}


def unknown_problem(request_id: str) -> dict[str, Any]:
    """Write what a caller is told of an error that longtail does not know: nothing but that it happened."""
    return problem(UNKNOWN, "InternalError", "an error that longtail does not know", request_id)


def problem(status: Status, kind: str, detail: str, request_id: str, field: str | None = None) -> dict[str, Any]:
    """Write a problem document."""
    document = {
        "type": type_of(kind),
        "title": status.title,
        "status": status.http,
        "detail": detail,
        "request_id": request_id,
    }
    return document if field is None else {**document, "field": field}
