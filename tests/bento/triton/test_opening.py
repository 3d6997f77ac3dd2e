"""Reading a generator version's recipe: whatever is wrong with it is named."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from longtail_bento.triton.backends.longtail_generator import opening, transformers_engine
from longtail_bento.triton.backends.longtail_generator.opening import engine_opener
from longtail_bento.triton.backends.longtail_generator.transformers_engine import TransformersOptions


def write(folder: Path, recipe: Any) -> Path:
    (folder / "generator.json").write_text(recipe if isinstance(recipe, str) else json.dumps(recipe))
    return folder


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected generator\.json"):
        engine_opener(tmp_path)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("{", r"expected generator\.json, a JSON object"),
        ("", r"expected generator\.json, a JSON object"),
        ([], r"generator\.json.*JSON object"),
        ("null", r"generator\.json.*JSON object"),
        ('"openvino"', r"generator\.json.*JSON object"),
        ({}, r"generator\.json: expected engine 'openvino' or 'transformers', got None"),
        ({"engine": "torch"}, r"generator\.json: expected engine 'openvino' or 'transformers', got 'torch'"),
        (
            {"engine": ["openvino"]},
            r"generator\.json: expected engine 'openvino' or 'transformers', got \['openvino'\]",
        ),
        ({"engine": "openvino", "options": {"speed": 9}}, r"generator\.json: .*'speed'"),
        ({"engine": "openvino", "options": [1]}, r"generator\.json: "),
        ({"engine": "openvino", "options": 5}, r"generator\.json: "),
        ({"engine": "transformers", "options": {"quantisation_group": 9}}, r"generator\.json: .*'quantisation_group'"),
        ({"engine": "openvino", "weights": "model.gguf"}, r"generator\.json: expected weights at 'model\.gguf'"),
    ],
)
def test_a_bad_recipe_says_what_is_wrong(tmp_path: Path, recipe: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        engine_opener(write(tmp_path, recipe))


@pytest.mark.parametrize(
    "recipe",
    [
        {"engine": "openvino", "options": {"precision": "f32"}},
        {"engine": "transformers", "options": {"precision": "fp32"}},
    ],
)
def test_a_good_recipe_opens_nothing_before_it_is_asked(tmp_path: Path, recipe: Any) -> None:
    assert callable(engine_opener(write(tmp_path, recipe)))


def test_openvino_on_a_gpu_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="engine 'openvino' runs on the CPU, got an instance on cuda:1"):
        engine_opener(write(tmp_path, {"engine": "openvino"}), device="cuda:1")


@pytest.mark.parametrize(
    ("placed", "recipe", "device"), [("cpu", "cuda:7", "cpu"), ("cuda:1", "cpu", "cuda:1"), (None, "cuda:7", "cuda:7")]
)
def test_where_triton_places_an_instance_goes_before_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, placed: str | None, recipe: str, device: str
) -> None:
    opened: list[TransformersOptions] = []
    monkeypatch.setattr(transformers_engine, "TransformersEngine", lambda _, options: opened.append(options))
    monkeypatch.setattr(opening, "_warmed", lambda engine: engine)
    written = write(tmp_path, {"engine": "transformers", "options": {"device": recipe}})
    engine_opener(written, device=placed)()
    assert [options.device for options in opened] == [device]


def test_a_version_for_nvidias_backend_says_so(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(ValueError, match=r"it holds a model\.json, which the backend 'vllm' reads"):
        engine_opener(tmp_path)


def test_an_engine_that_is_not_installed_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, transformers_engine.__name__, None)
    with pytest.raises(ValueError, match=r"generator\.json: engine 'transformers' is not installed here"):
        engine_opener(write(tmp_path, {"engine": "transformers"}))
