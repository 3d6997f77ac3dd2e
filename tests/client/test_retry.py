"""When a call is tried again: what passes, after at least the pause that was asked for, within its deadline."""

from __future__ import annotations

from typing import Any

import pytest

from longtail_client import retry
from longtail_client.calls import recommend
from longtail_client.errors import (
    DeadlineExceeded,
    InvalidRequest,
    LongtailError,
    ModelUnavailable,
    Overloaded,
    RequestTooLarge,
    Unavailable,
)
from longtail_client.retry import Patience, Tries


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, to be set."""
    now = [100.0]
    monkeypatch.setattr(retry.time, "monotonic", lambda: now[0])
    return now


def tries(max_tries: int = 3, **fields: Any) -> Tries:
    return Tries(recommend(user_id="ada", **fields), Patience(timeout_s=9.0, max_tries=max_tries))


@pytest.mark.parametrize("error", [Overloaded("full", retry_after_s=1.5), ModelUnavailable("away", retry_after_s=1.5)])
def test_the_pause_is_what_was_asked_for_and_a_random_part_more(error: Unavailable) -> None:
    pauses = {tries().pause_s(error) for _ in range(50)}
    assert len(pauses) > 40
    assert all(1.5 <= pause <= 1.7 for pause in pauses)


def test_the_random_part_grows() -> None:
    error = Unavailable("away", retry_after_s=0.0)
    second = []
    for _ in range(200):
        each = tries()
        each.pause_s(error)
        second.append(each.pause_s(error))
    assert 0.2 < max(second) <= 0.4


@pytest.mark.parametrize(
    "error",
    [InvalidRequest("k", field="k"), RequestTooLarge("long"), DeadlineExceeded("late"), LongtailError("odd")],
)
def test_what_does_not_pass_is_raised_at_once(error: LongtailError) -> None:
    with pytest.raises(type(error)):
        tries().pause_s(error)


def test_tries_are_bounded() -> None:
    each = tries(max_tries=2)
    each.pause_s(Overloaded("full", retry_after_s=0.0))
    with pytest.raises(Overloaded):
        each.pause_s(Overloaded("full", retry_after_s=0.0))
    with pytest.raises(Overloaded):
        tries(max_tries=1).pause_s(Overloaded("full", retry_after_s=0.0))


def test_a_pause_of_minutes_is_left_to_the_caller() -> None:
    with pytest.raises(Overloaded):
        tries().pause_s(Overloaded("full", retry_after_s=120.0))


def test_what_is_left_of_the_deadline_is_what_the_next_try_may_take(now: list[float]) -> None:
    each = tries(deadline_ms=2000)
    assert each.next() == ({"user_id": "ada", "deadline_ms": 2000}, 3.0)
    now[0] += 0.5
    each.pause_s(Overloaded("full", retry_after_s=0.0))
    fields, timeout_s = each.next()
    assert fields["deadline_ms"] == 1500
    assert timeout_s == pytest.approx(2.5)
    with pytest.raises(Overloaded):
        each.pause_s(Overloaded("full", retry_after_s=1.6))


def test_a_deadline_that_passed_in_the_pause_is_said(now: list[float]) -> None:
    each = tries(deadline_ms=2000)
    each.pause_s(Overloaded("full", retry_after_s=0.0))
    now[0] += 2.0
    with pytest.raises(DeadlineExceeded, match="2000 ms"):
        each.next()


def test_without_a_deadline_a_try_may_take_the_timeout() -> None:
    assert tries().next() == ({"user_id": "ada"}, 9.0)
