"""Run by `test_catalogue_resume`: exports a catalogue with a fake encoder, and kills itself where it is told to.

Arguments: a JSON object with ``place`` (``step:<words>``, ``bar:<words>``, ``encode:<n>`` or nothing), ``folder``,
``var``, ``model_repository``, ``items`` and ``interactions``. Prints how many texts the encoder was asked for.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from longtail_client.contract import Array
from longtail_client.testing import FakeTransport
from longtail_export import catalogue_export, catalogue_vectors
from longtail_export.catalogue_fingerprint import write_fingerprint
from longtail_export.catalogue_sources import read_tables
from longtail_export.progress import SilentProgress


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Encoding(FakeTransport):
    """Counts texts, and dies in a request."""

    n_texts = 0
    n_requests = 0
    is_counting = False

    async def infer(
        self, model: str, version: str, inputs: Mapping[str, Array], *, timeout_s: float, **more: Any
    ) -> Mapping[str, Array]:
        self.n_requests += 1
        if self.is_counting and job["place"] == f"encode:{self.n_requests}":
            die()
        self.n_texts += len(inputs["input_ids"])
        return await super().infer(model, version, inputs, timeout_s=timeout_s, **more)


class Deadly(SilentProgress):
    """Dies at a step, or at the first advance of a bar."""

    def step(self, what: str) -> None:
        if job["place"] == f"step:{what}":
            die()

    def bar(self, what: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        if job["place"] == f"bar:{what}":
            die()
        return super().bar(what, total)


async def after_probes(*arguments: Any) -> Any:
    """Count requests only when the fingerprint is taken."""
    fingerprint = await write_fingerprint(*arguments)
    transport.n_texts = transport.n_requests = 0
    transport.is_counting = True
    return fingerprint


job = json.loads(sys.argv[1])
transport = Encoding(max_batch_size=64)
catalogue_export.TritonTransport = lambda url: transport  # type: ignore[assignment, misc]
catalogue_export.write_fingerprint = after_probes  # type: ignore[attr-defined]
catalogue_vectors.COMMIT_TEXTS, catalogue_vectors.COMMIT_S = 128, 1e9
report = catalogue_export.export_catalogue(
    read_tables(Path(job["items"]), Path(job["interactions"])),
    folder=Path(job["folder"]),
    var=Path(job["var"]),
    model_repository=Path(job["model_repository"]),
    encoder_version="1",
    triton_url="127.0.0.1:1",
    timeout_s=5.0,
    progress=Deadly(),
)
assert report.n_encoded == transport.n_texts
sys.stdout.write(f"{transport.n_texts}\n")
