"""A model repository in, findings out: what will go wrong, where, why, and the mend.

A rule is one function that yields places; `doctor_config_rules` reads configurations, `doctor_version_rules` version
folders, `doctor_capacity_rules` what the host has.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from longtail_export.doctor_repository import ModelRepository

Severity = Literal["error", "warning"]

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  it is looked at, not written to


@dataclass(frozen=True, slots=True)
class Machine:
    """What a rule wants to know of the host that will serve.

    Attributes:
        cores: Processors that Triton may use.
        shm_bytes: Size of ``/dev/shm``.
    """

    cores: int
    shm_bytes: int

    @classmethod
    def this_one(cls) -> Machine:
        """Look at this host, with the limits of the container that this process is in."""
        shm_bytes = shutil.disk_usage(_SHARED_MEMORY).total if _SHARED_MEMORY.is_dir() else 0
        return cls(_cores(Path("/sys/fs/cgroup/cpu.max")), shm_bytes)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rule found something, and what."""

    file: Path
    line: int
    what: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that can be wrong with a model repository.

    Attributes:
        name: What the rule is called.
        severity: An error gives wrong answers or none; a warning costs speed or a surprise.
        why: What happens.
        mend: What to do.
        find: The function that looks.
    """

    name: str
    severity: Severity
    why: str
    mend: str
    find: Callable[[ModelRepository, Machine], Iterable[Place]]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule found at one place."""

    rule: str
    severity: Severity
    file: str
    line: int
    what: str
    why: str
    mend: str


def examine(folder: Path, machine: Machine, rules: Iterable[Rule]) -> list[Finding]:
    """Read a repository and let every rule look at it.

    Args:
        folder: The model repository.
        machine: The host that will serve it.
        rules: The rules.

    Returns:
        Findings in order of file and line, each once.

    Raises:
        ContractMismatch: The folder is no model repository.
    """
    repository = ModelRepository.read(folder)
    findings = {
        Finding(rule.name, rule.severity, str(place.file), place.line, place.what, rule.why, rule.mend)
        for rule in rules
        for place in rule.find(repository, machine)
    }
    return sorted(findings, key=lambda finding: (finding.file, finding.line, finding.rule, finding.what))


def _cores(limit: Path) -> int:
    """Count the processors that this process may use, by its affinity and by the quota of its control group."""
    allowed = len(os.sched_getaffinity(0))
    try:
        quota, period = limit.read_text().split()
    except (OSError, ValueError):
        return allowed
    return allowed if quota == "max" else max(1, min(allowed, math.ceil(int(quota) / int(period))))
