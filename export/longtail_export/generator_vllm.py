"""A checkpoint in, a version for NVIDIA's vLLM backend out: `model.json`, and the checkpoint that it points at."""

from __future__ import annotations

import json
from pathlib import Path, PurePath
from typing import Any

from longtail_export.generator_checkpoint import write_checkpoint
from longtail_export.generator_source import GeneratorSource
from longtail_export.progress import Progress

CHECKPOINT = "checkpoint"
"""Folder inside the version folder that holds safetensors and tokenizer."""

CONTEXT_TOKENS = 2048
_DTYPES = {"bf16": "bfloat16", "fp32": "float32"}


def write_vllm(
    source: GeneratorSource, folder: Path, *, served_from: PurePath, precision: str, progress: Progress
) -> float:
    """Write and compare.

    Args:
        source: The checkpoint.
        folder: Where to write.
        served_from: The version folder as the server will see it. The backend hands the path in ``model.json`` to vLLM
            as it stands, and vLLM would take a relative one from the server's working directory, or for a hub's name.
        precision: ``bf16`` or ``fp32``.
        progress: Hears of each step.

    Returns:
        See `write_checkpoint`.

    Raises:
        ExportRejected: See `write_checkpoint`.
    """
    checkpoint = folder / CHECKPOINT
    checkpoint.mkdir()
    kept = write_checkpoint(source, checkpoint, precision=precision, progress=progress)
    _write_for_older_readers(checkpoint)
    arguments = engine_arguments(served_from / CHECKPOINT, precision=precision, config=_read(checkpoint, "config.json"))
    (folder / "model.json").write_text(json.dumps(arguments, indent=2) + "\n")
    return kept


def engine_arguments(checkpoint: PurePath, *, precision: str, config: dict[str, Any]) -> dict[str, Any]:
    """Choose the arguments of vLLM's engine.

    Args:
        checkpoint: Where the server will find the checkpoint.
        precision: ``bf16`` or ``fp32``.
        config: The checkpoint's ``config.json``.

    Source: ``AsyncEngineArgs`` of vLLM 0.5.3; ``src/model.py`` of triton-inference-server/vllm_backend, which calls it
    with the content of ``model.json``.
    """
    return {
        "model": str(checkpoint),
        "dtype": _DTYPES[precision],
        "max_model_len": min(CONTEXT_TOKENS, config["max_position_embeddings"]),
        "gpu_memory_utilization": 0.5,  # the encoder shares the GPU
        "tensor_parallel_size": 1,
        "enable_prefix_caching": True,  # the texts of one request share its prompt
        "enforce_eager": False,
        "disable_log_requests": True,  # prompts name what users like
    }


def _write_for_older_readers(checkpoint: Path) -> None:
    """Say in transformers 4's words too what transformers 5 saved, since the container of 24.10 has transformers 4.

    Without ``rope_theta`` it would take 10,000 in silence, and the model would write nonsense. It knows no tokenizer
    class of the name that transformers 5 writes, takes the space before a full stop out of texts unless told not to,
    and its tokenizers (0.19) reads merges as strings alone.
    """
    config = _read(checkpoint, "config.json")
    rope = dict(config.get("rope_parameters") or {})
    if "rope_theta" in rope:
        config["rope_theta"] = rope.pop("rope_theta")
    if rope.get("rope_type", "default") != "default":
        config["rope_scaling"] = rope
    config["torch_dtype"] = config["dtype"]
    _write(checkpoint, "config.json", config)
    tokenizer = _read(checkpoint, "tokenizer_config.json")
    tokenizer = {key: tokenizer[key] for key in tokenizer if key not in ("backend", "is_local", "local_files_only")}
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    _write(checkpoint, "tokenizer_config.json", tokenizer | said)
    words = _read(checkpoint, "tokenizer.json")
    merges = words["model"].get("merges", [])
    if not any(" " in part for merge in merges for part in merge):
        words["model"]["merges"] = [" ".join(merge) for merge in merges]
    _write(checkpoint, "tokenizer.json", words)


def _read(folder: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / name).read_text())
    return content


def _write(folder: Path, name: str, content: dict[str, Any]) -> None:
    (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
