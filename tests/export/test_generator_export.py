"""Exporting the generator: published for its engine with a manifest, or one clear error and nothing published."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.tiny_llama import write_tiny_llama
from transformers import AutoModelForCausalLM

from longtail_client.errors import ExportRejected
from longtail_client.manifest import AlreadyPublished, read_manifest, sha256_of, verify_files
from longtail_export import generator_checkpoint, generator_openvino
from longtail_export.generator_export import ENGINES, export_generator
from longtail_export.progress import SilentProgress
from longtail_export.sources import source_sha256


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a checkpoint; tests only read it."""
    return write_tiny_llama(tmp_path_factory.mktemp("llama"))


def export(source: Path, repository: Path, *, engine: str = "transformers", **given: Any) -> Path:
    return export_generator(
        source,
        source_name="tiny",
        model_repository=repository,
        **{"engine": engine, "precision": None, "version": 1, "progress": SilentProgress(), **given},
    )


def published(repository: Path) -> list[str]:
    return sorted(path.name for path in (repository / "generator").glob("*"))


def write_gguf(path: Path, architecture: str = "llama", *, tokenizer: bool = True) -> Path:
    """Write a GGUF file of facts alone."""
    writer = gguf.GGUFWriter(str(path), architecture)
    if tokenizer:
        writer.add_token_list(["one", "two"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_the_manifest_says_what_was_made_from_what(
    tiny_llama: Path, tmp_path: Path, precision: str, dtype: torch.dtype
) -> None:
    folder = export(tiny_llama, tmp_path, precision=precision, version=3)
    assert folder == tmp_path / "generator" / "3"
    manifest = read_manifest(folder)
    verify_files(folder, manifest["files"])
    assert {name: value for name, value in manifest.items() if name not in ("files", "continuation_kept")} == {
        "model": "generator",
        "version": "3",
        "source": "tiny",
        "source_sha256": source_sha256("tiny", tiny_llama),
        "engine": "transformers",
        "precision": precision,
        "computes": f"{precision}, weights and cache too",
        "tokenizer_sha256": sha256_of(folder / "tokenizer.json"),
    }
    assert 0.9 <= manifest["continuation_kept"] <= 1
    assert json.loads((folder / "generator.json").read_text()) == {
        "engine": "transformers",
        "weights": ".",
        "options": {"precision": precision, "context_tokens": 2048},
    }
    assert {weights.dtype for weights in load_file(folder / "model.safetensors").values()} == {dtype}
    assert "versions: [ 3 ]" in (tmp_path / "generator" / "config.pbtxt").read_text()
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in folder.iterdir())


def test_float32_weights_are_those_of_the_source(tiny_llama: Path, tmp_path: Path) -> None:
    folder = export(tiny_llama, tmp_path, precision="fp32")
    written, source = load_file(folder / "model.safetensors"), load_file(tiny_llama / "model.safetensors")
    assert written.keys() == source.keys()
    assert all(torch.equal(written[name], source[name]) for name in source)


def test_each_engine_has_a_default_precision(tiny_llama: Path, tmp_path: Path) -> None:
    assert read_manifest(export(tiny_llama, tmp_path))["precision"] == "bf16"
    assert {engine: known[0] for engine, known in ENGINES.items()} == {
        "openvino": "int8",
        "transformers": "bf16",
        "vllm": "bf16",
    }


def test_weights_may_lie_in_several_files(tiny_llama: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_llama, tmp_path / "sharded")
    (tmp_path / "sharded" / "model.safetensors").unlink()
    AutoModelForCausalLM.from_pretrained(tiny_llama).save_pretrained(tmp_path / "sharded", max_shard_size="20KB")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 1
    folder = export(tmp_path / "sharded", tmp_path, precision="fp32")
    written, source = load_file(folder / "model.safetensors"), load_file(tiny_llama / "model.safetensors")
    assert all(torch.equal(written[name], source[name]) for name in source)


def test_a_published_version_is_never_overwritten(tiny_llama: Path, tmp_path: Path) -> None:
    before = read_manifest(export(tiny_llama, tmp_path))
    with pytest.raises(AlreadyPublished, match="never overwritten"):
        export(tiny_llama, tmp_path, precision="fp32")
    assert read_manifest(tmp_path / "generator" / "1") == before


def test_a_model_that_goes_on_differently_is_not_published(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = AutoModelForCausalLM.from_pretrained

    def spoilt(folder: Path, **given: Any) -> Any:
        model = read(folder, **given)
        if folder != tiny_llama:
            torch.nn.init.normal_(model.model.layers[1].mlp.down_proj.weight)
        return model

    monkeypatch.setattr(generator_checkpoint.AutoModelForCausalLM, "from_pretrained", spoilt)
    with pytest.raises(ExportRejected, match=r"keep at least 90% of its source's continuation, got .*nothing was pub"):
        export(tiny_llama, tmp_path)
    assert published(tmp_path) == []


@pytest.mark.parametrize(
    ("engine", "precision", "message"),
    [
        ("onnx", None, r"expected an engine of \['openvino', 'transformers'.*\], got 'onnx'"),
        ("transformers", "int8", r"engine 'transformers': expected a precision of \['bf16', 'fp32'\], got 'int8'"),
        ("vllm", "int8", r"engine 'vllm': expected a precision of \['bf16', 'fp32'\], got 'int8'"),
        ("openvino", "int4", r"engine 'openvino': expected a precision of \['int8', 'bf16', 'fp32'\], got 'int4'"),
        ("openvino", "", r"engine 'openvino': expected a precision of .*, got ''"),
    ],
)
def test_an_engine_or_precision_that_is_not_there_is_refused_by_name(
    tiny_llama: Path, tmp_path: Path, engine: str, precision: str | None, message: str
) -> None:
    with pytest.raises(ExportRejected, match=message):
        export(tiny_llama, tmp_path, engine=engine, precision=precision)
    assert published(tmp_path) == []


def nothing(folder: Path, tiny_llama: Path) -> None:
    folder.mkdir()


def two_ggufs(folder: Path, tiny_llama: Path) -> None:
    folder.mkdir()
    write_gguf(folder / "a.gguf")
    write_gguf(folder / "b.gguf")


def a_bert_gguf(folder: Path, tiny_llama: Path) -> None:
    folder.mkdir()
    write_gguf(folder / "a.gguf", "bert")


def a_gguf_without_tokenizer(folder: Path, tiny_llama: Path) -> None:
    folder.mkdir()
    write_gguf(folder / "a.gguf", tokenizer=False)


def no_gguf_at_all(folder: Path, tiny_llama: Path) -> None:
    folder.mkdir()
    (folder / "a.gguf").write_text("<html>not found</html>")


def a_gguf_without_weights(folder: Path, tiny_llama: Path) -> None:
    folder.mkdir()
    write_gguf(folder / "a.gguf")


def a_gguf_without_the_right_tensors(folder: Path, tiny_llama: Path, *, weight: float = 1.0) -> None:
    folder.mkdir()
    writer = gguf.GGUFWriter(str(folder / "a.gguf"), "llama")
    writer.add_token_list(["one", "two"])
    writer.add_block_count(1)
    writer.add_embedding_length(32)
    for name in ("first", "second"):
        writer.add_tensor(name, np.full((32, 4), weight, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def a_gguf_of_no_numbers(folder: Path, tiny_llama: Path) -> None:
    a_gguf_without_the_right_tensors(folder, tiny_llama, weight=float("nan"))


def no_tokenizer(folder: Path, tiny_llama: Path) -> None:
    shutil.copytree(tiny_llama, folder)
    (folder / "tokenizer.json").unlink()


def no_config(folder: Path, tiny_llama: Path) -> None:
    shutil.copytree(tiny_llama, folder)
    (folder / "config.json").unlink()


def damaged_config(folder: Path, tiny_llama: Path) -> None:
    shutil.copytree(tiny_llama, folder)
    (folder / "config.json").write_text("[]")


def an_encoder(folder: Path, tiny_llama: Path) -> None:
    shutil.copytree(tiny_llama, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["BertModel"], "model_type": "bert"}))


def damaged_weights(folder: Path, tiny_llama: Path) -> None:
    shutil.copytree(tiny_llama, folder)
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])


