"""How each precision of the encoder is made, and what it must measure before it is published.

The default precision of a deployment is not decided here but by `encoder_choice`, from what was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from longtail_export.cpu import Cpu
from longtail_export.encoder_quantise import Int8Plan


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The least that a version must measure; each is described in `encoder_report.Measured`.

    Attributes:
        mean_cosine: To float32, over texts of every length.
        worst_cosine: Of any of them.
        neighbour_overlap: Share of the ten nearest neighbours that float32 finds too.
        batch_invariance: Worst cosine of a text to itself in other company.
        padding_invariance: Worst cosine of a text to itself in another bucket.
        throughput_ratio: Texts a second over float32's; None where nothing is asked.
    """

    mean_cosine: float
    worst_cosine: float
    neighbour_overlap: float
    batch_invariance: float = 0.9999
    padding_invariance: float = 0.9999
    throughput_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """One precision.

    Attributes:
        precision: Its name, as manifests and configurations carry it.
        about: What it is, for people.
        thresholds: What it must measure.
        has_units: Tells whether a CPU has the units that the throughput is asked of; elsewhere it is only reported.
    """

    precision: str
    about: str
    thresholds: Thresholds
    has_units: Callable[[Cpu], bool]


RECIPES: Mapping[str, Recipe] = {
    recipe.precision: recipe
    for recipe in (
        Recipe(
            "fp32",
            "float32 throughout: the reference",
            Thresholds(mean_cosine=0.99999, worst_cosine=0.99999, neighbour_overlap=0.999),
            has_units=lambda _cpu: False,
        ),
        Recipe(
            "bf16",
            "high fidelity: the float32 graph, computed in bfloat16 where the processor has units for it",
            Thresholds(
                mean_cosine=0.999,
                worst_cosine=0.995,
                neighbour_overlap=0.985,
                batch_invariance=0.999,
                padding_invariance=0.999,
                throughput_ratio=2.5,
            ),
            has_units=lambda cpu: cpu.has_amx,
        ),
        Recipe(
            "fp16",
            "high fidelity for GPUs: weights and products in float16, inputs, output and pooling in float32",
            Thresholds(
                mean_cosine=0.999,
                worst_cosine=0.995,
                neighbour_overlap=0.985,
                batch_invariance=0.999,
                padding_invariance=0.999,
            ),
            has_units=lambda _cpu: False,
        ),
        Recipe(
            "int8",
            "static 8-bit products, smoothed; the feed-forward output, attention and normalisation stay in float",
            Thresholds(mean_cosine=0.98, worst_cosine=0.95, neighbour_overlap=0.93, throughput_ratio=2.0),
            has_units=lambda _cpu: False,  # reported, and not asked yet: this form was not timed on VNNI or AMX
        ),
    )
}


def int8_plan(cpu: Cpu) -> Int8Plan:
    """Choose what becomes int8.

    With VNNI or AMX all products but the feed-forward output, which alone loses as many neighbours as all others
    together. Without, weights have 7 bits, and the feed-forward input stays in float to make up for the eighth.
    """
    attention = ("query", "key", "value", "attention output")
    if cpu.has_int8:
        return Int8Plan((*attention, "feed-forward in"), smoothing=0.8, weight_bits=8)
    return Int8Plan(attention, smoothing=0.8, weight_bits=7)
