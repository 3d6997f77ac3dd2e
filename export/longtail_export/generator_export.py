"""A checkpoint in, a published version of the generator out, for the engine and in the precision asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from longtail_client.contract import GENERATOR
from longtail_client.errors import ExportRejected
from longtail_client.manifest import publishing, sha256_of, write_manifest
from longtail_export.config_writer import write_configs
from longtail_export.generator_source import GeneratorSource, read_source
from longtail_export.progress import Progress
from longtail_export.sources import source_sha256

ENGINES: Mapping[str, tuple[str, ...]] = {
    "openvino": ("int8", "bf16", "fp32"),
    "transformers": ("bf16", "fp32"),
    "vllm": ("bf16", "fp32"),
}
"""What each engine can compute in, its default first."""


def export_generator(
    source: Path,
    *,
    source_name: str,
    engine: str,
    precision: str | None,
    model_repository: Path,
    version: int,
    progress: Progress,
    served_at: PurePath | None = None,
) -> Path:
    """Convert, compare with the source, publish, and name the version in the model's configurations.

    Args:
        source: A folder with one ``.gguf`` file, or with what transformers saves.
        source_name: Where it came from, for the manifest.
        engine: A key of `ENGINES`.
        precision: One of the engine's; None takes its default.
        model_repository: Triton's model repository.
        version: The version to publish, 1 or more.
        progress: Hears of each step.
        served_at: Where the server will find the model repository, if elsewhere than here. Engine 'vllm' alone asks,
            since its backend wants an absolute path to the checkpoint.

    Returns:
        The published folder.

    Raises:
        AlreadyPublished: The version exists.
        ExportRejected: An engine or a precision that is not there, a source that cannot be served, or a result that
            goes on differently from its source. Nothing was published.
    """
    precision = _checked(engine, precision)
    checkpoint = read_source(source)
    target = model_repository / GENERATOR.name / str(version)
    with publishing(target) as folder:
        if engine == "openvino":
            facts = _write_openvino(checkpoint, folder, precision, progress)
        elif engine == "transformers":
            facts = _write_transformers(checkpoint, folder, precision, progress)
        else:
            served_from = (served_at or model_repository.absolute()) / GENERATOR.name / str(version)
            facts = _write_vllm(checkpoint, folder, precision, progress, served_from)
        write_manifest(
            folder,
            {
                "model": GENERATOR.name,
                "version": str(version),
                "source": source_name,
                "source_sha256": source_sha256(source_name, source),
                "engine": engine,
                "precision": precision,
                **facts,
            },
        )
    write_configs(model_repository, GENERATOR)
    return target


def _checked(engine: str, precision: str | None) -> str:
    if engine not in ENGINES:
        raise ExportRejected(f"expected an engine of {sorted(ENGINES)}, got '{engine}'")
    known = ENGINES[engine]
    if precision is not None and precision not in known:
        raise ExportRejected(f"engine '{engine}': expected a precision of {list(known)}, got '{precision}'")
    return precision or known[0]


def _write_openvino(source: GeneratorSource, folder: Path, precision: str, progress: Progress) -> dict[str, Any]:
    from longtail_export.generator_openvino import TOKENIZER_FILES, write_openvino

    computes = write_openvino(source, folder, precision=precision, progress=progress)
    hashes = "".join(sha256_of(folder / name) for name in TOKENIZER_FILES)
    return {"computes": computes, "tokenizer_sha256": hashlib.sha256(hashes.encode()).hexdigest()}


def _write_transformers(source: GeneratorSource, folder: Path, precision: str, progress: Progress) -> dict[str, Any]:
    from longtail_export.generator_checkpoint import write_checkpoint

    kept = write_checkpoint(source, folder, precision=precision, progress=progress)
    options = {"precision": precision, "context_tokens": 2048}
    recipe = {"engine": "transformers", "weights": ".", "options": options}
    (folder / "generator.json").write_text(json.dumps(recipe, indent=2) + "\n")
    return {
        "computes": f"{precision}, weights and cache too",
        "continuation_kept": kept,
        "tokenizer_sha256": sha256_of(folder / "tokenizer.json"),
    }


def _write_vllm(
    source: GeneratorSource, folder: Path, precision: str, progress: Progress, served_from: PurePath
) -> dict[str, Any]:
    from longtail_export.generator_vllm import CHECKPOINT, write_vllm

    kept = write_vllm(source, folder, served_from=served_from, precision=precision, progress=progress)
    return {
        "computes": f"{precision}, weights and cache too",
        "continuation_kept": kept,
        "tokenizer_sha256": sha256_of(folder / CHECKPOINT / "tokenizer.json"),
        "served_from": str(served_from),
    }
