"""What `make export` built: its configurations are the committed ones, none is ill; Triton tells provenance."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from longtail_bento.settings import ServiceSettings
from longtail_bento.triton.launcher import TritonServer
from longtail_client.manifest import read_manifest
from longtail_export.config_writer import configured_models, stale_configs
from longtail_export.doctor import Machine, examine
from longtail_export.doctor_rules import RULES


def test_an_export_leaves_the_committed_configurations_as_they_are(built: Path) -> None:
    stale = [path for model in configured_models() for path in stale_configs(built / "model_repository", model)]
    assert stale == []


def test_the_doctor_finds_nothing_in_what_was_built(built: Path) -> None:
    assert examine(built / "model_repository", Machine.this_one(), RULES) == []


@pytest.mark.parametrize("model", ["text_encoder", "generator"])
def test_triton_tells_where_a_version_is_from(
    model: str, triton: TritonServer, settings: ServiceSettings, built: Path
) -> None:
    url = f"http://127.0.0.1:{settings.triton_http_port}/v2/models/{model}/config"
    parameters = httpx.get(url, timeout=60.0).json()["parameters"]
    manifest = read_manifest(built / "model_repository" / model / "1")
    assert parameters["longtail.1.source"]["string_value"] == manifest["source"]
    assert parameters["longtail.1.precision"]["string_value"] == manifest["precision"]
