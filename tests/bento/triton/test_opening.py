"""Reading a generator version's recipe: whatever is wrong with it is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from longtail_bento.triton.backends.longtail_generator.opening import engine_opener


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
        ({}, r"generator\.json: expected engine 'openvino', got None"),
        ({"engine": "torch"}, r"generator\.json: expected engine 'openvino', got 'torch'"),
        ({"engine": ["openvino"]}, r"generator\.json: expected engine 'openvino', got \['openvino'\]"),
        ({"engine": "openvino", "options": {"speed": 9}}, r"generator\.json: .*'speed'"),
        ({"engine": "openvino", "options": [1]}, r"generator\.json: "),
        ({"engine": "openvino", "options": 5}, r"generator\.json: "),
        ({"engine": "openvino", "weights": "model.gguf"}, r"generator\.json: expected weights at 'model\.gguf'"),
    ],
)
def test_a_bad_recipe_says_what_is_wrong(tmp_path: Path, recipe: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        engine_opener(write(tmp_path, recipe))


def test_a_good_recipe_opens_nothing_before_it_is_asked(tmp_path: Path) -> None:
    opener = engine_opener(write(tmp_path, {"engine": "openvino", "options": {"precision": "f32"}}))
    assert callable(opener)
