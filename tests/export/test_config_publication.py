"""What configurations say of published versions: read out of their manifests, old ones included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from longtail_client.contract import TEXT_ENCODER
from longtail_client.errors import ContractMismatch, ReleaseInvalid
from longtail_client.manifest import write_manifest
from longtail_export.config_publication import published_versions, shared_dim
from longtail_export.sources import PINNED


def publish(repository: Path, version: str, **facts: Any) -> None:
    folder = repository / "text_encoder" / version
    folder.mkdir(parents=True)
    write_manifest(folder, facts)


def test_versions_are_read_oldest_first_with_their_provenance_in_order(tmp_path: Path) -> None:
    publish(
        tmp_path, "10", precision="int8", source="shop", source_sha256="ab", tokenizer_sha256="cd", engine="x", dim=8
    )
    publish(tmp_path, "2", source="other", dim=8)
    second, tenth = published_versions(tmp_path, "text_encoder")
    assert (second.version, second.provenance, second.dim) == (2, (("source", "other"),), 8)
    assert tenth.version == 10
    assert tenth.provenance == (
        ("source", "shop"),
        ("source_sha256", "ab"),
        ("engine", "x"),
        ("precision", "int8"),
        ("tokenizer_sha256", "cd"),
    )
    assert (second.engine, tenth.engine) == ("openvino", "x")


def test_a_pinned_source_has_its_hash_even_where_an_older_manifest_lacks_it(tmp_path: Path) -> None:
    publish(tmp_path, "1", source="minilm-l6")
    (version,) = published_versions(tmp_path, "text_encoder")
    assert dict(version.provenance)["source_sha256"] == PINNED["minilm-l6"].sha256


def test_a_manifest_without_any_fact_is_a_version_without_provenance(tmp_path: Path) -> None:
    publish(tmp_path, "1")
    (version,) = published_versions(tmp_path, "text_encoder")
    assert (version.provenance, version.dim) == ((), None)


def test_only_numbered_folders_with_a_manifest_are_published(tmp_path: Path) -> None:
    publish(tmp_path, "1")
    publish(tmp_path, "configs")
    publish(tmp_path, "2x")
    (tmp_path / "text_encoder" / "3").mkdir()
    assert [version.version for version in published_versions(tmp_path, "text_encoder")] == [1]
    assert published_versions(tmp_path, "nowhere") == ()


def test_a_broken_manifest_is_named(tmp_path: Path) -> None:
    publish(tmp_path, "1")
    (tmp_path / "text_encoder" / "1" / "manifest.json").write_text("{")
    with pytest.raises(ReleaseInvalid, match=r"text_encoder/1/manifest\.json"):
        published_versions(tmp_path, "text_encoder")


def test_versions_share_the_length_of_their_vectors() -> None:
    assert shared_dim(TEXT_ENCODER, [8, None, 8]) == 8
    assert shared_dim(TEXT_ENCODER, [None]) is None
    with pytest.raises(ContractMismatch, match=r"text_encoder: .* one length, got \[8, 16\]"):
        shared_dim(TEXT_ENCODER, [16, 8])
