"""The committed stubs are what protoc makes of the proto, and the proto says what the wire says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import longtail_client
from longtail_client import v1

FOLDER = Path(v1.__file__).parent
NAMES = ("recommend_pb2.py", "recommend_pb2.pyi", "recommend_pb2_grpc.py")


def test_the_stubs_are_current(tmp_path: Path) -> None:
    proto = FOLDER / "recommend.proto"
    root = Path(longtail_client.__file__).parents[1]
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{root}"),
            *(f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")),
            str(proto),
        ],
        check=True,
    )
    made = tmp_path / proto.parent.relative_to(root)
    stale = [name for name in NAMES if (made / name).read_bytes() != (FOLDER / name).read_bytes()]
    assert not stale, "run `make stubs`"
