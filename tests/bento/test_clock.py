"""The time of one request, with time itself in the test's hands."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from longtail_bento.clock import Clock
from longtail_client.errors import DeadlineExceeded, ModelUnavailable


class Time:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Time:
    passing = Time()
    monkeypatch.setattr("longtail_bento.clock.time", SimpleNamespace(monotonic=passing.monotonic))
    return passing


def test_what_is_left_shrinks_with_time(passing: Time) -> None:
    clock = Clock(2000)
    assert clock.left_s() == pytest.approx(2.0)
    passing.advance(0.5)
    assert clock.left_s() == pytest.approx(1.5)
    assert clock.left_s(share=0.7) == pytest.approx(1.05)


@pytest.mark.parametrize("late_s", [0.25, 0.3])
def test_nothing_left_is_an_error_that_names_the_budget(passing: Time, late_s: float) -> None:
    clock = Clock(250)
    passing.advance(late_s)
    with pytest.raises(DeadlineExceeded, match="250 ms; allow more with deadline_ms"):
        clock.left_s()


def test_stages_add_up_and_unused_ones_are_zero(passing: Time) -> None:
    clock = Clock(9000)
    for seconds in (0.1, 0.2):
        with clock.stage("encode"):
            passing.advance(seconds)
    passing.advance(0.05)
    finished = clock.finished_ms("generate", "encode")
    assert finished == {"generate": 0.0, "encode": pytest.approx(300), "total": pytest.approx(350)}
    assert list(finished) == ["generate", "encode", "total"]


def test_a_stage_that_fails_is_timed_too(passing: Time) -> None:
    clock = Clock(9000)

    def fail() -> None:
        with clock.stage("encode"):
            passing.advance(0.4)
            raise ModelUnavailable("gone")

    with pytest.raises(ModelUnavailable):
        fail()
    assert clock.timings_ms["encode"] == pytest.approx(400)


def test_a_stage_is_missed_once_and_for_its_first_reason() -> None:
    clock = Clock(1000)
    assert clock.last_failure is None
    first, again, other = ModelUnavailable("gone"), DeadlineExceeded("late"), ModelUnavailable("away")
    clock.degrade("generate", first)
    clock.degrade("encode", other)
    clock.degrade("generate", again)
    assert clock.failures == {"generate": first, "encode": other}
    assert list(clock.failures) == ["generate", "encode"]
    assert clock.last_failure is other
