"""A full disk is one error, whatever is published; nothing half published is left, and what was there still serves."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "small_disk.py"


@pytest.mark.parametrize(
    ("what", "target"),
    [
        ("interactions", "var/catalogues/second"),
        ("vectors", "var/catalogues/second"),
        ("text_encoder", "model_repository/text_encoder/2"),
        ("generator", "model_repository/generator/2"),
        ("release", "var/releases/second"),
        ("pack", "pack.tar"),
        ("download", "var/sources/large-"),
    ],
)
def test_a_full_disk_is_one_error_and_leaves_what_was_published(
    what: str, target: str, tmp_path: Path, model_repository: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    job = {"what": what, "disk": str(disk), "model_repository": str(model_repository)}
    done = subprocess.run(
        [*own_mounts(), sys.executable, str(SCRIPT), json.dumps(job)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert re.match(rf"{disk / target}\w*: expected room for it on the file system, which is full: \d", report["said"])
    assert "Remove model versions, catalogues and releases that nothing serves any more" in report["said"]
    assert report["same"]
    assert report["live"] == "first"
    assert report["hidden"] == []


def own_mounts() -> list[str]:
    """Run what follows where it may mount a disk that only itself sees, if this machine allows it."""
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    allowed = subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode == 0
    return unshare if allowed else []
