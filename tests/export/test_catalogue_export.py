"""Exporting a catalogue with the fake in Triton's place: vectors in order, a manifest, and nothing after an error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from longtail_client.contract import Array
from longtail_client.encoder import TextTokenizer
from longtail_client.errors import DataInvalid, DeadlineExceeded, ModelUnavailable, ReleaseInvalid
from longtail_client.manifest import AlreadyPublished, read_manifest, sha256_of, verify_files
from longtail_client.testing import FakeTransport
from longtail_export import catalogue_export
from longtail_export.catalogue_export import CatalogueReport, export_catalogue
from longtail_export.catalogue_sources import Tables
from longtail_export.progress import SilentProgress
from longtail_export.rows import Rows


class FailingTransport(FakeTransport):
    """Serves the encoder's configuration, and times out from the second request on."""

    async def infer(
        self, model: str, version: str, inputs: Mapping[str, Array], *, timeout_s: float, **more: Any
    ) -> Mapping[str, Array]:
        if self.calls:
            raise DeadlineExceeded("the fake is slow")
        return await super().infer(model, version, inputs, timeout_s=timeout_s, **more)


class ClosingTransport(FakeTransport):
    """Remembers that it was closed."""

    closed = False

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def triton(monkeypatch: pytest.MonkeyPatch) -> ClosingTransport:
    """The fake that `export_catalogue` calls."""
    fake = ClosingTransport()
    monkeypatch.setattr(catalogue_export, "TritonTransport", lambda url: fake)
    return fake


def export(tables: Tables, folder: Path, repository: Path, version: str = "1") -> CatalogueReport:
    return export_catalogue(
        tables,
        folder=folder,
        var=folder.parent / "var",
        model_repository=repository,
        encoder_version=version,
        triton_url="127.0.0.1:1",
        timeout_s=5.0,
        progress=SilentProgress(),
    )


def published(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name != "var"]


def test_a_catalogue_holds_tidy_items_and_their_vectors_in_order(
    tables: Tables, tmp_path: Path, model_repository: Path, triton: FakeTransport, tiny_text_tokenizer: TextTokenizer
) -> None:
    folder = tmp_path / "catalogues" / "sixty"
    export(tables, folder, model_repository)
    items = pyarrow.parquet.read_table(folder / "items.parquet")
    vectors = np.load(folder / "vectors.npy")
    assert items["item_id"].to_pylist() == [str(number) for number in range(60)]
    assert items["text"].to_pylist()[4] == "film 4. genre: comedy"
    assert items["kind"].to_pylist()[4] == "comedy"
    assert vectors.dtype == np.float32
    for row in (0, 31, 59):
        (ids,) = tiny_text_tokenizer([items["text"].to_pylist()[row]])
        np.testing.assert_allclose(vectors[row], triton._vector(np.array(ids)), atol=1e-6)


def test_the_report_counts_what_was_published(
    tables: Tables, tmp_path: Path, model_repository: Path, triton: FakeTransport
) -> None:
    n_known = sum(number % 7 + 1 for number in range(60))
    assert export(tables, tmp_path / "sixty", model_repository) == CatalogueReport(
        folder=str(tmp_path / "sixty"),
        n_items=60,
        n_tail=48,
        n_users=7,
        n_interactions=n_known,
        n_unknown_items=2,
        n_long_texts=0,
        n_texts=60,
        n_encoded=60,
        dim=16,
    )
    stored = pyarrow.parquet.read_table(tmp_path / "sixty" / "interactions.parquet")
    assert len(stored) == n_known
    assert "stranger" not in stored["user_id"].to_pylist()


def test_the_manifest_pins_files_and_the_encoder(
    tables: Tables, tmp_path: Path, model_repository: Path, triton: FakeTransport
) -> None:
    export(tables, tmp_path / "sixty", model_repository)
    manifest = read_manifest(tmp_path / "sixty")
    verify_files(tmp_path / "sixty", manifest["files"])
    assert sorted(manifest["files"]) == [
        "fingerprint.json",
        "interactions.parquet",
        "items.parquet",
        "top_k.onnx",
        "vectors.npy",
    ]
    encoder = model_repository / "text_encoder" / "1"
    assert (manifest["catalogue"], manifest["source"], manifest["dim"]) == ("sixty", "sixty films", 16)
    assert manifest["encoder_version"] == "1"
    assert manifest["encoder_sha256"] == sha256_of(encoder / "model.onnx")
    assert manifest["tokenizer_sha256"] == sha256_of(encoder / "tokenizer.json")


def test_the_connection_is_given_back(
    tables: Tables, tmp_path: Path, model_repository: Path, triton: ClosingTransport
) -> None:
    export(tables, tmp_path / "sixty", model_repository)
    assert triton.closed


def test_an_existing_catalogue_is_refused_before_anything_is_asked(
    tables: Tables, tmp_path: Path, model_repository: Path, triton: FakeTransport
) -> None:
    (tmp_path / "sixty").mkdir()
    with pytest.raises(AlreadyPublished, match="sixty exists"):
        export(tables, tmp_path / "sixty", model_repository)
    assert triton.calls == []


def test_triton_away_publishes_nothing_and_gives_the_connection_back(
    tables: Tables, tmp_path: Path, model_repository: Path, triton: ClosingTransport
) -> None:
    triton.down = True
    with pytest.raises(ModelUnavailable):
        export(tables, tmp_path / "catalogues" / "sixty", model_repository)
    assert published(tmp_path / "catalogues") == []
    assert triton.closed


def test_triton_lost_on_the_way_publishes_nothing(
    tables: Tables, tmp_path: Path, model_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue_export, "TritonTransport", lambda url: FailingTransport(max_batch_size=8))
    with pytest.raises(DeadlineExceeded, match="the fake is slow"):
        export(tables, tmp_path / "catalogues" / "sixty", model_repository)
    assert published(tmp_path / "catalogues") == []


def test_wrong_tables_publish_nothing(
    tables: Tables, tmp_path: Path, model_repository: Path, triton: FakeTransport
) -> None:
    items = pa.Table.from_batches(tables.items.batches())
    twice = replace(tables, items=Rows.of(items.take([0, 1, 0])))
    with pytest.raises(DataInvalid, match="row 3"):
        export(twice, tmp_path / "catalogues" / "sixty", model_repository)
    assert published(tmp_path / "catalogues") == []


def test_an_encoder_that_is_not_published_here_is_refused(
    tables: Tables, tmp_path: Path, model_repository: Path, triton: FakeTransport
) -> None:
    with pytest.raises(ReleaseInvalid, match=r"text_encoder/7/manifest\.json"):
        export(tables, tmp_path / "catalogues" / "sixty", model_repository, version="7")
    assert published(tmp_path / "catalogues") == []


def test_the_manifest_is_plain_json(
    tables: Tables, tmp_path: Path, model_repository: Path, triton: FakeTransport
) -> None:
    export(tables, tmp_path / "sixty", model_repository)
    assert json.loads((tmp_path / "sixty" / "manifest.json").read_text())["n_unknown_items"] == 2
