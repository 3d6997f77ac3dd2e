"""Exporting the encoder: published with a manifest once it agrees with its source, and not at all otherwise."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from transformers import DistilBertConfig, DistilBertModel

from longtail_client.encoder import TextTokenizer, padded
from longtail_client.errors import ContractMismatch, DataInvalid, ExportRejected
from longtail_client.manifest import AlreadyPublished, read_manifest, sha256_of, verify_files, write_manifest
from longtail_client.triton_transport import parse_config
from longtail_export import encoder_export
from longtail_export.encoder_export import SampleTexts, export_encoder, require_parity
from longtail_export.encoder_graph import SentenceEncoder, write_graph
from longtail_export.encoder_parity import Parity
from longtail_export.encoder_recipes import Thresholds
from longtail_export.encoder_report import Report
from longtail_export.encoder_runtimes import onnx_embed, torch_embed
from longtail_export.progress import SilentProgress
from longtail_export.sources import source_sha256

TEXTS = [f"{first} {second} by the sea" for first in ("quiet", "small", "war", "space") for second in "abcdefghij"]


def export(source: Path, repository: Path, version: int = 1, precision: str = "fp32") -> tuple[Path, Report]:
    return export_encoder(
        source,
        source_name="tiny",
        precision=precision,
        samples=SampleTexts(TEXTS, [f"a {text}" for text in TEXTS]),
        references=repository.with_name(f"{repository.name}-references"),
        model_repository=repository,
        version=version,
        progress=SilentProgress(),
    )


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_an_export_is_published_with_its_tokenizer_and_manifest(model_repository: Path, tiny_bert_folder: Path) -> None:
    folder = model_repository / "text_encoder" / "1"
    assert files_below(folder) == ["manifest.json", "model.onnx", "report.json", "tokenizer.json"]
    manifest = read_manifest(folder)
    verify_files(folder, manifest["files"])
    assert sorted(manifest["files"]) == ["model.onnx", "report.json", "tokenizer.json"]
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


def test_the_report_beside_the_model_holds_what_was_measured_and_asked(model_repository: Path) -> None:
    report = json.loads((model_repository / "text_encoder" / "1" / "report.json").read_text())
    assert (report["precision"], report["n_texts"], report["n_catalogue_texts"]) == ("fp32", 256, 64)
    measured = report["measured"]
    assert 0.99999 <= measured["worst_cosine"] <= measured["mean_cosine"] <= 1.000001
    assert measured["neighbour_overlap"] == 1.0
    assert min(measured["batch_invariance"], measured["padding_invariance"]) > 0.99999
    assert measured["throughput_ratio"] > 0
    assert report["thresholds"]["worst_cosine"] == 0.99999


def test_an_int8_version_is_the_same_in_any_company_and_says_that_it_is_int8(
    tiny_bert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = Thresholds(mean_cosine=0.5, worst_cosine=0.0, neighbour_overlap=0.0)
    monkeypatch.setitem(encoder_export.RECIPES, "int8", replace(encoder_export.RECIPES["int8"], thresholds=nothing))
    folder, report = export(tiny_bert_folder, tmp_path, precision="int8")
    assert report.n_calibration_texts == len(TEXTS)
    assert min(report.measured.batch_invariance, report.measured.padding_invariance) >= 0.9999
    assert read_manifest(folder)["precision"] == "int8"
    operators = {node.op_type for node in onnx.load(folder / "model.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators
    assert "DynamicQuantizeLinear" not in operators


def test_a_precision_that_misses_its_recipe_is_not_published_and_the_message_has_the_figures(
    tiny_bert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beyond = Thresholds(mean_cosine=0.5, worst_cosine=0.0, neighbour_overlap=1.01)
    monkeypatch.setitem(encoder_export.RECIPES, "int8", replace(encoder_export.RECIPES["int8"], thresholds=beyond))
    with pytest.raises(
        ExportRejected,
        match=r"int8 misses .*neighbour_overlap 0\.\d+ \(at least 1\.01\).*farthest.*nothing was published",
    ):
        export(tiny_bert_folder, tmp_path, precision="int8")
    assert files_below(tmp_path) == []


def test_a_float16_version_keeps_its_interface_and_its_sums_in_float32(tiny_bert_folder: Path, tmp_path: Path) -> None:
    folder, report = export(tiny_bert_folder, tmp_path, precision="fp16")
    assert report.measured.worst_cosine > 0.999
    graph = onnx.load(folder / "model.onnx").graph
    assert graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    weights = {initializer.name: initializer.data_type for initializer in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in weights]
    assert len(products) == 12
    assert {weights[node.input[1]] for node in products} == {onnx.TensorProto.FLOAT16}


def test_texts_to_calibrate_on_are_never_those_that_are_scored() -> None:
    samples = SampleTexts(TEXTS, [*TEXTS, "another", "one more"])
    assert samples.calibrating() == ["another", "one more"]
    with pytest.raises(DataInvalid, match="not the catalogue's, got none"):
        SampleTexts(TEXTS, TEXTS).calibrating()
    with pytest.raises(DataInvalid, match="at least 32 catalogue texts"):
        SampleTexts(TEXTS[:31], ["other"])


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
