"""Problem documents and the errors that they tell of."""

from __future__ import annotations

from typing import Any

import pytest

from longtail_client import errors
from longtail_client.errors import CallerError, LongtailError, Unavailable
from longtail_client.problem import error_of, type_of

KINDS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, LongtailError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_comes_back_as_itself(kind: type[LongtailError]) -> None:
    document = {"type": type_of(kind.__name__), "detail": "what happened", "request_id": "r1", "field": "k"}
    error = error_of(document, status=500, retry_after_s=7.0)
    assert type(error) is kind
    assert str(error) == "what happened"
    assert error.request_id == "r1"
    if isinstance(error, CallerError):
        assert error.field == "k"
    if isinstance(error, Unavailable):
        assert error.retry_after_s == 7.0


@pytest.mark.parametrize(("said", "expected"), [(7.5, 7.5), (None, Unavailable("").retry_after_s), ("soon", 2.0)])
def test_the_pause_may_stand_in_the_document(said: Any, expected: float) -> None:
    error = error_of({"type": type_of("Overloaded"), "retry_after_s": said}, status=429)
    assert isinstance(error, errors.Overloaded)
    assert error.retry_after_s == expected


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.CallerError),
        (401, errors.Unauthenticated),
        (403, errors.CallerError),
        (413, errors.RequestTooLarge),
        (422, errors.InvalidRequest),
        (429, errors.Overloaded),
        (500, errors.LongtailError),
        (502, errors.LongtailError),
        (503, errors.Unavailable),
        (504, errors.DeadlineExceeded),
    ],
)
@pytest.mark.parametrize("document", [{}, {"type": "about:blank", "detail": "said by a proxy"}])
def test_what_is_no_problem_of_ours_goes_by_its_status(document: dict[str, Any], status: int, kind: type) -> None:
    error = error_of(document, status=status)
    assert type(error) is kind
    assert str(error) == document.get("detail", f"the service answered {status}")
