"""A GGUF checkpoint in, OpenVINO IR with its tokenizers and a recipe out, compared with the checkpoint."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openvino_genai

from longtail_client.errors import ExportRejected
from longtail_export.generator_source import GeneratorSource
from longtail_export.progress import Progress

TOKENIZER_FILES = ("openvino_tokenizer.bin", "openvino_tokenizer.xml")
_PROBE = "The quick brown fox"
_PROBE_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Precision:
    """What one precision asks of the engine, and what is then computed in words."""

    options: Mapping[str, Any]
    computes: str


PRECISIONS: Mapping[str, Precision] = {
    "int8": Precision(
        {"precision": "bf16", "quantisation_group": 32, "cache_precision": "u8"},
        "int8 products, activations in groups of 32; bf16 elsewhere; int8 cache; weights as in the source",
    ),
    "bf16": Precision(
        {"precision": "bf16", "quantisation_group": 0, "cache_precision": "u8"},
        "bf16, products too (float32 on a CPU without bf16); int8 cache; weights as in the source",
    ),
    "fp32": Precision(
        {"precision": "f32", "quantisation_group": 0, "cache_precision": "f32"},
        "float32, products and cache too; weights as in the source",
    ),
}


def write_openvino(source: GeneratorSource, folder: Path, *, precision: str, progress: Progress) -> str:
    """Convert and compare.

    Args:
        source: The checkpoint.
        folder: Where to write.
        precision: A key of `PRECISIONS`. The weights are the same in all; the recipe differs.
        progress: Hears of each step.

    Returns:
        What the engine computes, in words.

    Raises:
        ExportRejected: The source is no GGUF, cannot be read, or the conversion goes on differently from it.
    """
    if source.gguf is None:
        raise ExportRejected(
            f"{source.folder}: engine 'openvino' converts a .gguf file, found a checkpoint of safetensors; "
            "use --engine transformers, or a GGUF of the same model"
        )
    progress.step("converting the checkpoint")
    try:
        expected = _convert(source.gguf, folder)
    except (RuntimeError, LookupError, ValueError) as error:
        reason = " ".join(str(error).split())[-300:]
        raise ExportRejected(f"{source.gguf}: openvino-genai cannot read it: {reason}") from error
    progress.step("comparing with the checkpoint")
    got = _continuation(openvino_genai.LLMPipeline(str(folder), "CPU", INFERENCE_PRECISION_HINT="f32"))
    if got != expected:
        raise ExportRejected(
            f"expected the converted model to go on from {_PROBE!r} with {expected!r} as its source does, "
            f"got {got!r}; nothing was published"
        )
    chosen = PRECISIONS[precision]
    recipe = {"engine": "openvino", "weights": ".", "options": {**chosen.options, "context_tokens": 2048}}
    (folder / "generator.json").write_text(json.dumps(recipe, indent=2) + "\n")
    return chosen.computes


def _convert(checkpoint: Path, folder: Path) -> str:
    """Let openvino-genai write IR beside a link to the checkpoint, and return the source's own continuation."""
    with tempfile.TemporaryDirectory() as scratch:
        link = Path(scratch) / checkpoint.name
        link.symlink_to(checkpoint.absolute())
        pipeline = openvino_genai.LLMPipeline(
            str(link), "CPU", enable_save_ov_model=True, INFERENCE_PRECISION_HINT="f32"
        )
        expected = _continuation(pipeline)
        for path in Path(scratch).glob("openvino_*"):
            shutil.move(path, folder / path.name)
    return expected


def _continuation(pipeline: openvino_genai.LLMPipeline) -> str:
    tokens = pipeline.get_tokenizer().encode(_PROBE, add_special_tokens=False)
    return str(pipeline.generate(tokens, max_new_tokens=_PROBE_TOKENS, do_sample=False).tokens)