def a_weight_left_out(folder: Path, tiny_llama: Path) -> None:
    shutil.copytree(tiny_llama, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def a_weight_that_is_no_number(folder: Path, tiny_llama: Path) -> None:
    shutil.copytree(tiny_llama, folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][0, 0] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def layers_that_forget(folder: Path, tiny_llama: Path) -> None:
    shutil.copytree(tiny_llama, folder)
    config = json.loads((folder / "config.json").read_text())
    changed = {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "sliding_window": 8}
    (folder / "config.json").write_text(json.dumps(config | changed))


@pytest.mark.parametrize("engine", ["openvino", "transformers", "vllm"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (nothing, r"expected one \.gguf file, or config\.json with \.safetensors beside it, found neither"),
        (two_ggufs, r"expected one \.gguf file, .*, found \['a\.gguf', 'b\.gguf'\]"),
        (a_bert_gguf, r"a\.gguf: expected an architecture of \['llama', 'qwen2', 'qwen3'\], got 'bert'"),
        (a_gguf_without_tokenizer, r"a\.gguf: expected a tokenizer inside \(tokenizer\.ggml\.tokens\), found none"),
        (no_gguf_at_all, r"a\.gguf: expected a GGUF file, got something else"),
        (a_gguf_without_weights, r"a\.gguf: expected weights and \['llama\.block_count', .*found 0 tensors"),
        (a_gguf_without_the_right_tensors, r"(openvino-genai|transformers) cannot read it: \S+"),
        (a_gguf_of_no_numbers, r"a\.gguf: weights first: expected finite numbers, got NaN"),
        (no_tokenizer, r"expected a tokenizer\.json beside the weights, found none"),
        (no_config, r"expected one \.gguf file, or config\.json with \.safetensors beside it"),
        (damaged_config, r"config\.json: expected a JSON object"),
        (an_encoder, r"expected the architecture of a causal language model, .* got \['BertModel'\]"),
    ],
)
def test_a_source_that_cannot_be_served_is_one_clear_error(
    tiny_llama: Path, tmp_path: Path, engine: str, spoil: Any, message: str
) -> None:
    spoil(tmp_path / "source", tiny_llama)
    with pytest.raises(ExportRejected, match=message) as refused:
        export(tmp_path / "source", tmp_path / "repository", engine=engine)
    assert str(tmp_path / "source") in str(refused.value)
    assert "\n" not in str(refused.value)
    assert published(tmp_path / "repository") == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (damaged_weights, "transformers cannot read it: "),
        (a_weight_left_out, r"expected every weight of the model, found none for 1, as model\.layers\.1\.mlp\.up_proj"),
        (
            a_weight_that_is_no_number,
            r"weights model\.layers\.1\.mlp\.up_proj\.weight: expected finite numbers, got NaN",
        ),
        (layers_that_forget, r"whose layers all attend to every earlier token, got \['DynamicSlidingWindowLayer'\]"),
    ],
)
def test_a_checkpoint_that_torch_cannot_serve_is_one_clear_error(
    tiny_llama: Path, tmp_path: Path, spoil: Any, message: str
) -> None:
    spoil(tmp_path / "source", tiny_llama)
    with pytest.raises(ExportRejected, match=message):
        export(tmp_path / "source", tmp_path / "repository")
    assert published(tmp_path / "repository") == []


def test_openvino_says_that_it_reads_gguf(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportRejected, match=r"engine 'openvino' converts a \.gguf file, .*use --engine transformers"):
        export(tiny_llama, tmp_path, engine="openvino")
    assert published(tmp_path) == []


def test_openvinos_precisions_ask_for_different_arithmetic() -> None:
    asked = {name: dict(each.options) for name, each in generator_openvino.PRECISIONS.items()}
    assert asked == {
        "int8": {"precision": "bf16", "quantisation_group": 32, "cache_precision": "u8"},
        "bf16": {"precision": "bf16", "quantisation_group": 0, "cache_precision": "u8"},
        "fp32": {"precision": "f32", "quantisation_group": 0, "cache_precision": "f32"},
    }
    assert tuple(asked) == ENGINES["openvino"]
