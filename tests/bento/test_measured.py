"""What the parts of a release measured, read from their reports and told through both doors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from longtail_bento.measured import EncoderMeasured, Measured, read_measured
from longtail_client.recommender import AsyncRecommender

FIGURES = {"mean_cosine": 0.997, "worst_cosine": 0.991, "neighbour_overlap": 0.943, "batch_invariance": 1.0}


def report(folder: Path, document: Any) -> Path:
    (folder / "report.json").write_text(json.dumps(document))
    return folder


def test_figures_are_read_and_what_else_a_report_says_is_not(tmp_path: Path) -> None:
    folder = report(tmp_path, {"precision": "int8", "measured": {**FIGURES, "worst_text": "a"}})
    assert read_measured(folder) == Measured(encoder=EncoderMeasured(**FIGURES))


def test_there_are_none_without_a_report(tmp_path: Path) -> None:
    assert read_measured(tmp_path) is None


@pytest.mark.parametrize("document", [[], {}, {"measured": {"mean_cosine": "high"}}])
def test_a_report_that_cannot_be_read_is_none_and_is_said_to_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, document: Any
) -> None:
    assert read_measured(report(tmp_path, document)) is None
    assert "report.json: expected a report" in caplog.text


async def test_both_doors_tell_what_was_measured(doors: Any, stage: Any, answering: Any) -> None:
    for url in (doors.http, doors.grpc):
        async with AsyncRecommender(url) as longtail:
            assert (await longtail.release()).releases[0].measured is None
            answering.releases.live.measured = Measured(encoder=EncoderMeasured(**FIGURES))
            told = (await longtail.release()).releases[0]
            answering.releases.live.measured = None
        assert told.measured is not None
        assert told.measured.encoder is not None
        assert {name: getattr(told.measured.encoder, name) for name in FIGURES} == FIGURES
        assert told.measured.encoder.throughput_ratio is None
        assert told.quality is None


async def test_a_release_is_loaded_with_what_its_encoder_measured(
    house: Path, settings_for: Any, transport: Any
) -> None:
    from longtail_bento.releases import load_release

    settings = settings_for(house)
    assert load_release(settings, transport).measured is None
    report(house / "model_repository" / "text_encoder" / "1", {"measured": FIGURES})
    assert load_release(settings, transport).measured == Measured(encoder=EncoderMeasured(**FIGURES))
