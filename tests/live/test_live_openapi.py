"""The document at /docs.json says exactly what the service on real models does."""

from __future__ import annotations

from pathlib import Path

from tests.fuzzing import CASES, contradictions

from longtail_bento.processes import ServiceProcess


def test_nothing_contradicts_the_document(service: ServiceProcess, tmp_path: Path) -> None:
    found = contradictions(service.url, tmp_path, cases=CASES, key=None, dim=384, latest_s=None)
    assert not found, found
