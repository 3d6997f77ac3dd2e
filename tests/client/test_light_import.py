"""What importing the client costs."""

from __future__ import annotations

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
