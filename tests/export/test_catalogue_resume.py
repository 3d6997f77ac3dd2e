"""An export encodes what no export encoded before: after a kill, after a change, under another name."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from longtail_client.contract import Array
from longtail_client.errors import ModelUnavailable
from longtail_client.manifest import read_manifest, verify_files
from longtail_client.testing import FakeTransport
from longtail_export import catalogue_export, catalogue_vectors
from longtail_export.catalogue_export import CatalogueReport, export_catalogue
from longtail_export.catalogue_fingerprint import write_fingerprint
from longtail_export.catalogue_sources import Tables
from longtail_export.progress import SilentProgress
from longtail_export.rows import Rows
from longtail_export.vector_store import DIGEST_BYTES

N_ITEMS = 1000
N_TEXTS = 900
FILES = ("items.parquet", "interactions.parquet", "vectors.npy", "top_k.onnx", "manifest.json")


class House:
    """A folder with tables of 1,000 items, 100 of which share their text with another one."""

    def __init__(self, folder: Path, model_repository: Path) -> None:
        self.folder = folder
        self.var = folder / "var"
        self.model_repository = model_repository
        self.items, self.interactions = folder / "items.csv", folder / "interactions.csv"
        rows = [f"{n},film {n},film number {n % N_TEXTS} {'sea ' * (n % N_TEXTS % 17)}\n" for n in range(N_ITEMS)]
        self.items.write_text("item_id,title,text\n" + "".join(rows))
        pairs = [f"u{user},{item}\n" for item in range(N_ITEMS) for user in range(item % 5)]
        self.interactions.write_text("user_id,item_id\n" + "".join(pairs))

    def export(self, name: str, place: str = "") -> subprocess.CompletedProcess[str]:
        job = {
            "place": place,
            "folder": str(self.var / "catalogues" / name),
            "var": str(self.var),
            "model_repository": str(self.model_repository),
            "items": str(self.items),
            "interactions": str(self.interactions),
        }
        script = Path(__file__).parent / "killed_export.py"
        return subprocess.run(
            [sys.executable, str(script), json.dumps(job)], capture_output=True, text=True, check=False, timeout=600
        )

    def n_stored(self) -> int:
        return sum(path.stat().st_size // DIGEST_BYTES for path in self.var.glob("vectors/*/texts"))

    def files(self, name: str) -> dict[str, bytes]:
        return {file: (self.var / "catalogues" / name / file).read_bytes() for file in FILES}


@pytest.fixture(scope="module")
def undisturbed(model_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> House:
    """A house in which one export ran to its end."""
    house = House(tmp_path_factory.mktemp("undisturbed"), model_repository)
    done = house.export("shop")
    assert (done.returncode, done.stdout) == (0, f"{N_TEXTS}\n"), done.stderr
    return house


@pytest.mark.parametrize(
    ("place", "n_stored"),
    [
        ("step:counting interactions", 0),
        ("bar:tidying items", 0),
        ("encode:1", 0),
        ("encode:6", 256),
        ("encode:12", 640),
        ("bar:writing vectors", N_TEXTS),
        ("step:writing the catalogue", N_TEXTS),
    ],
)
def test_after_a_kill_only_the_rest_is_encoded_and_the_result_is_the_same(
    undisturbed: House, model_repository: Path, tmp_path: Path, place: str, n_stored: int
) -> None:
    house = House(tmp_path, model_repository)
    killed = house.export("shop", place)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (house.var / "catalogues" / "shop").exists()
    assert house.n_stored() == n_stored
    again = house.export("shop")
    assert (again.returncode, again.stdout) == (0, f"{N_TEXTS - n_stored}\n"), again.stderr
    assert house.files("shop") == undisturbed.files("shop")
    assert [path.name for path in (house.var / "catalogues").iterdir()] == ["shop"]


def test_after_several_kills_the_result_is_the_same(undisturbed: House, model_repository: Path, tmp_path: Path) -> None:
    house = House(tmp_path, model_repository)
    stored = []
    for place in ("encode:4", "encode:4", "encode:7", "bar:writing vectors"):
        assert house.export("shop", place).returncode == -signal.SIGKILL
        stored.append(house.n_stored())
    assert stored == sorted(set(stored))
    assert stored[-1] == N_TEXTS
    assert house.export("shop").stdout == "0\n"
    assert house.files("shop") == undisturbed.files("shop")


class Counting(FakeTransport):
    """Counts texts; serves any version; goes away when it is told to."""

    n_texts = 0
    fails_after = 10**9

    async def infer(
        self, model: str, version: str, inputs: Mapping[str, Array], *, timeout_s: float, **more: Any
    ) -> Mapping[str, Array]:
        if self.n_texts >= self.fails_after:
            raise ModelUnavailable("the fake went away")
        self.n_texts += len(inputs["input_ids"])
        return await super().infer(model, "1", inputs, timeout_s=timeout_s, **more)

    def _check(self, spec: object, model: str, version: str) -> None:
        """Any version."""


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counting]:
    """The encoder that `export_catalogue` calls; the probes of the fingerprint are not counted."""

    async def uncounted(*arguments: Any) -> Any:
        n_texts, fails_after = fake.n_texts, fake.fails_after
        fake.fails_after = 10**9
        fingerprint = await write_fingerprint(*arguments)
        fake.n_texts, fake.fails_after = n_texts, fails_after
        return fingerprint

    fake = Counting(max_batch_size=64)
    monkeypatch.setattr(catalogue_export, "write_fingerprint", uncounted)
    monkeypatch.setattr(catalogue_export, "TritonTransport", lambda url: fake)
    return fake


def export(tables: Tables, name: str, tmp_path: Path, model_repository: Path, version: str = "1") -> CatalogueReport:
    return export_catalogue(
        tables,
        folder=tmp_path / "var" / "catalogues" / name,
        var=tmp_path / "var",
        model_repository=model_repository,
        encoder_version=version,
        triton_url="127.0.0.1:1",
        timeout_s=5.0,
        progress=SilentProgress(),
    )


def vectors_of(tmp_path: Path, name: str) -> np.ndarray:
    return np.load(tmp_path / "var" / "catalogues" / name / "vectors.npy")


def test_another_name_encodes_nothing_again(
    tables: Tables, tmp_path: Path, model_repository: Path, encoder: Counting
) -> None:
    assert export(tables, "demo", tmp_path, model_repository).n_encoded == 60
    report = export(tables, "demo-2", tmp_path, model_repository)
    assert (report.n_texts, report.n_encoded, encoder.n_texts) == (60, 0, 60)
    np.testing.assert_array_equal(vectors_of(tmp_path, "demo-2"), vectors_of(tmp_path, "demo"))


def test_only_new_and_changed_texts_are_encoded(
    tables: Tables, tmp_path: Path, model_repository: Path, encoder: Counting
) -> None:
    export(tables, "demo", tmp_path, model_repository)
    rows = pa.Table.from_batches(tables.items.batches()).to_pylist()
    rows[7]["title"] = "another film"
    rows.insert(0, {"item_id": "new", "title": "new film", "genre": "drama"})
    del rows[30]
    changed = replace(tables, items=Rows.of(pa.Table.from_pylist(rows)))
    report = export(changed, "demo-2", tmp_path, model_repository)
    assert (report.n_items, report.n_texts, report.n_encoded, encoder.n_texts) == (60, 60, 2, 62)
    before, after = vectors_of(tmp_path, "demo"), vectors_of(tmp_path, "demo-2")
    np.testing.assert_array_equal(after[1:8], before[:7])
    np.testing.assert_array_equal(after[9:30], before[8:29])
    np.testing.assert_array_equal(after[30:], before[30:])
    assert not np.array_equal(after[8], before[7])


def test_a_text_that_several_items_have_is_encoded_once(
    tables: Tables, tmp_path: Path, model_repository: Path, encoder: Counting
) -> None:
    items = pa.table(
        {"item_id": list("abcdef"), "title": ["x"] * 6, "text": ["one", "two", "one", "two", "one", "two"]}
    )
    report = export(replace(tables, items=Rows.of(items)), "six", tmp_path, model_repository)
    assert (report.n_items, report.n_texts, report.n_encoded, encoder.n_texts) == (6, 2, 2, 2)
    vectors = vectors_of(tmp_path, "six")
    np.testing.assert_array_equal(vectors, vectors[[0, 1, 0, 1, 0, 1]])
    assert not np.array_equal(vectors[0], vectors[1])


def test_another_version_of_the_encoder_encodes_everything(
    tables: Tables, tmp_path: Path, model_repository: Path, encoder: Counting
) -> None:
    models = Path(shutil.copytree(model_repository, tmp_path / "models"))
    shutil.copytree(models / "text_encoder" / "1", models / "text_encoder" / "2")
    export(tables, "demo", tmp_path, models)
    assert export(tables, "demo-2", tmp_path, models, version="2").n_encoded == 60
    assert export(tables, "demo-3", tmp_path, models, version="1").n_encoded == 0


def test_the_same_version_served_otherwise_encodes_everything(
    tables: Tables, tmp_path: Path, model_repository: Path, encoder: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(tables, "demo", tmp_path, model_repository)
    as_before = encoder._vector
    monkeypatch.setattr(encoder, "_vector", lambda *given: as_before(*given)[::-1])
    assert export(tables, "demo-2", tmp_path, model_repository).n_encoded == 60
    np.testing.assert_array_equal(vectors_of(tmp_path, "demo-2"), vectors_of(tmp_path, "demo")[:, ::-1])
    assert export(tables, "demo-3", tmp_path, model_repository).n_encoded == 0


def test_a_little_noise_encodes_nothing_again(
    tables: Tables, tmp_path: Path, model_repository: Path, encoder: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(tables, "demo", tmp_path, model_repository)
    as_before = encoder._vector
    monkeypatch.setattr(encoder, "_vector", lambda *given: as_before(*given) * np.float32(1 + 1e-5))
    assert export(tables, "demo-2", tmp_path, model_repository).n_encoded == 0


def test_what_was_encoded_before_triton_went_away_is_kept(
    tables: Tables, tmp_path: Path, model_repository: Path, encoder: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue_vectors, "_CHUNK", 8)
    encoder.fails_after = 32
    with pytest.raises(ModelUnavailable):
        export(tables, "demo", tmp_path, model_repository)
    encoder.fails_after = 10**9
    report = export(tables, "demo", tmp_path, model_repository)
    assert report.n_encoded == 60 - 32
    folder = tmp_path / "var" / "catalogues" / "demo"
    verify_files(folder, read_manifest(folder)["files"])
