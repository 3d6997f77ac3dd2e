"""Published versions of the encoder and a profile in, the version that suits this host out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from longtail_client.contract import TEXT_ENCODER
from longtail_client.errors import ReleaseInvalid
from longtail_export.config_publication import published_versions
from longtail_export.cpu import Cpu
from longtail_export.encoder_report import REPORT


def preferred_version(model_repository: Path, *, profile: str, cpu: Cpu) -> str:
    """Choose the encoder version to build a catalogue with.

    The high-fidelity version where this CPU has bf16 units and it measured the throughput that its recipe asks; else
    int8, also in the ``gpu`` profile; else the newest of what is published.

    Args:
        model_repository: Triton's model repository.
        profile: ``cpu`` or ``gpu``.
        cpu: The processor that will serve.

    Raises:
        ReleaseInvalid: No version is published.
    """
    published = published_versions(model_repository, TEXT_ENCODER.name)
    if not published:
        raise ReleaseInvalid(
            f"expected a {TEXT_ENCODER.name} version in {model_repository}, found none; run `longtail export encoder`"
        )
    newest = {dict(version.provenance).get("precision", ""): str(version.version) for version in published}
    if "bf16" in newest and profile == "cpu" and cpu.has_bf16:
        report = _report(model_repository / TEXT_ENCODER.name / newest["bf16"])
        if report["measured"]["throughput_ratio"] >= report["thresholds"]["throughput_ratio"]:
            return newest["bf16"]
    return newest.get("int8", str(published[-1].version))


def _report(folder: Path) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads((folder / REPORT).read_text())
    except (OSError, ValueError) as error:
        raise ReleaseInvalid(
            f"expected a report at {folder / REPORT}, got {error}; export the version again"
        ) from error
    return report
