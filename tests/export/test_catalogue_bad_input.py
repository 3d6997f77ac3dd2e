"""Bad input: one error that says where it is, and what was published before stays as it was."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
import typer
from typer.testing import CliRunner

from longtail_client.errors import DataInvalid
from longtail_client.manifest import AlreadyPublished, sha256_of
from longtail_client.testing import FakeTransport
from longtail_export import catalogue_export
from longtail_export.catalogue_export import CatalogueReport, export_catalogue
from longtail_export.catalogue_sources import read_tables
from longtail_export.cli import register
from longtail_export.progress import SilentProgress

ITEMS = "item_id,title,genre\n1,Heat,Crime\n2,Alien,Horror\n"
INTERACTIONS = "user_id,item_id,weight\nu1,1,5\nu2,2,3\n"


class Shop:
    """A folder with one published catalogue, and tables to spoil."""

    def __init__(self, folder: Path, model_repository: Path) -> None:
        self.var = folder / "var"
        self.model_repository = model_repository
        self.items, self.interactions = folder / "items.csv", folder / "interactions.csv"
        self.items.write_text(ITEMS)
        self.interactions.write_text(INTERACTIONS)
        self.export("before")
        self.hashes = self.published()

    def export(self, name: str) -> CatalogueReport:
        return export_catalogue(
            read_tables(self.items, self.interactions),
            folder=self.var / "catalogues" / name,
            var=self.var,
            model_repository=self.model_repository,
            encoder_version="1",
            triton_url="127.0.0.1:1",
            timeout_s=5.0,
            progress=SilentProgress(),
        )

    def published(self) -> dict[str, str]:
        """Hash every file under ``var/catalogues``."""
        folder = self.var / "catalogues"
        return {str(path.relative_to(folder)): sha256_of(path) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def shop(tmp_path: Path, model_repository: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setattr(catalogue_export, "TritonTransport", lambda url: FakeTransport())
    return Shop(tmp_path, model_repository)


LONG = "x" * 100_000


@pytest.mark.parametrize(
    ("items", "interactions", "said"),
    [
        (ITEMS + "1,Again,Crime\n", INTERACTIONS, "items: row 3: item_id '1' stands in row 1 already"),
        (ITEMS + "3,,Crime\n", INTERACTIONS, "items: row 3: expected a title, found it empty"),
        (ITEMS + '3," ",Crime\n', INTERACTIONS, "items: row 3: expected a title, found it empty"),
        (ITEMS + ",Ran,War\n", INTERACTIONS, "items.csv: row 3: expected a item_id of 1 to 200 characters, got ''"),
        (ITEMS + f"3,{LONG},War\n", INTERACTIONS, "items: row 3: expected a title of at most 1000 characters, got one"),
        (ITEMS + f"{LONG},Ran,War\n", INTERACTIONS, "items.csv: row 3: expected a item_id of 1 to 200 characters"),
        (ITEMS + "3,Ran\n", INTERACTIONS, "items.csv: expected a CSV or Parquet table, got"),
        ("id,title\n1,Heat\n", INTERACTIONS, "items.csv: expected a column 'item_id', found ['id', 'title']"),
        ("", INTERACTIONS, "items.csv: expected a CSV or Parquet table, got Empty CSV file"),
        ("item_id,title\n", INTERACTIONS, "items: expected at least one row, found none"),
        (ITEMS, INTERACTIONS + "u3,1,NaN\n", "interactions.csv: row 3: expected a finite weight, got nan"),
        (
            ITEMS,
            INTERACTIONS + "u3,1,much\n",
            "interactions.csv: row 3: column 'weight': expected a number, got 'much'",
        ),
        (ITEMS, INTERACTIONS + ",1,2\n", "interactions.csv: row 3: expected a user_id of 1 to 200 characters"),
        (ITEMS, "user_id,weight\nu1,3\n", "interactions.csv: expected a column 'item_id', found ['user_id', 'weight']"),
        (ITEMS, "", "interactions.csv: expected a CSV or Parquet table, got Empty CSV file"),
    ],
)
def test_a_wrong_table_is_one_error_and_publishes_nothing(shop: Shop, items: str, interactions: str, said: str) -> None:
    shop.items.write_text(items)
    shop.interactions.write_text(interactions)
    with pytest.raises(DataInvalid, match=re.escape(said)):
        shop.export("after")
    assert shop.published() == shop.hashes


@pytest.mark.parametrize("which", ["items", "interactions"])
@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1 not really PAR1"])
def test_a_parquet_file_that_is_empty_or_none_is_named(shop: Shop, which: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.parquet"
    path.write_bytes(content)
    setattr(shop, which, path)
    with pytest.raises(DataInvalid, match=r"broken\.parquet: expected a CSV or Parquet table, got "):
        shop.export("after")
    assert shop.published() == shop.hashes


@pytest.mark.parametrize(
    ("column", "values", "kind"),
    [("item_id", [["1"], ["2"]], "list<.*string>"), ("title", [b"Heat", b"Alien\xff"], "binary")],
)
def test_a_column_that_is_no_text_is_named(
    shop: Shop, tmp_path: Path, column: str, values: list[object], kind: str
) -> None:
    table = pa.table({"item_id": ["1", "2"], "title": ["Heat", "Alien"]} | {column: values})
    shop.items = tmp_path / "odd.parquet"
    pyarrow.parquet.write_table(table, shop.items)
    with pytest.raises(DataInvalid, match=rf"odd\.parquet: column '{column}': expected text, got {kind}"):
        shop.export("after")
    assert shop.published() == shop.hashes


def test_a_parquet_file_that_was_cut_off_is_named(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "cut.parquet"
    table = pa.table({"item_id": [str(n) for n in range(9000)], "title": [f"film {n}" for n in range(9000)]})
    pyarrow.parquet.write_table(table, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:5000] + b"\0" * 20_000 + whole[25_000:])  # its footer is intact, its pages are not
    shop.items = path
    with pytest.raises(DataInvalid, match=r"cut\.parquet: expected a CSV or Parquet table, got "):
        shop.export("after")
    assert shop.published() == shop.hashes


def test_texts_of_100_kb_are_cut_and_counted(shop: Shop) -> None:
    rows = "".join(f"{n},film {n},{'sea ' * 25_000}{n}\n" for n in range(3, 103))
    shop.items.write_text(f"item_id,title,text\n1,Heat,short\n{rows}")
    report = shop.export("after")
    assert (report.n_items, report.n_long_texts) == (101, 100)
    texts = pyarrow.parquet.read_table(shop.var / "catalogues" / "after" / "items.parquet")["text"].to_pylist()
    assert texts[0] == "short"
    assert {len(text) for text in texts[1:]} == {4000}
    assert report.n_texts == 2
    assert shop.hashes.items() <= shop.published().items()


def test_a_catalogue_that_exists_is_refused_and_kept(shop: Shop) -> None:
    shop.items.write_text(ITEMS + "3,Ran,War\n")
    with pytest.raises(AlreadyPublished, match=r"before exists and a published version is never overwritten"):
        shop.export("before")
    assert shop.published() == shop.hashes


def test_a_profile_that_is_not_there_is_refused() -> None:
    app = typer.Typer()
    register(app)
    done = CliRunner().invoke(app, ["export", "catalogue", "--dataset", "ml-100k", "--profile", "tpu"])
    assert done.exit_code == 2
    assert "'tpu'" in done.output
    assert "gpu" in done.output
