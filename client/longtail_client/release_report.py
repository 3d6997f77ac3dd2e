"""What a release showed in shadow and on canary: evidence on disk in, reasons not to promote it out.

Written by the service, read by `longtail release report` and `longtail release promote`; this file is the one
description of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from longtail_client.durable import replace_file
from longtail_client.errors import ReleaseInvalid


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tally(_Frozen):
    """What the answers of one release look like. A figure is None until there is an answer."""

    n_answers: int = Field(description="Answers given.")
    n_errors: int = Field(description="Requests that it could not answer.")
    n_degraded: int = Field(description="Answers made without a stage.")
    tail_share: float | None = Field(description="Part of the served items below popularity percentile 80, 0 to 1.")
    coverage: float | None = Field(description="Different items served, as a part of its catalogue, 0 to 1.")
    mean_similarity: float | None = Field(description="Mean similarity of the served items, in its own space.")
    latency_p50_ms: float | None = Field(description="Median milliseconds of the latest answers.")
    latency_p95_ms: float | None = Field(description="95th percentile of the same.")

    @property
    def error_rate(self) -> float:
        """Errors among all requests, 0 to 1."""
        return self.n_errors / max(1, self.n_answers + self.n_errors)

    @property
    def degraded_rate(self) -> float:
        """Degraded answers among all answers, 0 to 1."""
        return self.n_degraded / max(1, self.n_answers)


class ShadowEvidence(_Frozen):
    """The same requests, with the same descriptions, answered by both; latencies leave the generator out."""

    n_compared: int = Field(description="Requests that both answered.")
    n_dropped: int = Field(description="Requests that were not copied, because the release was busy.")
    overlap_at_k: float | None = Field(description="Mean part of the live items that it served too, 0 to 1.")
    score_shift: float | None = Field(description="Mean similarity of its items less that of the live ones.")
    candidate: Tally
    live: Tally


class CanaryEvidence(_Frozen):
    """Answers to users of its share, and those of the live release to the others meanwhile."""

    percent: float
    candidate: Tally
    live: Tally


class ReleaseReport(_Frozen):
    """All that is known of a release from requests."""

    release: str
    compared_with: str = Field(description="The release that was live meanwhile.")
    written_at: str
    shadow: ShadowEvidence | None = None
    canary: CanaryEvidence | None = None


class Thresholds(BaseSettings):
    """What a release must show before it is promoted; read from ``LONGTAIL_PROMOTE_*``."""

    model_config = SettingsConfigDict(env_prefix="LONGTAIL_PROMOTE_", frozen=True, extra="ignore")

    min_answers: int = Field(
        default=50, ge=0, description="Requests compared and users' answers, together. More waits longer, knows more."
    )
    min_overlap_at_k: float = Field(
        default=0.3, ge=0, le=1, description="Smallest overlap with the live items. A new encoder may well want less."
    )
    max_error_rate_above_live: float = Field(
        default=0.01, ge=0, le=1, description="How much more often than the live release it may fail."
    )
    max_degraded_rate_above_live: float = Field(
        default=0.05, ge=0, le=1, description="How much more often than the live release it may do without a stage."
    )
    max_latency_ratio: float = Field(
        default=1.5, gt=0, description="Its 95th percentile over that of the live release. More admits slower models."
    )
    max_tail_share_below_live: float = Field(
        default=0.1, ge=0, le=1, description="How much less of the tail than the live release it may serve."
    )
    min_coverage_ratio: float = Field(
        default=0.7, ge=0, description="Its coverage over that of the live release, for the same requests."
    )
    max_score_shift: float = Field(
        default=0.2, ge=0, le=2, description="How far its similarities may lie from the live ones, up or down."
    )


def objections(report: ReleaseReport | None, thresholds: Thresholds) -> list[str]:
    """Say why a release should not be promoted; nothing where nothing speaks against it.

    Args:
        report: What it showed; None where it was neither in shadow nor on canary.
        thresholds: What it must show.
    """
    if report is None:
        return ["it was neither in shadow nor on canary: nothing is known of its answers"]
    return list(_objections(report, thresholds))


def _objections(report: ReleaseReport, thresholds: Thresholds) -> Iterator[str]:
    shadow, canary = report.shadow, report.canary
    n_answers = (shadow.candidate.n_answers if shadow else 0) + (canary.candidate.n_answers if canary else 0)
    if n_answers < thresholds.min_answers:
        yield f"answers: expected at least {thresholds.min_answers}, got {n_answers}"
    if shadow is not None:
        if shadow.overlap_at_k is not None and shadow.overlap_at_k < thresholds.min_overlap_at_k:
            yield f"overlap@k: expected at least {thresholds.min_overlap_at_k:g}, got {shadow.overlap_at_k:.3f}"
        if shadow.score_shift is not None and abs(shadow.score_shift) > thresholds.max_score_shift:
            yield f"score shift: expected at most {thresholds.max_score_shift:g}, got {shadow.score_shift:+.3f}"
        yield from _against_live("shadow", shadow.candidate, shadow.live, thresholds)
        ratio = _ratio(shadow.candidate.coverage, shadow.live.coverage)
        if ratio is not None and ratio < thresholds.min_coverage_ratio:
            yield (
                f"shadow coverage: expected at least {thresholds.min_coverage_ratio:g} of the live "
                f"{shadow.live.coverage:.3f}, got {shadow.candidate.coverage:.3f}"
            )
    if canary is not None:
        yield from _against_live("canary", canary.candidate, canary.live, thresholds)


def _against_live(where: str, candidate: Tally, live: Tally, thresholds: Thresholds) -> Iterator[str]:
    for what, mine, theirs, allowed in (
        ("error rate", candidate.error_rate, live.error_rate, thresholds.max_error_rate_above_live),
        ("degraded rate", candidate.degraded_rate, live.degraded_rate, thresholds.max_degraded_rate_above_live),
    ):
        if mine > theirs + allowed:
            yield f"{where} {what}: expected at most {allowed:g} above the live {theirs:.3f}, got {mine:.3f}"
    ratio = _ratio(candidate.latency_p95_ms, live.latency_p95_ms)
    if ratio is not None and ratio > thresholds.max_latency_ratio:
        yield (
            f"{where} latency: expected a 95th percentile of at most {thresholds.max_latency_ratio:g} times the live "
            f"{live.latency_p95_ms:.0f} ms, got {candidate.latency_p95_ms:.0f} ms"
        )
    if candidate.tail_share is not None and live.tail_share is not None:
        floor = live.tail_share - thresholds.max_tail_share_below_live
        if candidate.tail_share < floor:
            yield f"{where} tail share: expected at least {floor:.3f}, got {candidate.tail_share:.3f}"


def _ratio(mine: float | None, theirs: float | None) -> float | None:
    return None if mine is None or not theirs else mine / theirs


def reports_folder(var: Path, name: str) -> Path:
    """Say where the reports of a release are: one of each worker of the service, named by the worker's number."""
    return var / "reports" / name


def read_reports(var: Path, name: str) -> list[ReleaseReport]:
    """Read what each worker saw of a release; nothing where it was neither in shadow nor on canary.

    Raises:
        ReleaseInvalid: A file is malformed.
    """
    return [_read(path) for path in sorted(reports_folder(var, name).glob("[0-9]*.json"))]


def _read(path: Path) -> ReleaseReport:
    try:
        return ReleaseReport.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ReleaseInvalid(
            f"{path}: expected a report as this version writes it, got {error.error_count()} fields that are not; "
            "remove it, and let the release answer anew"
        ) from error


def write_report(var: Path, report: ReleaseReport, *, worker: int) -> None:
    """Put a worker's report in the place of the one that it wrote before, in one atomic step."""
    folder = reports_folder(var, report.release)
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / f"{worker}.json", report.model_dump_json(indent=2).encode() + b"\n")


def forget_workers(var: Path, *, beyond: int) -> None:
    """Remove the reports of workers that a service of fewer no longer has.

    Args:
        var: The deployment's folder.
        beyond: How many it has.
    """
    for path in (var / "reports").glob("*/[0-9]*.json"):
        if path.stem.isdecimal() and int(path.stem) > beyond:
            path.unlink(missing_ok=True)
