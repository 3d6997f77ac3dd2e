"""What speaks against promoting a release, one figure at a time; and the report on disk and on the terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from longtail_client.errors import ReleaseInvalid
from longtail_client.release_report import (
    CanaryEvidence,
    ReleaseReport,
    ShadowEvidence,
    Tally,
    Thresholds,
    forget_workers,
    objections,
    reports_folder,
    write_report,
)
from longtail_client.release_report_merge import read_report

if TYPE_CHECKING:
    from conftest import Done, House

GOOD = Tally(
    n_answers=100,
    n_errors=0,
    n_degraded=1,
    tail_share=0.9,
    coverage=0.2,
    mean_similarity=0.6,
    latency_p50_ms=100.0,
    latency_p95_ms=200.0,
)


def tally(**changes: Any) -> Tally:
    return GOOD.model_copy(update=changes)


def in_shadow(candidate: Tally = GOOD, **changes: Any) -> ReleaseReport:
    evidence = ShadowEvidence(
        n_compared=100, n_dropped=0, overlap_at_k=0.8, score_shift=0.01, candidate=candidate, live=GOOD
    )
    return ReleaseReport(
        release="two",
        compared_with="one",
        written_at="2026-01-02T03:04:05+00:00",
        shadow=evidence.model_copy(update=changes),
    )


def on_canary(candidate: Tally = GOOD) -> ReleaseReport:
    evidence = CanaryEvidence(percent=10, candidate=candidate, live=GOOD)
    return in_shadow().model_copy(update={"shadow": None, "canary": evidence})


def test_a_release_as_good_as_the_live_one_passes() -> None:
    assert objections(in_shadow(), Thresholds()) == []
    assert objections(on_canary(), Thresholds()) == []


def test_a_release_that_nobody_asked_is_refused() -> None:
    assert objections(None, Thresholds()) == ["it was neither in shadow nor on canary: nothing is known of its answers"]
    nobody = tally(n_answers=0, n_degraded=0, tail_share=None, coverage=None, latency_p95_ms=None)
    report = in_shadow(nobody, n_compared=0, overlap_at_k=None, score_shift=None)
    assert objections(report, Thresholds()) == ["answers: expected at least 50, got 0"]


@pytest.mark.parametrize(
    ("report", "objection"),
    [
        (in_shadow(tally(n_answers=49)), "answers: expected at least 50, got 49"),
        (in_shadow(overlap_at_k=0.29), "overlap@k: expected at least 0.3, got 0.290"),
        (in_shadow(score_shift=-0.21), "score shift: expected at most 0.2, got -0.210"),
        (
            in_shadow(tally(coverage=0.13)),
            "shadow coverage: expected at least 0.7 of the live 0.200, got 0.130",
        ),
        (
            in_shadow(tally(latency_p95_ms=301.0)),
            "shadow latency: expected a 95th percentile of at most 1.5 times the live 200 ms, got 301 ms",
        ),
        (on_canary(tally(n_errors=2)), "canary error rate: expected at most 0.01 above the live 0.000, got 0.020"),
        (on_canary(tally(n_degraded=7)), "canary degraded rate: expected at most 0.05 above the live 0.010, got 0.070"),
        (on_canary(tally(tail_share=0.79)), "canary tail share: expected at least 0.800, got 0.790"),
    ],
)
def test_each_figure_past_its_threshold_is_said(report: ReleaseReport, objection: str) -> None:
    assert objections(report, Thresholds()) == [objection]


def test_thresholds_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGTAIL_PROMOTE_MIN_OVERLAP_AT_K", "0.9")
    assert objections(in_shadow(), Thresholds()) == ["overlap@k: expected at least 0.9, got 0.800"]


def test_a_report_reads_back_and_another_format_is_refused(tmp_path: Path) -> None:
    assert read_report(tmp_path, "two") is None
    write_report(tmp_path, on_canary(), worker=1)
    assert read_report(tmp_path, "two") == on_canary()
    (reports_folder(tmp_path, "two") / "1.json").write_text('{"release": "two"}')
    with pytest.raises(ReleaseInvalid, match="expected a report as this version writes it"):
        read_report(tmp_path, "two")


def test_what_workers_saw_is_taken_together(tmp_path: Path) -> None:
    first = in_shadow(tally(n_answers=30, latency_p95_ms=100.0), overlap_at_k=0.9, n_compared=30)
    second = in_shadow(tally(n_answers=10, n_errors=5, latency_p95_ms=400.0), overlap_at_k=0.3, n_compared=10)
    write_report(tmp_path, first, worker=1)
    write_report(tmp_path, second, worker=2)
    known = read_report(tmp_path, "two")
    assert known is not None
    assert known.shadow is not None
    assert known.shadow.n_compared == 40
    assert known.shadow.overlap_at_k == pytest.approx(0.75)
    candidate = known.shadow.candidate
    assert (candidate.n_answers, candidate.n_errors, candidate.latency_p95_ms) == (40, 5, 400.0)
    assert candidate.tail_share == pytest.approx(tally().tail_share)
    assert any("error rate" in each for each in objections(known, Thresholds()))


def test_what_was_seen_beside_another_live_release_is_of_the_past(tmp_path: Path) -> None:
    before = in_shadow().model_copy(update={"compared_with": "zero", "written_at": "2026-01-01T00:00:00+00:00"})
    write_report(tmp_path, before, worker=2)
    write_report(tmp_path, on_canary(), worker=1)
    assert read_report(tmp_path, "two") == on_canary()


def test_reports_of_workers_that_are_no_more_are_forgotten(tmp_path: Path) -> None:
    for worker in (1, 2, 3):
        write_report(tmp_path, on_canary(), worker=worker)
    forget_workers(tmp_path, beyond=1)
    assert [path.name for path in reports_folder(tmp_path, "two").iterdir()] == ["1.json"]


def test_the_command_prints_figures_and_objections(house: House, longtail: Callable[..., Done]) -> None:
    house.create("two")
    assert "neither in shadow nor on canary" in longtail("release", "report", "two").out
    write_report(house.var, in_shadow(overlap_at_k=0.1), worker=1)
    done = longtail("release", "report", "two")
    assert done.code == 0
    assert "overlap@k 0.100, score shift +0.010" in done.out
    assert "against promoting: overlap@k: expected at least 0.3, got 0.100" in done.out
    document = longtail("release", "report", "two", "--json").document
    assert document["objections"] == ["overlap@k: expected at least 0.3, got 0.100"]
    assert document["report"]["shadow"]["candidate"]["tail_share"] == 0.9
    write_report(house.var, on_canary(), worker=1)
    assert "nothing speaks against promoting it" in longtail("release", "report", "two").out
    assert longtail("release", "report", "three").code == 3
