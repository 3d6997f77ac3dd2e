"""Exports of a catalogue: how near to the encoder's own throughput they come, and what memory a million items take."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa

from bench.measure import Measurement
from longtail_bento.settings import ServiceSettings
from longtail_client.encoder import Encoder, TextTokenizer
from longtail_client.triton_transport import TritonTransport
from longtail_export.catalogue_export import export_catalogue
from longtail_export.catalogue_sources import Tables
from longtail_export.progress import SilentProgress
from longtail_export.rows import Rows

VERSION = "1"
N_TEXTS = 2000
N_ROUNDS = 3
N_ITEMS = 1_000_000
LIMIT_MIB = 4096


def export_against_encoder(settings: ServiceSettings) -> list[Measurement]:
    """Let exports of a new catalogue take turns with the encoder alone, given all texts in one call."""
    texts = [f"Film number {n}, {1950 + n % 70}. {'Drama, France. ' * (n % 8)}directed by {n}" for n in range(N_TEXTS)]
    items = pa.table({"item_id": [str(n) for n in range(N_TEXTS)], "title": texts, "text": texts})
    users = pa.table({"user_id": ["1"], "item_id": ["1"], "weight": pa.array([1.0], pa.float32()), "timestamp": [0]})
    tables = Tables(Rows.of(items), Rows.of(users), "bench")

    async def encode() -> None:
        transport = TritonTransport(settings.triton_grpc)
        tokenizer = TextTokenizer(settings.model_repository / "text_encoder" / VERSION / "tokenizer.json")
        encoder = await Encoder.connect(transport, tokenizer, version=VERSION, timeout_s=600.0)
        await encoder.encode(texts)
        await transport.close()

    def alone() -> None:
        asyncio.run(encode())

    def export() -> None:
        with TemporaryDirectory() as var:
            export_catalogue(
                tables,
                folder=Path(var) / "catalogues" / "bench",
                var=Path(var),
                model_repository=settings.model_repository,
                encoder_version=VERSION,
                triton_url=settings.triton_grpc,
                timeout_s=60.0,
                progress=SilentProgress(),
            )

    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(N_ROUNDS):
        for spent, run in zip(seconds, (export, alone), strict=True):
            began_s = time.perf_counter()
            run()
            spent.append(time.perf_counter() - began_s)
    ours, peer = (N_TEXTS / statistics.median(spent) for spent in seconds)
    return [
        Measurement(
            f"export of a new catalogue of {N_TEXTS} items, all of it",
            f"{ours:.0f} texts/s",
            f"the encoder alone {peer:.0f} texts/s",
            ours / peer,
        )
    ]


def bounded_export(settings: ServiceSettings) -> list[Measurement]:
    """Export a million items under a hard limit, with a stand-in for the encoder."""
    with TemporaryDirectory() as folder:
        script = Path(__file__).with_name("bounded_export.py")
        tokenizer = settings.model_repository / "text_encoder" / VERSION / "tokenizer.json"
        arguments = ("--items", N_ITEMS, "--limit-mib", LIMIT_MIB, "--tokenizer", tokenizer, "--folder", folder)
        done = subprocess.run([sys.executable, script, *map(str, arguments)], check=True, capture_output=True)
    report = json.loads(done.stdout)
    return [
        Measurement(
            f"export of {N_ITEMS:,} items under a limit of {LIMIT_MIB} MiB: resident at most",
            f"{report['peak_resident_mib']} MiB in {report['seconds']:.0f} s without the encoder",
        )
    ]
