"""The reports of a service's workers in, one report of all of them out.

Counts add up. Shares and means are weighted by the answers behind them. What cannot be added, a percentile and the
different items that all served together, is the largest that any worker saw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from longtail_client.release_report import CanaryEvidence, ReleaseReport, ShadowEvidence, Tally, read_reports


def read_report(var: Path, name: str) -> ReleaseReport | None:
    """Read what a release showed to all workers; None where it was neither in shadow nor on canary.

    Raises:
        ReleaseInvalid: A file is malformed.
    """
    reports = read_reports(var, name)
    return merged(reports) if reports else None


def merged(reports: Sequence[ReleaseReport]) -> ReleaseReport:
    """Make one report; those against another release than the newest was compared with are of the past.

    Args:
        reports: Of one release, one or more.
    """
    newest = max(reports, key=lambda report: report.written_at)
    current = [report for report in reports if report.compared_with == newest.compared_with]
    shadows = [report.shadow for report in current if report.shadow is not None]
    canaries = [report.canary for report in current if report.canary is not None]
    return newest.model_copy(update={"shadow": _shadow(shadows), "canary": _canary(canaries)})


def _shadow(parts: Sequence[ShadowEvidence]) -> ShadowEvidence | None:
    if not parts:
        return None
    n_compared = [part.n_compared for part in parts]
    return ShadowEvidence(
        n_compared=sum(n_compared),
        n_dropped=sum(part.n_dropped for part in parts),
        overlap_at_k=_mean([part.overlap_at_k for part in parts], n_compared),
        score_shift=_mean([part.score_shift for part in parts], n_compared),
        candidate=_tally([part.candidate for part in parts]),
        live=_tally([part.live for part in parts]),
    )


def _canary(parts: Sequence[CanaryEvidence]) -> CanaryEvidence | None:
    if not parts:
        return None
    return CanaryEvidence(
        percent=parts[-1].percent,
        candidate=_tally([part.candidate for part in parts]),
        live=_tally([part.live for part in parts]),
    )


def _tally(parts: Sequence[Tally]) -> Tally:
    n_answers = [part.n_answers for part in parts]

    def mean(of: Callable[[Tally], float | None]) -> float | None:
        return _mean([of(part) for part in parts], n_answers)

    def largest(of: Callable[[Tally], float | None]) -> float | None:
        return max((value for part in parts if (value := of(part)) is not None), default=None)

    return Tally(
        n_answers=sum(n_answers),
        n_errors=sum(part.n_errors for part in parts),
        n_degraded=sum(part.n_degraded for part in parts),
        tail_share=mean(lambda part: part.tail_share),
        coverage=largest(lambda part: part.coverage),
        mean_similarity=mean(lambda part: part.mean_similarity),
        latency_p50_ms=mean(lambda part: part.latency_p50_ms),
        latency_p95_ms=largest(lambda part: part.latency_p95_ms),
    )


def _mean(values: Sequence[float | None], weights: Sequence[int]) -> float | None:
    known = [(value, weight) for value, weight in zip(values, weights, strict=True) if value is not None and weight]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None
