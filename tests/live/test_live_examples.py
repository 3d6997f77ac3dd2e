"""The Python examples of the documentation, run as they are written against the running service."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from longtail_bento.processes import ServiceProcess
from longtail_bento.settings import ServiceSettings

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/for-grpc-clients.md")
EXAMPLES = [
    pytest.param(block, id=f"{page} {number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL), start=1)
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs_as_it_is_written(example: str, service: ServiceProcess, settings: ServiceSettings) -> None:
    here = example.replace("127.0.0.1:3000", f"127.0.0.1:{settings.port}")
    here = here.replace("127.0.0.1:3001", f"127.0.0.1:{settings.grpc_port}")
    done = subprocess.run([sys.executable, "-c", here], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_every_page_has_examples() -> None:
    assert {each.id.split()[0] for each in EXAMPLES if each.id} == set(PAGES)
