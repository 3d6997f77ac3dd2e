"""The Bento that `make bento` builds: it holds our wheel, and serves a request from it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from longtail_bento.processes import ServiceProcess
from longtail_bento.settings import ServiceSettings
from longtail_bento.triton.launcher import TritonServer

from_root = Path(__file__).parents[2]


def load_build_script() -> Any:
    spec = importlib.util.spec_from_file_location("bento_build", from_root / "deploy" / "bento" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_built_bento_serves_from_the_wheel_inside(
    settings: ServiceSettings, triton: TritonServer, tmp_path: Path, free_port: int
) -> None:
    if not list((from_root / "dist").glob("longtail-*.whl")):
        pytest.fail("expected a wheel in dist/; `make wheel` builds it, and `make test` does so first")
    home = settings.var / "bentoml"
    tag = load_build_script().build(from_root / "dist", tmp_path / "staging", home)
    bento = home / "bentos" / tag.replace(":", "/")
    (wheel,) = (bento / "env" / "python" / "wheels").glob("longtail-*.whl")
    requirements = (bento / "env" / "python" / "requirements.txt").read_text()
    assert "bentoml==1.4.39" in requirements
    assert "torch" not in requirements

    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    where = subprocess.run(
        [sys.executable, "-c", "import longtail_bento.service as s; print(s.__file__)"],
        env=dict(os.environ) | settings.as_environment() | {"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.strip().startswith(str(unpacked))

    process = ServiceProcess(settings.model_copy(update={"port": free_port, "grpc_port": 0}), target=tag)
    process.start(path_first=unpacked)
    try:
        process.wait_for("/readyz")
        asked = {"user_id": "196", "deadline_ms": 60_000}  # whether it answers whole, not how soon
        answer = httpx.post(f"{process.url}/recommend", json=asked, timeout=90.0)
        assert answer.status_code == 200
        assert len(answer.json()["items"]) == 10
        assert answer.json()["degraded"] == []
    finally:
        process.stop()
