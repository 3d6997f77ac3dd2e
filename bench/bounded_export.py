"""Export a catalogue of any number of items under a hard limit of memory, and say what it took, as one JSON object.

``python bench/bounded_export.py --items 1000000 --limit-mib 4096 --folder /tmp/large`` needs about 4 GB of disk. The
limit is the kernel's (``RLIMIT_AS``), set before anything is imported. A stand-in answers in the encoder's place, at
the seam to Triton, with vectors of its dimension and at once, so that what is measured is the export.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DIM = 384
_BATCH = 50_000
_WORDS = ("quiet", "loud", "drama", "comedy", "western", "horror", "thriller", "sea", "war", "love", "city", "spy")


def main() -> None:
    """Write the tables, export them, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--limit-mib", type=int, required=True)
    parser.add_argument("--tokenizer", type=Path, default=Path("model_repository/text_encoder/1/tokenizer.json"))
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    limit = arguments.limit_mib * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    json.dump(export(arguments.items, arguments.tokenizer, arguments.folder), sys.stdout)


def export(n_items: int, tokenizer: Path, folder: Path) -> dict[str, float]:
    """Export ``n_items`` items and five times as many interactions."""
    import numpy as np

    from longtail_client.contract import Array
    from longtail_client.manifest import write_manifest
    from longtail_client.testing import FakeTransport
    from longtail_export import catalogue_export
    from longtail_export.catalogue_sources import read_tables
    from longtail_export.progress import SilentProgress

    pool = np.random.default_rng(0).standard_normal((4096, DIM)).astype(np.float32)
    pool /= np.linalg.norm(pool, axis=1, keepdims=True)

    class StandIn(FakeTransport):
        async def infer(self, *arguments: Any, **_: Any) -> Mapping[str, Array]:
            ids = np.asarray(arguments[2]["input_ids"], dtype=np.int64)
            return {"embedding": pool[(ids * np.arange(1, ids.shape[1] + 1)).sum(axis=1) % len(pool)]}

    version = folder / "model_repository" / "text_encoder" / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_bytes(b"stand-in")
    shutil.copy(tokenizer, version / "tokenizer.json")
    write_manifest(version, {})
    write_tables(folder, n_items)

    setattr(catalogue_export, "TritonTransport", lambda _: StandIn(dim=DIM, max_batch_size=64))  # noqa: B010
    began_s = time.monotonic()
    report = catalogue_export.export_catalogue(
        read_tables(folder / "items.csv", folder / "interactions.parquet"),
        folder=folder / "var" / "catalogues" / "large",
        var=folder / "var",
        model_repository=folder / "model_repository",
        encoder_version="1",
        triton_url="127.0.0.1:1",
        timeout_s=60.0,
        progress=SilentProgress(),
    )
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "n_items": report.n_items,
        "n_interactions": report.n_interactions,
        "n_encoded": report.n_encoded,
        "seconds": round(time.monotonic() - began_s, 1),
        "cpu_seconds": round(time.process_time(), 1),
        "peak_virtual_mib": int(status["VmPeak"].split()[0]) // 1024,
        "peak_resident_mib": int(status["VmHWM"].split()[0]) // 1024,
    }


def write_tables(folder: Path, n_items: int) -> None:
    """Write a CSV of items, no two of one text, and a Parquet file of interactions."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet

    chance = random.Random(0)  # noqa: S311
    with (folder / "items.csv").open("w") as file:
        file.write("item_id,title,genres,studio,year\n")
        for number in range(n_items):
            words = chance.choices(_WORDS, k=4)
            studio, year = number % 300_000, 1950 + number % 70
            file.write(f"item-{number},{' '.join(words)} {number},{'|'.join(words)},studio {studio},{year}\n")
    draw = np.random.default_rng(1)
    schema = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("rating", pa.float32())])
    with pyarrow.parquet.ParquetWriter(folder / "interactions.parquet", schema) as writer:
        for _ in range(0, n_items * 5, _BATCH):
            users, items = draw.integers(0, n_items // 10 + 1, _BATCH), draw.integers(0, n_items, _BATCH)
            ratings = draw.integers(1, 6, _BATCH).astype(np.float32)
            columns = [[f"user-{user}" for user in users], [f"item-{item}" for item in items], ratings]
            writer.write_batch(pa.record_batch(columns, schema=schema))


if __name__ == "__main__":
    main()
