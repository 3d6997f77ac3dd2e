"""Exporting the encoder: published with a manifest once it agrees with its source, and not at all otherwise."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import DistilBertConfig, DistilBertModel

from longtail_client.encoder import TextTokenizer, padded
from longtail_client.errors import ContractMismatch, ExportRejected
from longtail_client.manifest import AlreadyPublished, read_manifest, sha256_of, verify_files, write_manifest
from longtail_client.triton_transport import parse_config
from longtail_export import encoder_export
from longtail_export.encoder_export import export_encoder, require_parity
from longtail_export.encoder_graph import SentenceEncoder, write_graph
from longtail_export.encoder_parity import Parity, onnx_embed, torch_embed
from longtail_export.progress import SilentProgress
from longtail_export.sources import source_sha256


def export(source: Path, repository: Path, version: int = 1) -> tuple[Path, Parity]:
    return export_encoder(
        source, source_name="tiny", model_repository=repository, version=version, progress=SilentProgress()
    )


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_an_export_is_published_with_its_tokenizer_and_manifest(model_repository: Path, tiny_bert_folder: Path) -> None:
    folder = model_repository / "text_encoder" / "1"
    assert files_below(folder) == ["manifest.json", "model.onnx", "tokenizer.json"]
    manifest = read_manifest(folder)
    verify_files(folder, manifest["files"])
    assert sorted(manifest["files"]) == ["model.onnx", "tokenizer.json"]
    assert manifest["tokenizer_sha256"] == sha256_of(tiny_bert_folder / "tokenizer.json")
    facts = {name: manifest[name] for name in ("model", "version", "source", "precision", "dim", "max_tokens")}
    assert facts == {
        "model": "text_encoder",
        "version": "1",
        "source": "tiny",
        "precision": "fp32",
        "dim": 16,
        "max_tokens": 256,
    }
    assert (manifest["ir_version"], manifest["opset"]) == (8, 17)


def test_an_export_names_its_version_in_every_configuration(model_repository: Path, tiny_bert_folder: Path) -> None:
    provenance = {
        "longtail.1.source": "tiny",
        "longtail.1.source_sha256": source_sha256("tiny", tiny_bert_folder),
        "longtail.1.precision": "fp32",
        "longtail.1.tokenizer_sha256": sha256_of(tiny_bert_folder / "tokenizer.json"),
    }
    for name in ("config.pbtxt", "configs/cpu.pbtxt", "configs/gpu.pbtxt"):
        text = (model_repository / "text_encoder" / name).read_text()
        config = parse_config(text)
        assert (config.versions, config.outputs[0].dims) == (("1",), (16,))
        assert all(f'key: "{key}" value: {{ string_value: "{value}" }}' in text for key, value in provenance.items())


def test_vectors_of_another_length_are_refused_before_anything_is_published(
    tiny_bert_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "text_encoder" / "1").mkdir(parents=True)
    write_manifest(tmp_path / "text_encoder" / "1", {"dim": 384})
    with pytest.raises(ContractMismatch, match=r"one length, got \[16, 384\]"):
        export(tiny_bert_folder, tmp_path, version=2)
    assert files_below(tmp_path) == ["text_encoder/1/manifest.json"]


def test_the_manifest_holds_what_the_comparison_measured(model_repository: Path) -> None:
    parity = read_manifest(model_repository / "text_encoder" / "1")["parity"]
    assert parity["n_texts"] == 256
    assert (parity["min_tokens"], parity["max_tokens"]) == (1, 256)
    assert 0.99999 <= parity["worst_cosine"] <= parity["mean_cosine"] <= 1.000001


def test_the_published_graph_embeds_as_the_checkpoint(
    model_repository: Path, tiny_encoder: SentenceEncoder, tiny_text_tokenizer: TextTokenizer
) -> None:
    rows = padded(tiny_text_tokenizer(["a quiet drama about the sea", "x"]))
    published = onnx_embed(model_repository / "text_encoder" / "1" / "model.onnx")(*rows)
    np.testing.assert_allclose(published, torch_embed(tiny_encoder)(*rows), atol=1e-5)


def test_a_spoiled_graph_is_rejected_and_nothing_is_published(
    tiny_bert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_spoiled(encoder: SentenceEncoder, path: Path) -> None:
        spoiled = copy.deepcopy(encoder)
        with torch.no_grad():
            spoiled.bert.embeddings.word_embeddings.weight[10] *= -1
        write_graph(spoiled, path)

    monkeypatch.setattr(encoder_export, "write_graph", write_spoiled)
    with pytest.raises(ExportRejected, match=r"worst cosine of at least 0\.99999.*nothing was published"):
        export(tiny_bert_folder, tmp_path)
    assert list((tmp_path / "text_encoder").iterdir()) == []


def test_a_checkpoint_without_its_tokenizer_is_refused(tiny_bert_folder: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(tiny_bert_folder, tmp_path / "source"))
    (source / "tokenizer.json").unlink()
    with pytest.raises(ExportRejected, match=r"source: expected a tokenizer\.json beside the weights"):
        export(source, tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


def test_another_architecture_is_refused_and_nothing_is_published(tiny_tokenizer_path: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    config = DistilBertConfig(vocab_size=99, dim=16, n_layers=1, n_heads=2, hidden_dim=32)
    DistilBertModel(config).save_pretrained(source)
    shutil.copy(tiny_tokenizer_path, source / "tokenizer.json")
    with pytest.raises(ExportRejected, match="got DistilBertModel"):
        export(source, tmp_path / "repository")
    assert files_below(tmp_path / "repository") == []


def test_an_existing_version_is_refused_and_kept(tiny_bert_folder: Path, tmp_path: Path) -> None:
    version = tmp_path / "text_encoder" / "1"
    version.mkdir(parents=True)
    (version / "model.onnx").write_text("mine")
    with pytest.raises(AlreadyPublished, match="text_encoder/1 exists"):
        export(tiny_bert_folder, tmp_path)
    assert files_below(tmp_path) == ["text_encoder/1/model.onnx"]
    assert (version / "model.onnx").read_text() == "mine"


@pytest.mark.parametrize("worst", [0.999989, 0.0, -1.0, float("nan")])
def test_a_worst_cosine_below_the_tolerance_is_rejected_with_its_text(worst: float) -> None:
    with pytest.raises(ExportRejected, match="'the worst text'"):
        require_parity(Parity(2, 1, 3, 0.9999999, worst, "the worst text"))


def test_a_worst_cosine_at_the_tolerance_passes() -> None:
    require_parity(Parity(2, 1, 3, 0.9999999, 0.99999, "the worst text"))
