"""The report beside a version of the encoder in, the figures of it that callers are told out."""

from __future__ import annotations

import logging
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

_log = logging.getLogger("longtail")

REPORT_FILE = "report.json"


class EncoderMeasured(BaseModel):
    """How the encoder as served compares with its float32 source, measured before it was published."""

    mean_cosine: float | None = Field(default=None, description="Mean cosine of a text's vector to the source's.")
    worst_cosine: float | None = Field(default=None, description="The smallest.")
    neighbour_overlap: float | None = Field(
        default=None, description="Share of each catalogue text's ten nearest neighbours that the source finds too."
    )
    batch_invariance: float | None = Field(
        default=None, description="Worst cosine of a text alone to itself in a batch of others."
    )
    padding_invariance: float | None = Field(
        default=None, description="Worst cosine of a text to itself, padded to other lengths."
    )
    throughput_ratio: float | None = Field(
        default=None, description="Texts a second over the source's, on the machine that exported it."
    )


class Measured(BaseModel):
    """What was measured of a release's parts when they were exported."""

    encoder: EncoderMeasured | None = Field(default=None, description="None of an encoder without a report.")


class _Report(BaseModel):
    measured: EncoderMeasured


def read_measured(encoder_folder: Path) -> Measured | None:
    """Read what the parts of a release measured.

    Args:
        encoder_folder: The version's folder.

    Returns:
        None where nothing has a report.
    """
    path = encoder_folder / REPORT_FILE
    try:
        return Measured(encoder=_Report.model_validate_json(path.read_bytes()).measured)
    except FileNotFoundError:
        return None
    except ValidationError as error:
        _log.warning("%s: expected a report of an encoder, got one that cannot be read: %s", path, error.errors()[0])
        return None
