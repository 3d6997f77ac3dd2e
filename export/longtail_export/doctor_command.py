"""`longtail doctor`: findings for people and for programs."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from longtail_client.cli import Json, Repository, emit

if TYPE_CHECKING:
    from longtail_export.doctor import Finding

_FOUND_ERRORS = 3
_COLOURS = {"error": "red", "warning": "yellow"}

_console = Console(highlight=False, markup=False, soft_wrap=True)


def doctor(
    *,
    model_repository: Repository = Path("model_repository"),
    cores: Annotated[
        int | None, typer.Option(min=1, help="Cores of the host that will serve; by default this one's.")
    ] = None,
    shm_mib: Annotated[
        int | None, typer.Option(min=0, help="MiB of /dev/shm on the host that will serve; by default this one's.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="List the rules, and examine nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Read a model repository and say what will go wrong: where, why, and the mend.

    Nothing is started and nothing is changed. Exit code 3 if there is an error; warnings leave it at 0.

    Example: longtail doctor --model-repository model_repository --cores 8 --shm-mib 64
    """
    from longtail_export.doctor import Machine, examine
    from longtail_export.doctor_rules import RULES

    if explain:
        _explain(as_json=as_json)
        return
    machine = Machine.this_one()
    if cores is not None:
        machine = replace(machine, cores=cores)
    if shm_mib is not None:
        machine = replace(machine, shm_bytes=shm_mib << 20)
    findings = examine(model_repository, machine, RULES)
    n_errors = sum(finding.severity == "error" for finding in findings)
    n_warnings = len(findings) - n_errors
    if as_json:
        emit({"errors": n_errors, "warnings": n_warnings, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            _show(finding)
        _console.print(f"{model_repository}: {len(RULES)} rules, {n_errors} errors, {n_warnings} warnings")
    if n_errors:
        raise typer.Exit(_FOUND_ERRORS)


def _show(finding: Finding) -> None:
    head = Text(f"{finding.file}:{finding.line}: ")
    head.append(finding.severity, style=_COLOURS[finding.severity])
    _console.print(head.append(f": {finding.what} [{finding.rule}]"))
    _console.print(f"  why:  {finding.why}")
    _console.print(f"  mend: {finding.mend}\n")


def _explain(*, as_json: bool) -> None:
    from longtail_export.doctor_rules import RULES

    if as_json:
        names = ("name", "severity", "why", "mend")
        emit({"rules": [{name: getattr(rule, name) for name in names} for rule in RULES]})
        return
    for rule in RULES:
        head = Text(f"{rule.name} (")
        _console.print(head.append(rule.severity, style=_COLOURS[rule.severity]).append(")"))
        _console.print(f"  why:  {rule.why}")
        _console.print(f"  mend: {rule.mend}\n")
