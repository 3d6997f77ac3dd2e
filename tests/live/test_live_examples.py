"""The examples of the documentation, run as they are written against the running service and its Triton.

What a page shows as their output has the form of what comes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.documented import Example, check_output, examples_of

from longtail_bento.processes import ServiceProcess
from longtail_bento.settings import ServiceSettings

PAGES = ("README.md", "docs/for-grpc-clients.md", "docs/triton.md", "docs/api.md")
EXAMPLES = [pytest.param(each, id=each.name) for page in PAGES for each in examples_of(page)]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs_as_it_is_written(
    example: Example, service: ServiceProcess, settings: ServiceSettings, built: Path
) -> None:
    ports = {3000: settings.port, 3001: settings.grpc_port}
    ports |= {8000: settings.triton_http_port, 8001: settings.triton_grpc_port}
    code = example.code
    for written, here in ports.items():
        code = code.replace(f"127.0.0.1:{written}", f"127.0.0.1:{here}")
    command = [sys.executable, "-c"] if example.language == "python" else ["bash", "-euo", "pipefail", "-c"]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [*command, code], capture_output=True, text=True, check=False, timeout=600, cwd=built, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    if example.shown is not None:
        check_output(*example.shown, done.stdout)


def test_every_page_has_examples() -> None:
    assert {each.id.split()[0] for each in EXAMPLES if each.id} == set(PAGES)
