"""The OpenVINO engine, on the demo's generator, passes the suite of every engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.bento.triton.engine_suite import EngineSuite

from longtail_bento.triton.backends.longtail_generator.openvino_engine import OpenVinoEngine, OpenVinoOptions


@pytest.fixture(scope="module")
def opened(built: Path) -> OpenVinoEngine:
    """The engine, opened once."""
    return OpenVinoEngine(built / "model_repository" / "generator" / "1", OpenVinoOptions(precision="f32"))


class TestOpenVinoEngine(EngineSuite):
    """openvino-genai's continuous batching."""

    @pytest.fixture
    def engine(self, opened: OpenVinoEngine) -> OpenVinoEngine:
        """The engine under test."""
        return opened
