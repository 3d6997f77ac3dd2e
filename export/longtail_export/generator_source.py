"""A folder in, the generator's checkpoint in it out: a GGUF file, or what transformers saves; or a reason why not."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from longtail_client.errors import ExportRejected
from longtail_export.gguf_header import N_TENSORS, read_gguf_header

GGUF_ARCHITECTURES = ("llama", "qwen2", "qwen3")
"""Architectures whose GGUF both openvino-genai and transformers read."""


@dataclass(frozen=True, slots=True)
class GeneratorSource:
    """A checkpoint of a causal language model, with its tokenizer.

    Attributes:
        folder: Where it lies.
        gguf: Its one GGUF file; None where it is a checkpoint as transformers saves it.
    """

    folder: Path
    gguf: Path | None


def read_source(folder: Path) -> GeneratorSource:
    """Find the checkpoint and see whether it can be served at all.

    Args:
        folder: A folder with exactly one ``.gguf`` file, or with ``config.json``, safetensors and ``tokenizer.json``.

    Raises:
        ExportRejected: Neither is there, there is no tokenizer, the architecture writes no text, or a weight of a GGUF
            is no number.
    """
    ggufs = sorted(folder.glob("*.gguf"))
    if len(ggufs) == 1:
        _check_gguf(ggufs[0])
        return GeneratorSource(folder, ggufs[0])
    if ggufs or not any(folder.glob("*.safetensors")) or not (folder / "config.json").is_file():
        raise ExportRejected(
            f"{folder}: expected one .gguf file, or config.json with .safetensors beside it, "
            f"found {[path.name for path in ggufs] or 'neither'}"
        )
    _check_config(folder / "config.json")
    if not (folder / "tokenizer.json").is_file():
        raise ExportRejected(f"{folder}: expected a tokenizer.json beside the weights, found none")
    return GeneratorSource(folder, None)


def _check_gguf(path: Path) -> None:
    facts = read_gguf_header(path)
    architecture = facts.get("general.architecture")
    if architecture not in GGUF_ARCHITECTURES:
        raise ExportRejected(f"{path}: expected an architecture of {list(GGUF_ARCHITECTURES)}, got {architecture!r}")
    if not facts.get("tokenizer.ggml.tokens"):
        raise ExportRejected(f"{path}: expected a tokenizer inside (tokenizer.ggml.tokens), found none")
    sizes = [f"{architecture}.block_count", f"{architecture}.embedding_length"]
    missing = [size for size in sizes if not facts.get(size)]
    if missing or int(facts[N_TENSORS]) <= int(facts[sizes[0]]):  # readers would make up the sizes of a 7B model
        raise ExportRejected(
            f"{path}: expected weights and {sizes}, found {facts[N_TENSORS]} tensors without {missing}"
        )
    _check_finite(path)


def _check_finite(path: Path) -> None:
    """Refuse weights that are no numbers: a model with one of them writes the same token for ever, in every engine."""
    import gguf
    import numpy as np

    try:
        tensors = gguf.GGUFReader(path).tensors
    except (ValueError, LookupError, TypeError) as error:
        raise ExportRejected(f"{path}: expected a whole GGUF file, got a damaged one ({error})") from error
    for tensor in tensors:
        with suppress(NotImplementedError):  # a form that gguf cannot unpack is left to the engine
            if not np.isfinite(gguf.dequantize(tensor.data, tensor.tensor_type)).all():
                raise ExportRejected(f"{path}: weights {tensor.name}: expected finite numbers, got NaN or infinity")


def _check_config(path: Path) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    try:
        architectures = json.loads(path.read_text()).get("architectures")
    except (ValueError, AttributeError) as error:
        raise ExportRejected(f"{path}: expected a JSON object, got {error}") from error
    known = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()) - {"BertLMHeadModel"}
    if not isinstance(architectures, list) or not known & set(architectures):
        raise ExportRejected(
            f"{path}: expected the architecture of a causal language model, as 'LlamaForCausalLM', got {architectures}"
        )
