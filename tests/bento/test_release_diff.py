"""What differs between two releases: each part alone, and nothing where nothing does."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from longtail_bento.release_diff import Difference, differences
from longtail_client import cli
from longtail_client.manifest import publishing, read_manifest, write_manifest
from longtail_client.release import PinnedCatalogue, PinnedModel, Release, read_release, sealed


@pytest.fixture
def first(house: Path) -> Release:
    return read_release(house / "var", "first")


def compare(house: Path, first: Release, second: Release) -> tuple[Difference, ...]:
    return differences(first, second, var=house / "var", model_repository=house / "model_repository")


def with_items(house: Path, first: Release, items: pa.Table) -> Release:
    """Write a catalogue ``other`` with other items, and a release of it."""
    with publishing(house / "var" / "catalogues" / "other") as folder:
        pyarrow.parquet.write_table(items, folder / "items.parquet")
        write_manifest(folder, {})
        files = read_manifest(folder)["files"]
    files = {**first.catalogue.files, **files}
    return first.model_copy(update={"name": "second", "catalogue": PinnedCatalogue(name="other", files=files)})


def test_a_release_is_as_itself(house: Path, first: Release) -> None:
    assert compare(house, first, first.model_copy(update={"name": "other", "created_at": "later"})) == ()


def test_an_encoder_of_another_version_precision_and_tokenizer(house: Path, first: Release) -> None:
    with publishing(house / "model_repository" / "text_encoder" / "7") as folder:
        (folder / "model.onnx").write_text("smaller weights")
        (folder / "tokenizer.json").write_text("{}")
        write_manifest(folder, {"source": "minilm-l6", "precision": "int8"})
        files = read_manifest(folder)["files"]
    second = first.model_copy(update={"encoder": PinnedModel(version="7", files=files)})
    found = {each.what: (each.first, each.second) for each in compare(house, first, second)}
    assert found == {
        "version": ("1", "7"),
        "source": (None, "minilm-l6"),
        "precision": (None, "int8"),
        "model.onnx": (first.encoder.files["model.onnx"], files["model.onnx"]),
        "tokenizer": (first.encoder.files["tokenizer.json"], files["tokenizer.json"]),
    }


def test_a_generator_that_is_not_here_is_compared_by_its_hashes(house: Path, first: Release) -> None:
    second = first.model_copy(update={"generator": PinnedModel(version="9", files={"generator.json": "ab"})})
    assert compare(house, first, second) == (
        Difference("generator", "version", "1", "9"),
        Difference("generator", "generator.json", first.generator.files["generator.json"], "ab"),
    )


def test_items_that_came_went_and_changed(house: Path, first: Release) -> None:
    items = pyarrow.parquet.read_table(house / "var" / "catalogues" / "tiny" / "items.parquet")
    rows = items.to_pylist()
    gone = rows.pop(2)["item_id"]
    rows.append({**rows[0], "item_id": "new"})
    rows[5]["text"] += ", restored"
    rows[6]["popularity"] += 1
    found = compare(house, first, with_items(house, first, pa.Table.from_pylist(rows, schema=items.schema)))
    assert found == (
        Difference("catalogue", "name", "tiny", "other"),
        Difference("catalogue", "items.parquet", first.catalogue.files["items.parquet"], found[1].second),
        Difference("catalogue", "items removed", {"count": 1, "item_ids": [gone]}, None),
        Difference("catalogue", "items added", None, {"count": 1, "item_ids": ["new"]}),
        Difference("catalogue", "items changed", None, {"count": 1, "item_ids": [rows[5]["item_id"]]}),
    )


def test_many_items_are_counted_and_some_named(house: Path, first: Release) -> None:
    items = pyarrow.parquet.read_table(house / "var" / "catalogues" / "tiny" / "items.parquet")
    removed = compare(house, first, with_items(house, first, items.slice(0, 5)))[-1]
    assert removed == Difference(
        "catalogue", "items removed", {"count": 15, "item_ids": items["item_id"].to_pylist()[5:15]}, None
    )


def test_a_prompt_and_weights_that_differ_are_named_field_by_field(house: Path, first: Release) -> None:
    prompt = first.prompt.model_copy(update={"temperature": 0.1})
    weights = first.weights.model_copy(update={"steer": 9.0})
    assert compare(house, first, first.model_copy(update={"prompt": prompt, "weights": weights})) == (
        Difference("prompt", "temperature", first.prompt.temperature, 0.1),
        Difference("weights", "steer", first.weights.steer, 9.0),
    )


def test_diff_from_a_shell(house: Path, first: Release, monkeypatch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    second = first.model_copy(update={"name": "second", "weights": first.weights.model_copy(update={"steer": 9.0})})
    path = house / "var" / "releases" / "second" / "release.json"
    path.parent.mkdir()
    path.write_text(sealed(second).model_dump_json())
    monkeypatch.setenv("LONGTAIL_VAR", str(house / "var"))
    monkeypatch.setenv("LONGTAIL_MODEL_REPOSITORY", str(house / "model_repository"))

    def longtail(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["longtail", "release", "diff", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code
        return capsys.readouterr().out

    assert json.loads(longtail("first", "second", "--json")) == {
        "first": "first",
        "second": "second",
        "differences": [{"part": "weights", "what": "steer", "first": first.weights.steer, "second": 9.0}],
    }
    assert "steer" in longtail("first", "second")
    assert longtail("first", "first") == "first and first pin the same\n"
