"""A BERT checkpoint in, a published version of the text encoder out, once it measures what its recipe asks."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from longtail_client.contract import TEXT_ENCODER
from longtail_client.encoder import LENGTH_BUCKETS, TextTokenizer
from longtail_client.errors import DataInvalid, ExportRejected
from longtail_client.manifest import publishing, sha256_of, write_manifest
from longtail_export.config_publication import published_versions, shared_dim
from longtail_export.config_writer import write_configs
from longtail_export.cpu import this_cpu
from longtail_export.encoder_graph import IR_VERSION, OPSET, load_encoder, write_graph
from longtail_export.encoder_half import check_halves, halve
from longtail_export.encoder_parity import Parity, measure_parity, parity_texts
from longtail_export.encoder_quantise import quantise
from longtail_export.encoder_recipes import RECIPES, Recipe, int8_plan
from longtail_export.encoder_reference import graph_reference, torch_reference
from longtail_export.encoder_report import Report, asked_ratio, measure, require
from longtail_export.encoder_runtimes import Embed, onnx_embed, openvino_embed
from longtail_export.progress import Progress
from longtail_export.sources import source_sha256

MIN_WORST_COSINE = 0.99999
"""The smallest cosine to the torch model that the float32 graph may show on any text."""

N_CALIBRATION_TEXTS = 256
"""Calibration texts that are used, drawn evenly; more of them moved the overlap by less than a hundredth."""


@dataclass(frozen=True, slots=True)
class SampleTexts:
    """Texts like those that will be served.

    Attributes:
        catalogue: A catalogue's texts, whose nearest neighbours an export must keep; at least 32.
        calibration: Other texts of the same kind, which scales are measured on.
    """

    catalogue: Sequence[str]
    calibration: Sequence[str]

    def __post_init__(self) -> None:
        if len(self.catalogue) < 32:
            raise DataInvalid(
                f"expected at least 32 catalogue texts to find neighbours among, got {len(self.catalogue)}"
            )

    def calibrating(self) -> list[str]:
        """Draw the texts to calibrate on; none of them is scored.

        Raises:
            DataInvalid: None is left.
        """
        scored = set(self.catalogue)
        others = [text for text in self.calibration if text not in scored]
        if not others:
            raise DataInvalid("expected calibration texts that are not the catalogue's, got none; give another file")
        chosen = np.linspace(0, len(others) - 1, min(N_CALIBRATION_TEXTS, len(others))).round().astype(int)
        return [others[index] for index in chosen]


def export_encoder(
    source: Path,
    *,
    source_name: str,
    precision: str,
    samples: SampleTexts,
    references: Path,
    model_repository: Path,
    version: int,
    progress: Progress,
) -> tuple[Path, Report]:
    """Export, convert, measure, publish, and name the version in the model's configurations.

    Args:
        source: A BERT checkpoint with its ``tokenizer.json``.
        source_name: Where it came from, for the manifest.
        precision: One of `RECIPES`.
        samples: Texts to measure and to calibrate on.
        references: Folder where float32 vectors of these texts are kept for the next export.
        model_repository: Triton's model repository.
        version: The version to publish, 1 or more.
        progress: Hears of each step.

    Returns:
        The published folder and what was measured.

    Raises:
        AlreadyPublished: The version exists.
        ContractMismatch: Versions of vectors of another length are published beside it.
        DataInvalid: Too few texts.
        ExportRejected: No tokenizer, another architecture, a graph that is not its torch model, or a recipe missed.
    """
    tokenizer_path = source / "tokenizer.json"
    if not tokenizer_path.is_file():
        raise ExportRejected(f"{source}: expected a tokenizer.json beside the weights, found none")
    recipe, cpu = RECIPES[precision], this_cpu()
    tokenizer = TextTokenizer(tokenizer_path)
    with publishing(model_repository / TEXT_ENCODER.name / str(version)) as folder:
        progress.step("loading the checkpoint")
        encoder = load_encoder(source)
        published = published_versions(model_repository, TEXT_ENCODER.name)
        shared_dim(TEXT_ENCODER, [encoder.dim, *(version.dim for version in published)])
        shutil.copy(tokenizer_path, folder / "tokenizer.json")
        progress.step("tracing the graph")
        graph = folder / "float32.onnx"
        write_graph(encoder, graph)
        reference = graph_reference(graph, references)
        texts = parity_texts(tokenizer_path)
        progress.step("comparing the graph with the torch model")
        parity = measure_parity(torch_reference(encoder, graph, references), reference, tokenizer, texts)
        require_parity(parity)
        progress.step(f"writing {precision}: {recipe.about}")
        calibration = samples.calibrating() if precision == "int8" else []
        served, runtime = _converted(graph, folder / "model.onnx", recipe, tokenizer(calibration))
        asked = asked_ratio(recipe, cpu)
        report = Report(
            precision=precision,
            runtime=runtime,
            cpu=cpu.name,
            throughput_was_asked=asked is not None,
            n_texts=len(texts),
            n_catalogue_texts=len(samples.catalogue),
            n_calibration_texts=len(calibration),
            thresholds=recipe.thresholds,
            measured=measure(
                reference,
                served,
                tokenizer,
                texts=texts,
                catalogue_texts=samples.catalogue,
                asked_ratio=asked,
                progress=progress,
            ),
        )
        require(report)
        report.write(folder)
        write_manifest(
            folder,
            {
                "model": TEXT_ENCODER.name,
                "version": str(version),
                "source": source_name,
                "source_sha256": source_sha256(source_name, source),
                "precision": precision,
                "dim": encoder.dim,
                "max_tokens": LENGTH_BUCKETS[-1],
                "opset": OPSET,
                "ir_version": IR_VERSION,
                "tokenizer_sha256": sha256_of(folder / "tokenizer.json"),
                "graph_worst_cosine_to_torch": parity.worst_cosine,
            },
        )
    write_configs(model_repository, TEXT_ENCODER)
    return model_repository / TEXT_ENCODER.name / str(version), report


def require_parity(parity: Parity) -> None:
    """Let only a graph pass that agrees with its torch model.

    Raises:
        ExportRejected: The worst cosine is below `MIN_WORST_COSINE`, or not a number.
    """
    if not parity.worst_cosine >= MIN_WORST_COSINE:
        raise ExportRejected(
            f"expected a worst cosine of at least {MIN_WORST_COSINE} to the torch model over {parity.n_texts} texts, "
            f"got {parity.worst_cosine:.6f} (mean {parity.mean_cosine:.6f}) on {parity.worst_text[:80]!r}; "
            "nothing was published"
        )


def _converted(graph: Path, target: Path, recipe: Recipe, calibration: list[list[int]]) -> tuple[Embed, str]:
    """Turn the float32 graph into the recipe's, and open it as it is served; the float32 file goes."""
    if recipe.precision == "int8":
        quantise(graph, target, calibration, int8_plan(this_cpu()))
    elif recipe.precision == "fp16":
        halve(graph, target)
        check_halves(target)
    else:
        shutil.copy(graph, target)
    graph.unlink()  # it has been read into the reference
    if recipe.precision == "fp16":  # made for GPUs: its numerics are checked with the kernels that read it anywhere
        return onnx_embed(target), "onnxruntime, CPU provider"
    return openvino_embed(target, recipe.precision), "openvino, CPU"
