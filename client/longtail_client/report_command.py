"""`longtail release report`: what a release showed in shadow and on canary, and what speaks against promoting it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from longtail_client.cli import Json, ReleaseName, Var, emit, group
from longtail_client.release import read_release

if TYPE_CHECKING:
    from longtail_client.release_report import CanaryEvidence, ShadowEvidence, Tally

_console = Console(highlight=False, markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the command to `longtail release`."""
    group(app, "release").command("report")(report)


def report(
    name: ReleaseName,
    *,
    var: Var = Path("var"),
    as_json: Json = False,
) -> None:
    """Show how a release's answers compare with those of the live one, and what speaks against promoting it.

    Thresholds are read from LONGTAIL_PROMOTE_*, as docs/releases.md lists them.

    Example: longtail release report demo-2
    """
    from longtail_client.release_report import Thresholds, objections
    from longtail_client.release_report_merge import read_report

    read_release(var, name)
    known = read_report(var, name)
    against = objections(known, Thresholds())
    if as_json:
        emit({"release": name, "report": known and known.model_dump(mode="json"), "objections": against})
        return
    if known is not None:
        _console.print(f"{name} compared with {known.compared_with}, until {known.written_at}")
        if known.shadow is not None:
            _show_shadow(name, known.compared_with, known.shadow)
        if known.canary is not None:
            _show_canary(name, known.compared_with, known.canary)
    for each in against:
        _console.print(f"against promoting: {each}", style="yellow")
    if not against:
        _console.print("nothing speaks against promoting it", style="green")


def _show_shadow(name: str, live: str, evidence: ShadowEvidence) -> None:
    _console.print(
        f"shadow: {evidence.n_compared} requests compared, {evidence.n_dropped} not copied; "
        f"overlap@k {_number(evidence.overlap_at_k)}, score shift {_number(evidence.score_shift, sign=True)}"
    )
    _show_tallies(name, evidence.candidate, live, evidence.live)


def _show_canary(name: str, live: str, evidence: CanaryEvidence) -> None:
    _console.print(f"canary: {evidence.percent:g} % of the users")
    _show_tallies(name, evidence.candidate, live, evidence.live)


def _show_tallies(name: str, candidate: Tally, live_name: str, live: Tally) -> None:
    table = Table("", name, live_name)
    for label, mine, theirs in (
        ("answers", str(candidate.n_answers), str(live.n_answers)),
        ("error rate", _number(candidate.error_rate), _number(live.error_rate)),
        ("degraded rate", _number(candidate.degraded_rate), _number(live.degraded_rate)),
        ("tail share", _number(candidate.tail_share), _number(live.tail_share)),
        ("coverage", _number(candidate.coverage), _number(live.coverage)),
        ("mean similarity", _number(candidate.mean_similarity), _number(live.mean_similarity)),
        ("median ms", _number(candidate.latency_p50_ms, digits=0), _number(live.latency_p50_ms, digits=0)),
        ("95th percentile ms", _number(candidate.latency_p95_ms, digits=0), _number(live.latency_p95_ms, digits=0)),
    ):
        table.add_row(label, mine, theirs)
    _console.print(table)


def _number(value: float | None, *, digits: int = 3, sign: bool = False) -> str:
    if value is None:
        return "unknown"
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
