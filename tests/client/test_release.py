"""A release on disk: what it pins comes back, what was edited is refused, and one of them is live."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from longtail_client.errors import ReleaseInvalid
from longtail_client.release import (
    ChatMarkup,
    Example,
    PinnedCatalogue,
    PinnedModel,
    Prompt,
    Release,
    Weights,
    liked_phrase,
    parse_release,
    prompt_sha256,
    read_release,
    sealed,
)

PROMPT = Prompt(
    system="Describe a film.",
    examples=(Example(liked=("Alien (1979): Horror", "Heat (1995)"), description="Thriller, 1980s"),),
    markup=ChatMarkup(system="<s>{}", user="<u>{}", assistant="<a>{}", assistant_opening="<a>"),
    max_tokens=32,
    temperature=0.7,
    top_p=0.9,
    repetition_penalty=1.1,
    stop=("\n", ";"),
)
RELEASE = Release(
    name="demo-1",
    created_at="2026-01-02T03:04:05+00:00",
    encoder=PinnedModel(version="1", files={"model.onnx": "ab"}),
    generator=PinnedModel(version="2", files={"model.bin": "cd"}),
    catalogue=PinnedCatalogue(name="demo", files={"items.parquet": "ef"}),
    prompt=PROMPT,
    prompt_sha256=prompt_sha256(PROMPT),
    weights=Weights(description=1.0, steer=2.0, interest=1.0, popularity=0.25),
)


@pytest.fixture
def release_file(tmp_path: Path) -> Path:
    """`RELEASE`, written below ``tmp_path`` as its ``var``."""
    path = tmp_path / "releases" / "demo-1" / "release.json"
    path.parent.mkdir(parents=True)
    path.write_text(RELEASE.model_dump_json(indent=2))
    return path


def edit(path: Path, *keys: str, value: Any) -> None:
    document = json.loads(path.read_text())
    inner = document
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(document))


def test_a_release_comes_back_as_it_was_written(release_file: Path, tmp_path: Path) -> None:
    assert read_release(tmp_path, "demo-1") == RELEASE


def test_the_order_of_keys_does_not_change_a_prompts_hash(release_file: Path, tmp_path: Path) -> None:
    document = json.loads(release_file.read_text())
    document["prompt"] = dict(reversed(document["prompt"].items()))
    release_file.write_text(json.dumps(document))
    assert read_release(tmp_path, "demo-1") == RELEASE


@pytest.mark.parametrize(
    ("key", "value"), [("system", "Obey the item titles."), ("temperature", 0.71), ("examples", []), ("stop", ["\n"])]
)
def test_an_edited_prompt_is_refused(release_file: Path, tmp_path: Path, key: str, value: Any) -> None:
    edit(release_file, "prompt", key, value=value)
    with pytest.raises(ReleaseInvalid, match=r"demo-1/release\.json: prompt: .*it was edited"):
        read_release(tmp_path, "demo-1")


def test_a_missing_release_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ReleaseInvalid, match=r"releases/other/release\.json.*longtail release create --name other"):
        read_release(tmp_path, "other")


def test_a_release_that_was_copied_under_another_name_is_refused(release_file: Path, tmp_path: Path) -> None:
    release_file.parent.rename(tmp_path / "releases" / "copied")
    with pytest.raises(ReleaseInvalid, match=r"copied/release\.json: name: expected 'copied', .* got 'demo-1'"):
        read_release(tmp_path, "copied")


def test_malformed_json_names_the_place(release_file: Path, tmp_path: Path) -> None:
    release_file.write_text('{\n  "name": "demo-1",\n  oops\n}\n')
    with pytest.raises(ReleaseInvalid, match=r"demo-1/release\.json: .*line 3 column 3"):
        read_release(tmp_path, "demo-1")


@pytest.mark.parametrize(
    ("keys", "value", "place"),
    [
        (("prompt", "max_tokens"), 0, "prompt.max_tokens"),
        (("prompt", "examples"), [{"liked": ["a"]}], "prompt.examples.0.description"),
        (("weights", "steer"), -1, "weights.steer"),
        (("encoder", "version"), 1, "encoder.version"),
        (("surprise",), True, "surprise"),
    ],
)
def test_a_wrong_field_names_the_place(
    release_file: Path, tmp_path: Path, keys: tuple[str, ...], value: Any, place: str
) -> None:
    edit(release_file, *keys, value=value)
    with pytest.raises(ReleaseInvalid, match=rf"demo-1/release\.json: {re.escape(place)}: "):
        read_release(tmp_path, "demo-1")


def test_a_release_cannot_be_changed_in_memory() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        RELEASE.name = "other"  # type: ignore[misc]


def test_a_liked_item_is_named_with_its_kind_where_it_has_one() -> None:
    assert liked_phrase("Heat (1995)", "Crime, 1990s") == "Crime, 1990s: Heat (1995)"
    assert liked_phrase("Heat (1995)", "") == "Heat (1995)"


def test_one_flipped_bit_anywhere_is_refused_unless_it_says_the_same() -> None:
    content = sealed(RELEASE).model_dump_json(indent=2).encode()
    refused = 0
    for place in range(len(content)):
        for bit in (0, 3):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            try:
                read = parse_release(bytes(flipped), at=Path("release.json"))
            except ReleaseInvalid:
                refused += 1
            else:
                assert read == sealed(RELEASE), flipped[place - 9 :]
    assert refused > len(content)


@pytest.mark.parametrize(("keys", "value"), [(("weights", "popularity"), 25), (("encoder", "version"), "2")])
def test_a_sealed_release_that_was_changed_is_refused(
    release_file: Path, tmp_path: Path, keys: tuple[str, ...], value: object
) -> None:
    release_file.write_text(sealed(RELEASE).model_dump_json())
    assert read_release(tmp_path, "demo-1") == sealed(RELEASE)
    edit(release_file, *keys, value=value)
    with pytest.raises(ReleaseInvalid, match=r"release\.json: release: expected sha256 .* which it says of itself"):
        read_release(tmp_path, "demo-1")
