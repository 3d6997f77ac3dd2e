"""Tables in, a published catalogue out: tidy items, their vectors from the live encoder, and the exact search graph.

Everything is read, embedded and written a batch at a time, so that a catalogue may be larger than memory.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet

from longtail_client.contract import TEXT_ENCODER
from longtail_client.encoder import Encoder, TextTokenizer
from longtail_client.manifest import publishing, read_manifest, write_manifest
from longtail_client.triton_transport import TritonTransport
from longtail_export.catalogue_fingerprint import write_fingerprint
from longtail_export.catalogue_interactions import write_known
from longtail_export.catalogue_sources import Tables
from longtail_export.catalogue_tidy import HEAD_SHARE, scan_items, tidied_schema, tidy_items
from longtail_export.catalogue_vectors import Embedded, embed_items
from longtail_export.progress import Progress
from longtail_export.rows import gathered
from longtail_export.top_k_graph import write_top_k
from longtail_export.vector_store import VectorStore, prune_stores, store_folder

_GROUP_ROWS = 65_536
_GROUP_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class CatalogueReport:
    """What was published."""

    folder: str
    n_items: int
    n_tail: int
    n_users: int
    n_interactions: int
    n_unknown_items: int
    n_long_texts: int
    n_texts: int
    n_encoded: int
    dim: int


def export_catalogue(
    tables: Tables,
    *,
    folder: Path,
    var: Path,
    model_repository: Path,
    encoder_version: str,
    triton_url: str,
    timeout_s: float,
    progress: Progress,
) -> CatalogueReport:
    """Tidy, embed, publish.

    Args:
        tables: Items and interactions.
        folder: The catalogue's folder, which must not exist.
        var: Where vectors that were encoded before are, and new ones are kept: under ``vectors``.
        model_repository: Where the encoder's tokenizer is.
        encoder_version: Version of the text encoder that embeds the items.
        triton_url: Triton's gRPC endpoint, ``host:port``.
        timeout_s: Seconds one encoder call may take.
        progress: Hears of each step.

    Raises:
        AlreadyPublished: The catalogue exists.
        DataInvalid: The tables are not as `scan_items` and `write_known` want them.
        DiskFull: There is no room for the catalogue or for the vectors.
        ModelUnavailable: Triton does not answer.
        ReleaseInvalid: The encoder version is not published here.
    """
    with publishing(folder) as staging:
        version_folder = model_repository / TEXT_ENCODER.name / encoder_version
        files = read_manifest(version_folder)["files"]
        tokenizer = TextTokenizer(version_folder / "tokenizer.json")
        progress.step("checking items")
        scan = scan_items(tables.items)
        n_items = len(scan.item_ids)
        progress.step("counting interactions")
        known = write_known(tables.interactions, scan.item_ids, staging / "interactions.parquet")
        with (
            progress.bar("tidying items", total=n_items) as advance,
            pyarrow.parquet.ParquetWriter(staging / "items.parquet", tidied_schema(tables.items.schema)) as writer,
        ):
            tidied = tidy_items(tables.items, scan, known.popularity)
            for table in gathered(tidied, n_rows=_GROUP_ROWS, n_bytes=_GROUP_BYTES):
                writer.write_table(table)
                advance(len(table))

        async def embed() -> tuple[Embedded, int]:
            transport = TritonTransport(triton_url)
            try:
                encoder = await Encoder.connect(transport, tokenizer, version=encoder_version, timeout_s=timeout_s)
                fingerprint = await write_fingerprint(encoder, tokenizer, staging)
                stored = store_folder(var, model_repository, encoder_version)
                with VectorStore.opened(stored, encoder.dim, progress) as store:
                    if not store.keep_up_with(fingerprint):
                        progress.step("the encoder gives other vectors than it gave; encoding every text again")
                    return await embed_items(
                        staging / "items.parquet",
                        staging / "vectors.npy",
                        encoder=encoder,
                        store=store,
                        progress=progress,
                    ), encoder.dim
            finally:
                await transport.close()

        embedded, dim = asyncio.run(embed())
        progress.step("writing the catalogue")
        write_top_k(staging / "top_k.onnx", dim=dim)
        report = CatalogueReport(
            folder=str(folder),
            n_items=n_items,
            n_tail=n_items - int(n_items * HEAD_SHARE),
            n_users=known.n_users,
            n_interactions=known.n_interactions,
            n_unknown_items=known.n_unknown_items,
            n_long_texts=scan.n_long_texts,
            n_texts=embedded.n_texts,
            n_encoded=embedded.n_encoded,
            dim=dim,
        )
        write_manifest(
            staging,
            {
                "catalogue": folder.name,
                "source": tables.source,
                "n_items": report.n_items,
                "n_tail": report.n_tail,
                "n_interactions": report.n_interactions,
                "n_unknown_items": report.n_unknown_items,
                "dim": report.dim,
                "encoder_version": encoder_version,
                "encoder_sha256": files["model.onnx"],
                "tokenizer_sha256": files["tokenizer.json"],
            },
        )
    for removed in prune_stores(var, model_repository):
        progress.step(f"removed {removed}, vectors of an encoder version that is published no more")
    return report
