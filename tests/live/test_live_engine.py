"""Both engines on the demo's generator pass the suite of every engine, and each precision is computed as it says."""

from __future__ import annotations

import json
from pathlib import Path

import openvino
import pytest
from tests.bento.triton.engine_suite import PROMPT, EngineSuite, alone, greedy

from longtail_bento.triton.backends.longtail_generator.opening import engine_opener
from longtail_bento.triton.backends.longtail_generator.openvino_engine import OpenVinoEngine, OpenVinoOptions
from longtail_bento.triton.backends.longtail_generator.transformers_engine import (
    TransformersEngine,
    TransformersOptions,
)
from longtail_export.generator_openvino import PRECISIONS


@pytest.fixture(scope="module")
def ir(built: Path) -> Path:
    """The demo's generator, as OpenVINO IR."""
    return built / "model_repository" / "generator" / "1"


@pytest.fixture(scope="module")
def openvino_engine(ir: Path) -> OpenVinoEngine:
    """The engine, opened once."""
    return OpenVinoEngine(ir, OpenVinoOptions(**PRECISIONS["fp32"].options))


@pytest.fixture(scope="module")
def transformers_engine(transformers_version: Path) -> TransformersEngine:
    """The engine, opened once."""
    return TransformersEngine(transformers_version, TransformersOptions(precision="fp32"))


class TestOpenVinoEngine(EngineSuite):
    """openvino-genai's continuous batching."""

    @pytest.fixture
    def engine(self, openvino_engine: OpenVinoEngine) -> OpenVinoEngine:
        """The engine under test."""
        return openvino_engine


class TestTransformersEngine(EngineSuite):
    """torch, batched in flight."""

    @pytest.fixture
    def engine(self, transformers_engine: TransformersEngine) -> TransformersEngine:
        """The engine under test."""
        return transformers_engine


def test_both_engines_read_a_prompt_as_the_same_tokens(
    openvino_engine: OpenVinoEngine, transformers_engine: TransformersEngine
) -> None:
    """The tokenizer of the one checkpoint reaches them by different roads."""
    for prompt in (PROMPT, "<|im_start|>user\nName a film.<|im_end|>\n", "Zwölf Fälle, 12:30 🎬\t\n\n  end", "don't"):
        theirs = openvino_engine._tokenizer.encode(prompt, add_special_tokens=False).input_ids.data[0].tolist()
        assert transformers_engine._tokenizer.encode(prompt, add_special_tokens=False).ids == theirs


@pytest.mark.parametrize("precision", PRECISIONS)
def test_openvino_computes_in_the_precision_that_it_is_told(ir: Path, tmp_path: Path, precision: str) -> None:
    options = OpenVinoOptions(**PRECISIONS[precision].options)
    compiled = openvino.Core().compile_model(ir / "openvino_model.xml", "CPU", options.properties)
    got = {name: compiled.get_property(name) for name in ("DYNAMIC_QUANTIZATION_GROUP_SIZE", "KV_CACHE_PRECISION")}
    assert int(got["DYNAMIC_QUANTIZATION_GROUP_SIZE"]) == {"int8": 32, "bf16": 0, "fp32": 0}[precision]
    assert got["KV_CACHE_PRECISION"].to_string() == {"int8": "u8", "bf16": "u8", "fp32": "f32"}[precision]
    for path in ir.glob("openvino_*"):
        (tmp_path / path.name).symlink_to(path.absolute())
    recipe = {"engine": "openvino", "weights": ".", "options": dict(PRECISIONS[precision].options)}
    (tmp_path / "generator.json").write_text(json.dumps(recipe))
    assert "Paris" in alone(engine_opener(tmp_path)(), greedy(12), "The capital of France is")
