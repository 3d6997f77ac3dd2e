"""A BERT checkpoint in, a published version of the text encoder out, once it agrees with the torch model."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

from longtail_client.contract import TEXT_ENCODER
from longtail_client.encoder import LENGTH_BUCKETS, TextTokenizer
from longtail_client.errors import ExportRejected
from longtail_client.manifest import publishing, sha256_of, write_manifest
from longtail_export.config_publication import published_versions, shared_dim
from longtail_export.config_writer import write_configs
from longtail_export.encoder_graph import IR_VERSION, OPSET, load_encoder, write_graph
from longtail_export.encoder_parity import Parity, measure_parity, onnx_embed, parity_texts, torch_embed
from longtail_export.progress import Progress
from longtail_export.sources import source_sha256

MIN_WORST_COSINE = 0.99999
"""The smallest cosine to the torch model that a float32 export may show on any text."""


def export_encoder(
    source: Path, *, source_name: str, model_repository: Path, version: int, progress: Progress
) -> tuple[Path, Parity]:
    """Export, compare, publish, and name the version in the model's configurations.

    Args:
        source: A BERT checkpoint with its ``tokenizer.json``.
        source_name: Where it came from, for the manifest.
        model_repository: Triton's model repository.
        version: The version to publish, 1 or more.
        progress: Hears of each step.

    Returns:
        The published folder and what the comparison measured.

    Raises:
        AlreadyPublished: The version exists.
        ContractMismatch: Versions of vectors of another length are published beside it.
        ExportRejected: No tokenizer, another architecture, or a text whose vectors differ.
    """
    tokenizer_path = source / "tokenizer.json"
    if not tokenizer_path.is_file():
        raise ExportRejected(f"{source}: expected a tokenizer.json beside the weights, found none")
    with publishing(model_repository / TEXT_ENCODER.name / str(version)) as folder:
        progress.step("loading the checkpoint")
        encoder = load_encoder(source)
        published = published_versions(model_repository, TEXT_ENCODER.name)
        shared_dim(TEXT_ENCODER, [encoder.dim, *(version.dim for version in published)])
        shutil.copy(tokenizer_path, folder / "tokenizer.json")
        progress.step("tracing the graph")
        write_graph(encoder, folder / "model.onnx")
        progress.step("comparing with the torch model")
        parity = measure_parity(
            torch_embed(encoder),
            onnx_embed(folder / "model.onnx"),
            TextTokenizer(tokenizer_path),
            parity_texts(tokenizer_path),
        )
        require_parity(parity)
        write_manifest(
            folder,
            {
                "model": TEXT_ENCODER.name,
                "version": str(version),
                "source": source_name,
                "source_sha256": source_sha256(source_name, source),
                "precision": "fp32",
                "dim": encoder.dim,
                "max_tokens": LENGTH_BUCKETS[-1],
                "opset": OPSET,
                "ir_version": IR_VERSION,
                "tokenizer_sha256": sha256_of(folder / "tokenizer.json"),
                "parity": asdict(parity),
            },
        )
    write_configs(model_repository, TEXT_ENCODER)
    return model_repository / TEXT_ENCODER.name / str(version), parity


def require_parity(parity: Parity) -> None:
    """Let only an export pass that agrees with its source.

    Raises:
        ExportRejected: The worst cosine is below `MIN_WORST_COSINE`, or not a number.
    """
    if not parity.worst_cosine >= MIN_WORST_COSINE:
        raise ExportRejected(
            f"expected a worst cosine of at least {MIN_WORST_COSINE} to the torch model over {parity.n_texts} texts, "
            f"got {parity.worst_cosine:.6f} (mean {parity.mean_cosine:.6f}) on {parity.worst_text[:80]!r}; "
            "nothing was published"
        )
