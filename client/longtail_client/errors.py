"""Everything that can go wrong in longtail, sorted by who must act.

    LongtailError
    |-- CallerError               the caller changes the request
    |   |-- InvalidRequest        a field is missing, unknown or out of range
    |   |-- MalformedBody         the body is no JSON at all
    |   |-- RequestTooLarge       the body is longer than the service reads
    |   |-- BodyTooSlow           the body did not come within the time that a sender has
    |   |-- UnsupportedMediaType  the body is declared as something else than JSON
    |   |-- Unauthenticated       no key, or one that the service does not know
    |   |-- UnknownUser           no interaction of this user is stored
    |   |-- UnknownItem           the live catalogue has no such item
    |   |-- UnknownRelease        no release of this name can be asked now
    |   `-- NothingToRecommend    the user has seen everything that was asked for
    |-- Unavailable               the caller waits and tries again
    |   |-- ModelUnavailable      Triton, or one of its models, does not answer
    |   |-- DatabaseUnavailable   the database of interactions does not answer
    |   `-- Overloaded            a queue is full
    |-- DeadlineExceeded          the caller allows more time, or asks for less
    `-- OperatorError             whoever deploys mends what is deployed
        |-- SettingsInvalid       a setting cannot be used as it is
        |-- DatabaseInvalid       the database is not one that this version can read
        |-- ContractMismatch      a tensor or a model config is not what contract.py declares
        |-- ModelNotLoaded        Triton could not load a version of a model, or may not be told to
        |-- ReleaseInvalid        a release names parts that are missing, changed or do not fit together
        |-- TransitionRefused     a release cannot go from where it is to where it was told to
        |-- PackInvalid           a packed release is damaged, or is not one
        |-- ExportRejected        an exported model missed its tolerance and was not published
        |-- DataInvalid           a table of items or interactions cannot be read as one
        |-- DiskFull              the file system has no room for what is being written
        `-- SourceError           weights or data could not be had
            |-- UnknownSource     no such source
            |-- HashMismatch      what came is not what is pinned
            `-- SourceUnreachable the place that has it does not answer

A message says what was expected, what came, where, and what to do.
"""

from __future__ import annotations


class LongtailError(Exception):
    """Root of every error that longtail raises on purpose.

    Attributes:
        request_id: Names the request in the service's log, where a service answered with this error.
    """

    request_id: str | None = None


class CallerError(LongtailError):
    """The request cannot be answered as it is; sending it again will not help.

    Args:
        message: One sentence for the caller.
        field: The request's field at fault, dotted as in ``history.3.item_id``; None where no field is.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class InvalidRequest(CallerError):
    """A field is missing, unknown, of a wrong type or out of range."""


class MalformedBody(CallerError):
    """The body is not JSON."""


class RequestTooLarge(CallerError):
    """The body is longer than the service reads."""


class BodyTooSlow(CallerError):
    """The body did not come within the time that a sender has."""


class UnsupportedMediaType(CallerError):
    """The body is declared as something else than JSON."""


class Unauthenticated(CallerError):
    """There is no key, or one that the service does not know.

    Args:
        message: One sentence for the caller.
        given: Whether there was a key.
    """

    def __init__(self, message: str, *, given: bool = False) -> None:
        super().__init__(message)
        self.given = given


class UnknownUser(CallerError):
    """No interaction of this user is stored."""


class UnknownItem(CallerError):
    """The live catalogue has no such item."""


class UnknownRelease(CallerError):
    """No release of this name can be asked now."""


class NothingToRecommend(CallerError):
    """The user has seen everything that was asked for."""


class Unavailable(LongtailError):
    """Something longtail needs does not answer now.

    Args:
        message: What was called, where, and what it said.
        retry_after_s: Seconds after which a new try makes sense.
    """

    def __init__(self, message: str, *, retry_after_s: float = 2.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ModelUnavailable(Unavailable):
    """Triton, or one of its models, does not answer."""


class DatabaseUnavailable(Unavailable):
    """The database of interactions does not answer."""


class Overloaded(Unavailable):
    """A queue is full."""


class DeadlineExceeded(LongtailError):
    """The time that the caller allowed ran out."""


class OperatorError(LongtailError):
    """What is deployed, or what is being built, is wrong; no request can mend it."""


class SettingsInvalid(OperatorError):
    """A setting cannot be used as it is."""


class DatabaseInvalid(OperatorError):
    """The database has another shape than this version knows."""


class ContractMismatch(OperatorError):
    """A tensor or a model config differs from what ``contract.py`` declares."""


class ModelNotLoaded(OperatorError):
    """Triton could not load a version of a model, or may not be told to."""


class ReleaseInvalid(OperatorError):
    """A release names parts that are missing, changed, or do not fit together."""


class TransitionRefused(OperatorError):
    """A release cannot go from the place where it is to the one where it was told to."""


class PackInvalid(OperatorError):
    """A packed release is truncated, changed, or holds what no release pins."""


class ExportRejected(OperatorError):
    """An exported model missed its tolerance and was not published."""


class DataInvalid(OperatorError):
    """A table of items or interactions cannot be read as one."""


class DiskFull(OperatorError):
    """The file system has no room for what is being written; nothing of it is left."""


class SourceError(OperatorError):
    """Weights or data could not be had."""


class UnknownSource(SourceError):
    """No source of this name is known, no such folder exists."""


class HashMismatch(SourceError):
    """What came is not what is pinned."""


class SourceUnreachable(SourceError):
    """The place that has the source does not answer."""
