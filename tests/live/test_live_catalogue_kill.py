"""A killed `longtail export catalogue` on a real Triton: the next run encodes the rest, and ends in the same."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from longtail_bento.settings import ServiceSettings
from longtail_bento.triton.launcher import TritonServer
from longtail_client.contract import TEXT_ENCODER
from longtail_client.fingerprint import PROBE_TEXTS
from longtail_client.manifest import read_manifest, verify_files
from longtail_export.vector_store import DIGEST_BYTES

N_ITEMS = 500
COMMIT_TEXTS = 192
IN_FLIGHT_TEXTS = 128
"""What Triton may still be embedding for an export that was killed."""

N_PROBED = len(PROBE_TEXTS) * 4
"""Probes that an export embeds: each alone for the fingerprint, then in three groupings to see that it holds."""

EXPORT = f"""
from longtail_export import catalogue_vectors
catalogue_vectors.COMMIT_TEXTS = {COMMIT_TEXTS}
from longtail_client.cli import main
main()
"""
"""The command, which stores vectors more often than every two seconds, since so few take no longer."""


@pytest.fixture(scope="module")
def demo(built: Path) -> Path:
    """The demo's catalogue, whose export nobody killed."""
    return built / "var" / "catalogues" / "demo"


@pytest.fixture(scope="module")
def tables(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Some of the demo's films, and what users did with all of them."""
    items = tmp_path_factory.mktemp("tables") / "items.parquet"
    table = pyarrow.parquet.read_table(demo / "items.parquet", columns=["item_id", "title", "text"])
    pyarrow.parquet.write_table(table.slice(0, N_ITEMS), items)
    return items, demo / "interactions.parquet"


def start(tables: tuple[Path, Path], version: str, var: Path, settings: ServiceSettings) -> subprocess.Popen[str]:
    given = ("--items", str(tables[0]), "--interactions", str(tables[1]), "--name", "films", "--var", str(var))
    return subprocess.Popen(
        [sys.executable, "-c", EXPORT, "export", "catalogue", *given, "--encoder-version", version, "--json"],
        env=dict(os.environ) | settings.as_environment() | {"LONGTAIL_ENCODE_TIMEOUT_S": "60"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(export: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = export.communicate(timeout=600)
    assert export.returncode == 0, err
    report: dict[str, Any] = json.loads(out)
    return report


def n_stored(var: Path) -> int:
    return sum(path.stat().st_size // DIGEST_BYTES for path in var.glob("vectors/*/texts"))


async def test_what_a_kill_left_is_not_encoded_again(
    demo: Path,
    tables: tuple[Path, Path],
    settings: ServiceSettings,
    triton: TritonServer,
    execution_count: Any,
    tmp_path: Path,
) -> None:
    version = read_manifest(demo)["encoder_version"]
    export = start(tables, version, tmp_path, settings)
    deadline_s = time.monotonic() + 300.0
    while n_stored(tmp_path) < COMMIT_TEXTS:
        assert export.poll() is None, export.communicate()[1]
        assert time.monotonic() < deadline_s, "nothing was stored"
        await asyncio.sleep(0.01)
    export.send_signal(signal.SIGKILL)
    assert export.wait() == -signal.SIGKILL
    export.communicate()
    assert list((tmp_path / "catalogues").glob("[!.]*")) == []

    stored = n_stored(tmp_path)
    async with execution_count:
        report = await asyncio.to_thread(finished, start(tables, version, tmp_path, settings))
    assert stored < report["n_texts"] - COMMIT_TEXTS, "it was killed at its end, not in the middle"
    assert report["n_encoded"] == report["n_texts"] - stored
    assert 0 <= execution_count.texts - report["n_encoded"] - N_PROBED <= IN_FLIGHT_TEXTS < stored

    folder = tmp_path / "catalogues" / "films"
    assert list(folder.parent.iterdir()) == [folder]
    verify_files(folder, read_manifest(folder)["files"])
    vectors, undisturbed = np.load(folder / "vectors.npy"), np.load(demo / "vectors.npy")[:N_ITEMS]
    if read_manifest(settings.model_repository / TEXT_ENCODER.name / version)["precision"] == "int8":
        assert vectors.tobytes() == undisturbed.tobytes()
    assert (vectors * undisturbed).sum(axis=1).min() > 0.9999
