"""The document at /docs.json says exactly what the service on real models does."""

from __future__ import annotations

from pathlib import Path

from tests.fuzzing import CASES, contradictions

from longtail_bento.processes import ServiceProcess

ATTRIBUTES = {
    "genres": {"type": "array", "items": {"type": "string", "maxLength": 50}, "minItems": 1, "maxItems": 9},
    "year": {"type": "integer", "minimum": 1900, "maximum": 2100},
}


def test_nothing_contradicts_the_document(service: ServiceProcess, tmp_path: Path) -> None:
    found = contradictions(service.url, tmp_path, cases=CASES, key=None, dim=384, attributes=ATTRIBUTES, latest_s=None)
    assert found == ""
