"""Tables in, a published catalogue out: tidy items, their vectors from the live encoder, and the exact search graph."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet

from longtail_client.contract import TEXT_ENCODER, Matrix
from longtail_client.encoder import Encoder, TextTokenizer
from longtail_client.manifest import publishing, read_manifest, sha256_of, write_manifest
from longtail_client.transport import Transport
from longtail_client.triton_transport import TritonTransport
from longtail_export.catalogue_sources import Tables
from longtail_export.catalogue_tidy import known_interactions, tidy_items
from longtail_export.progress import Progress
from longtail_export.top_k_graph import write_top_k

_CHUNK = 64
_IN_FLIGHT = 2


@dataclass(frozen=True, slots=True)
class CatalogueReport:
    """What was published."""

    folder: str
    n_items: int
    n_tail: int
    n_users: int
    n_interactions: int
    n_unknown_items: int
    dim: int


def export_catalogue(
    tables: Tables,
    *,
    folder: Path,
    model_repository: Path,
    encoder_version: str,
    triton_url: str,
    timeout_s: float,
    progress: Progress,
) -> CatalogueReport:
    """Tidy, embed, publish.

    Args:
        tables: Items and interactions as read.
        folder: The catalogue's folder, which must not exist.
        model_repository: Where the encoder's tokenizer is.
        encoder_version: Version of the text encoder that embeds the items.
        triton_url: Triton's gRPC endpoint, ``host:port``.
        timeout_s: Seconds one encoder call may take.
        progress: Hears of each step.

    Raises:
        AlreadyPublished: The catalogue exists.
        DataInvalid: The tables are not as `tidy_items` wants them.
        ModelUnavailable: Triton does not answer.
        ReleaseInvalid: The encoder version is not published here.
    """
    with publishing(folder) as staging:
        progress.step("tidying items")
        items = tidy_items(tables.items, tables.interactions)
        interactions = known_interactions(tables.interactions, items)
        version_folder = model_repository / TEXT_ENCODER.name / encoder_version
        encoder_manifest = read_manifest(version_folder)
        tokenizer = TextTokenizer(version_folder / "tokenizer.json")
        with progress.bar("embedding items", total=len(items)) as advance:

            async def embed_items() -> Matrix:
                transport = TritonTransport(triton_url)
                try:
                    return await embed(
                        transport, tokenizer, encoder_version, items["text"].to_pylist(), timeout_s, advance
                    )
                finally:
                    await transport.close()

            vectors = asyncio.run(embed_items())
        progress.step("writing the catalogue")
        pyarrow.parquet.write_table(items, staging / "items.parquet")
        pyarrow.parquet.write_table(interactions, staging / "interactions.parquet")
        np.save(staging / "vectors.npy", vectors)
        write_top_k(staging / "top_k.onnx", dim=vectors.shape[1])
        report = CatalogueReport(
            folder=str(folder),
            n_items=len(items),
            n_tail=int(np.count_nonzero(items["is_tail"].to_numpy())),
            n_users=len(interactions["user_id"].unique()),
            n_interactions=len(interactions),
            n_unknown_items=len(tables.interactions) - len(interactions),
            dim=vectors.shape[1],
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
                "encoder_sha256": encoder_manifest["files"]["model.onnx"],
                "tokenizer_sha256": sha256_of(version_folder / "tokenizer.json"),
            },
        )
    return report


async def embed(
    transport: Transport,
    tokenizer: TextTokenizer,
    version: str,
    texts: Sequence[str],
    timeout_s: float,
    advance: Callable[[int], None],
) -> Matrix:
    """Embed many texts through the live encoder, a few requests in flight, the shortest texts first.

    Args:
        transport: The way to Triton.
        tokenizer: The encoder version's tokenizer.
        version: The encoder version.
        texts: What to embed.
        timeout_s: Seconds one request may take.
        advance: Told how many texts were embedded since it was last told.

    Returns:
        Unit rows in the order of ``texts``. Shape ``(n_texts, dim)``, float32.
    """
    encoder = await Encoder.connect(transport, tokenizer, version=version, timeout_s=timeout_s)
    vectors = np.empty((len(texts), encoder.dim), dtype=np.float32)
    shortest_first = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    chunks = iter([shortest_first[start : start + _CHUNK] for start in range(0, len(texts), _CHUNK)])

    async def work() -> None:
        for rows in chunks:
            vectors[rows] = await encoder.encode([texts[row] for row in rows])
            advance(len(rows))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_IN_FLIGHT):
                group.create_task(work())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return vectors
