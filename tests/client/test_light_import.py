"""What importing the client costs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "transformers",
    "onnx",
    "onnxruntime",
    "openvino",
    "bentoml",
    "pyarrow",
    "scipy",
    "numpy",
    "grpc",
    "httpx",
)
MOST_S = 0.5


def python(script: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *options, "-c", script], capture_output=True, text=True, check=True)


@pytest.mark.parametrize("module", HEAVY)
def test_the_client_comes_without(module: str) -> None:
    python(f"import sys, longtail_client; sys.exit({module!r} in sys.modules)")


@pytest.mark.parametrize(
    ("url", "brings", "leaves"),
    [("http://127.0.0.1:1", "httpx", "grpc"), ("grpc://127.0.0.1:1", "grpc", "httpx")],
)
def test_a_door_brings_its_library_and_no_other(url: str, brings: str, leaves: str) -> None:
    loaded = python(
        f"import sys, longtail_client; longtail_client.Recommender({url!r}).close(); "
        f"print({brings!r} in sys.modules, {leaves!r} in sys.modules, 'torch' in sys.modules, 'bentoml' in sys.modules)"
    ).stdout.split()
    assert loaded == ["True", "False", "False", "False"]


def test_importing_the_client_is_quick() -> None:
    """Counted by `-X importtime`, without the interpreter's own start; the best of three."""

    def seconds() -> float:
        lines = python("import longtail_client", "-X", "importtime").stderr.splitlines()
        (line,) = (line for line in lines if line.rpartition("|")[2] == " longtail_client")
        return int(line.split("|")[1]) / 1e6

    assert min(seconds() for _ in range(3)) < MOST_S


COMMANDS_HEAVY = ("numpy", "tokenizers", "tritonclient", "grpc", "google.protobuf", "httpx", "pydantic_settings")
STARTS_NOTHING = """
import sys
from longtail_client.cli import main
try:
    main()
except SystemExit:
    print("\\n" + " ".join(sorted(sys.modules)))
"""


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"_LONGTAIL_COMPLETE": "complete_bash", "COMP_WORDS": "longtail release show ", "COMP_CWORD": "3"},
    ],
    ids=["help", "completion"],
)
def test_help_and_completion_load_nothing_heavy(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STARTS_NOTHING, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ) | environment,
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "longtail_client.release_commands" in loaded
    assert loaded.intersection((*HEAVY, *COMMANDS_HEAVY)) == set()
