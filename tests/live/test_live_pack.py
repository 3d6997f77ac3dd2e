"""The demo's release, packed here, unpacked into an empty house, promoted and served from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from longtail_bento.settings import ServiceSettings

LONGTAIL = [sys.executable, "-c", "from longtail_client.cli import main; main()"]


@pytest.fixture
def there(settings: ServiceSettings, fresh_ports: dict[str, int], tmp_path: Path) -> ServiceSettings:
    """A machine to deploy on, where nothing is yet."""
    update = {**fresh_ports, "var": tmp_path / "var", "model_repository": tmp_path / "model_repository"}
    return settings.model_copy(update=update)


def run(*arguments: str, settings: ServiceSettings) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LONGTAIL, *arguments],
        env=dict(os.environ) | settings.as_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300.0,
    )


def test_a_release_is_built_here_and_served_there(
    settings: ServiceSettings, there: ServiceSettings, tmp_path: Path
) -> None:
    packed = tmp_path / "demo-1.tar"
    done = run("release", "pack", "demo-1", "--output", str(packed), settings=settings)
    assert done.returncode == 0, done.stderr
    done = run("release", "unpack", str(packed), "--json", settings=there)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["published"]) == 4
    for arguments in (
        ("export", "config"),
        ("release", "verify", "demo-1"),
        ("release", "promote", "demo-1"),
    ):
        done = run(*arguments, settings=there)
        assert done.returncode == 0, done.stderr
    wish = ("--item", "100", "--item", "56", "--url", f"http://127.0.0.1:{there.port}", "--json")
    done = run("up", "--", *LONGTAIL, "recommend", *wish, settings=there)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["release"], len(answer["items"]), answer["degraded"]) == ("demo-1", 10, [])
