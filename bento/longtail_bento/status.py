"""One table from errors to status; both doors read it."""

from __future__ import annotations

from dataclasses import dataclass

from longtail_client import errors


@dataclass(frozen=True, slots=True)
class Status:
    """How an error looks from outside.

    Attributes:
        http: HTTP status code.
        grpc: Name of the gRPC status code.
        title: A few words for the kind of error; the same for every error of the kind.
    """

    http: int
    grpc: str
    title: str


TABLE: dict[type[errors.LongtailError], Status] = {
    errors.InvalidRequest: Status(422, "INVALID_ARGUMENT", "A field is not as it should be"),
    errors.MalformedBody: Status(400, "INVALID_ARGUMENT", "The body is not JSON"),
    errors.RequestTooLarge: Status(413, "RESOURCE_EXHAUSTED", "The body is too large"),
    errors.BodyTooSlow: Status(408, "DEADLINE_EXCEEDED", "The body came too slowly"),
    errors.UnsupportedMediaType: Status(415, "INVALID_ARGUMENT", "The body must be application/json"),
    errors.Unauthenticated: Status(401, "UNAUTHENTICATED", "A key is needed"),
    errors.UnknownUser: Status(404, "NOT_FOUND", "No such user"),
    errors.UnknownItem: Status(404, "NOT_FOUND", "No such item"),
    errors.UnknownRelease: Status(404, "NOT_FOUND", "No such release"),
    errors.NothingToRecommend: Status(404, "NOT_FOUND", "Nothing is left to recommend"),
    errors.CallerError: Status(400, "INVALID_ARGUMENT", "The request cannot be answered"),
    errors.ModelUnavailable: Status(503, "UNAVAILABLE", "A model does not answer"),
    errors.DatabaseUnavailable: Status(503, "UNAVAILABLE", "The database does not answer"),
    errors.Overloaded: Status(429, "RESOURCE_EXHAUSTED", "Too many requests"),
    errors.Unavailable: Status(503, "UNAVAILABLE", "Something does not answer"),
    errors.DeadlineExceeded: Status(504, "DEADLINE_EXCEEDED", "The time ran out"),
    errors.OperatorError: Status(500, "INTERNAL", "The deployment is broken"),
    errors.LongtailError: Status(500, "INTERNAL", "Something went wrong"),
}


def status_of(error: errors.LongtailError) -> Status:
    """Find an error's status: its own, or that of the nearest kind above it."""
    return next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)
