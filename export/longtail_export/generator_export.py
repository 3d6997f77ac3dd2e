"""A GGUF checkpoint in, a published version of the generator out: OpenVINO IR with its tokenizer, and a recipe."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import openvino_genai

from longtail_client.contract import GENERATOR
from longtail_client.errors import ExportRejected
from longtail_client.manifest import publishing, write_manifest
from longtail_export.config_writer import write_configs
from longtail_export.progress import Progress
from longtail_export.sources import source_sha256

_PROBE = "The quick brown fox"
_PROBE_TOKENS = 16


def export_generator(
    source: Path, *, source_name: str, model_repository: Path, version: int, progress: Progress
) -> Path:
    """Convert, compare with the source, publish, and name the version in the model's configurations.

    Args:
        source: A folder with exactly one ``.gguf`` file.
        source_name: Where it came from, for the manifest.
        model_repository: Triton's model repository.
        version: The version to publish, 1 or more.
        progress: Hears of each step.

    Returns:
        The published folder.

    Raises:
        AlreadyPublished: The version exists.
        ExportRejected: No GGUF, or the converted model goes on differently from its source.
    """
    checkpoints = sorted(source.glob("*.gguf"))
    if len(checkpoints) != 1:
        raise ExportRejected(f"{source}: expected one .gguf file, found {[path.name for path in checkpoints]}")
    with publishing(model_repository / GENERATOR.name / str(version)) as folder:
        progress.step("converting the checkpoint")
        expected = _convert(checkpoints[0], folder)
        progress.step("comparing with the checkpoint")
        got = _continuation(openvino_genai.LLMPipeline(str(folder), "CPU", INFERENCE_PRECISION_HINT="f32"))
        if got != expected:
            raise ExportRejected(
                f"expected the converted model to go on from {_PROBE!r} with {expected!r} as its source does, "
                f"got {got!r}; nothing was published"
            )
        options = {"precision": "bf16", "quantisation_group": 32, "context_tokens": 2048}
        recipe = {"engine": "openvino", "weights": ".", "options": options}
        (folder / "generator.json").write_text(json.dumps(recipe, indent=2) + "\n")
        write_manifest(
            folder,
            {
                "model": GENERATOR.name,
                "version": str(version),
                "source": source_name,
                "source_sha256": source_sha256(source_name, source),
                "engine": "openvino",
                "precision": "int8 products, activations in groups of 32; bf16 elsewhere; weights as in the source",
                "weights": checkpoints[0].name,
            },
        )
    write_configs(model_repository, GENERATOR)
    return model_repository / GENERATOR.name / str(version)


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
