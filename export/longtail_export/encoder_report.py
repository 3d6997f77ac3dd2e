"""A version of the encoder as served and its float32 graph in, a report out; and the gate that reads it.

The report lies beside the model as ``report.json``: what was measured, against which thresholds, on what.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from longtail_client.encoder import LENGTH_BUCKETS, TextTokenizer
from longtail_client.errors import ExportRejected
from longtail_export.cpu import Cpu
from longtail_export.encoder_invariance import batch_invariance, padding_invariance
from longtail_export.encoder_neighbours import embed_all, neighbour_overlap
from longtail_export.encoder_parity import measure_parity
from longtail_export.encoder_recipes import Recipe, Thresholds
from longtail_export.encoder_reference import Reference
from longtail_export.encoder_runtimes import Embed
from longtail_export.encoder_speed import throughput_ratio
from longtail_export.progress import Progress

REPORT = "report.json"
_INVARIANCE_TEXTS = 96
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """What a version measured; the reference is its float32 graph in ONNX Runtime.

    Attributes:
        mean_cosine: Mean cosine to the reference over texts of every length.
        worst_cosine: The smallest.
        worst_text: The text that has it.
        neighbour_overlap: Share of each catalogue text's ten nearest neighbours that the reference finds too.
        batch_invariance: Worst cosine of a text alone to itself in a batch of 32 or beside the longest text.
        padding_invariance: Worst cosine of a text in the widest bucket to itself in any other that holds it.
        throughput_ratio: Texts a second over the reference's, batches of 32, one interleaved run.
        texts_per_s: The version's own texts a second in that run.
    """

    mean_cosine: float
    worst_cosine: float
    worst_text: str
    neighbour_overlap: float
    batch_invariance: float
    padding_invariance: float
    throughput_ratio: float
    texts_per_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that decided whether a version was published.

    Attributes:
        precision: The recipe's.
        runtime: What ran the version.
        cpu: The processor that it was measured on.
        throughput_was_asked: Whether this processor has the units that the recipe's throughput is asked of.
        n_texts: Texts of every length.
        n_catalogue_texts: Texts that were one another's neighbours.
        n_calibration_texts: Other texts, which scales were measured on; 0 where there are none.
        thresholds: What was asked.
        measured: What was found.
    """

    precision: str
    runtime: str
    cpu: str
    throughput_was_asked: bool
    n_texts: int
    n_catalogue_texts: int
    n_calibration_texts: int
    thresholds: Thresholds
    measured: Measured

    def write(self, folder: Path) -> None:
        """Put the report beside the model."""
        (folder / REPORT).write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n")


def measure(
    reference: Reference,
    candidate: Embed,
    tokenizer: TextTokenizer,
    *,
    texts: Sequence[str],
    catalogue_texts: Sequence[str],
    asked_ratio: float | None,
    progress: Progress,
) -> Measured:
    """Measure a version.

    Args:
        reference: The float32 graph; what is timed is its computation.
        candidate: The version as served.
        tokenizer: Turns texts into ids.
        texts: Of every length.
        catalogue_texts: As a catalogue has them.
        asked_ratio: The throughput ratio that must be reached; a miss is measured again, since a machine that does
            something else shows itself as a miss.
        progress: Hears of each step.
    """
    progress.step("comparing with float32 on texts of every length")
    parity = measure_parity(reference, candidate, tokenizer, texts)
    rows = tokenizer(catalogue_texts)
    progress.step(f"comparing the neighbours of {len(rows)} texts")
    overlap = neighbour_overlap(embed_all(reference, rows), embed_all(candidate, rows))
    progress.step("comparing each text with itself in other company and other padding")
    narrow = [row for row in rows if len(row) <= LENGTH_BUCKETS[-2]][:_INVARIANCE_TEXTS]
    in_batches, in_padding = batch_invariance(candidate, narrow), padding_invariance(candidate, narrow)
    progress.step("timing it against float32")
    ratio, texts_per_s = throughput_ratio(reference.computed, candidate, rows)
    for _ in range(_ATTEMPTS - 1):
        if asked_ratio is None or ratio >= asked_ratio:
            break
        ratio, texts_per_s = max((ratio, texts_per_s), throughput_ratio(reference.computed, candidate, rows))
    return Measured(
        mean_cosine=parity.mean_cosine,
        worst_cosine=parity.worst_cosine,
        worst_text=parity.worst_text,
        neighbour_overlap=overlap,
        batch_invariance=in_batches,
        padding_invariance=in_padding,
        throughput_ratio=ratio,
        texts_per_s=texts_per_s,
    )


def asked_ratio(recipe: Recipe, cpu: Cpu) -> float | None:
    """Return the throughput ratio that a version must reach on this processor, if any."""
    return recipe.thresholds.throughput_ratio if recipe.has_units(cpu) else None


def require(report: Report) -> None:
    """Let only a version pass that measured what its recipe asks.

    Raises:
        ExportRejected: It missed a threshold, or a figure is not a number; the message has every miss and the text that
            is farthest from float32.
    """
    measured, thresholds = asdict(report.measured), asdict(report.thresholds)
    if not report.throughput_was_asked:
        thresholds["throughput_ratio"] = None
    misses = [
        f"{name} {measured[name]:.6g} (at least {least:g})"
        for name, least in thresholds.items()
        if least is not None and not measured[name] >= least
    ]
    if misses:
        raise ExportRejected(
            f"{report.precision} misses what its recipe asks: {'; '.join(misses)}; farthest from float32, at cosine "
            f"{report.measured.worst_cosine:.6f}, is {report.measured.worst_text[:80]!r}; nothing was published"
        )
