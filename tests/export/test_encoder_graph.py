"""The encoder's ONNX graph against its torch model, on a tiny real BERT."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

from longtail_client.errors import ExportRejected
from longtail_export import encoder_graph
from longtail_export.encoder_graph import IR_VERSION, OPSET, SentenceEncoder, load_encoder, write_graph


@pytest.fixture(scope="module")
def graph(tiny_encoder: SentenceEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    write_graph(tiny_encoder, path)
    return path


@pytest.fixture(scope="module")
def session(graph: Path) -> ort.InferenceSession:
    return ort.InferenceSession(graph, providers=["CPUExecutionProvider"])


def random_batch(n_texts: int, n_tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of random ids, each masked from a random length on, the first one whole."""
    random = np.random.default_rng(n_texts * 1000 + n_tokens)
    input_ids = random.integers(4, 60, (n_texts, n_tokens))
    lengths = random.integers(1, n_tokens + 1, n_texts)
    lengths[0] = n_tokens
    attention_mask = (np.arange(n_tokens) < lengths[:, np.newaxis]).astype(np.int64)
    return input_ids * attention_mask, attention_mask


def run(session: ort.InferenceSession, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
    return session.run(["embedding"], {"input_ids": input_ids, "attention_mask": attention_mask})[0]


@pytest.mark.parametrize(("n_texts", "n_tokens"), [(1, 1), (1, 256), (3, 7), (17, 33)])
def test_the_graph_is_the_torch_model_at_any_batch_and_length(
    tiny_encoder: SentenceEncoder, session: ort.InferenceSession, n_texts: int, n_tokens: int
) -> None:
    input_ids, attention_mask = random_batch(n_texts, n_tokens)
    with torch.inference_mode():
        expected = tiny_encoder(torch.from_numpy(input_ids), torch.from_numpy(attention_mask)).numpy()
    vectors = run(session, input_ids, attention_mask)
    assert vectors.shape == (n_texts, 16)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_different_texts_have_different_vectors(session: ort.InferenceSession) -> None:
    vectors = run(session, *random_batch(17, 33))
    cosines = vectors @ vectors.T - 2 * np.eye(17)
    assert cosines.max() < 0.99


@pytest.mark.parametrize("n_tokens", [1, 5, 30])
@pytest.mark.parametrize("width", [32, 256])
def test_padding_does_not_change_a_vector(session: ort.InferenceSession, n_tokens: int, width: int) -> None:
    input_ids, attention_mask = random_batch(1, n_tokens)
    alone = run(session, input_ids, attention_mask)
    padding = ((0, 0), (0, width - n_tokens))
    padded = run(session, np.pad(input_ids, padding), np.pad(attention_mask, padding))
    garbage = run(session, np.pad(input_ids, padding, constant_values=50), np.pad(attention_mask, padding))
    np.testing.assert_allclose(padded, alone, atol=1e-5)
    np.testing.assert_allclose(garbage, alone, atol=1e-5)


def test_a_vector_is_the_normalised_mean_over_the_masked_tokens() -> None:
    class Scripted(torch.nn.Module):
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor):
            hidden = torch.tensor([[[3.0, 0.0], [0.0, 4.0], [100.0, 100.0]]])
            return type("Output", (), {"last_hidden_state": hidden})

    vectors = SentenceEncoder(Scripted())(torch.zeros(1, 3), torch.tensor([[1, 1, 0]]))
    torch.testing.assert_close(vectors, torch.tensor([[0.6, 0.8]]))


def test_a_row_without_tokens_is_finite(session: ort.InferenceSession) -> None:
    vectors = run(session, np.zeros((1, 32), np.int64), np.zeros((1, 32), np.int64))
    assert np.isfinite(vectors).all()


def test_tritons_runtime_can_read_it(graph: Path) -> None:
    model = onnx.load(graph)
    assert model.ir_version == IR_VERSION <= 10
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [OPSET] == [17]
    assert [tensor.name for tensor in model.graph.input] == ["input_ids", "attention_mask"]
    assert [tensor.name for tensor in model.graph.output] == ["embedding"]


def test_the_vectors_length_is_the_checkpoints(tiny_encoder: SentenceEncoder) -> None:
    assert tiny_encoder.dim == 16
    assert not tiny_encoder.training


def test_another_architecture_is_refused(tmp_path: Path, tiny_tokenizer_path: Path) -> None:
    config = DistilBertConfig(vocab_size=99, dim=16, n_layers=1, n_heads=2, hidden_dim=32)
    DistilBertModel(config).save_pretrained(tmp_path)
    shutil.copy(tiny_tokenizer_path, tmp_path / "tokenizer.json")
    with pytest.raises(ExportRejected, match="expected a BERT checkpoint, got DistilBertModel"):
        load_encoder(tmp_path)


def set_weight(folder: Path, name: str, change: Callable[[torch.Tensor], torch.Tensor | None]) -> None:
    weights = load_file(folder / "model.safetensors")
    changed = change(weights.pop(name))
    save_file(
        weights if changed is None else {**weights, name: changed}, folder / "model.safetensors", {"format": "pt"}
    )


def with_nan(weights: torch.Tensor) -> torch.Tensor:
    return weights.index_fill(0, torch.tensor([1]), float("nan"))


DENSE = "encoder.layer.0.output.dense.weight"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda folder: set_weight(folder, DENSE, with_nan),
            rf"weights {DENSE}: expected finite numbers, got NaN .* 32 of",
        ),
        (lambda folder: set_weight(folder, DENSE, lambda _: None), rf"expected every weight .* none for 1, as {DENSE}"),
        (lambda folder: (folder / "model.safetensors").unlink(), "one that cannot be read: .*model.safetensors"),
        (lambda folder: os.truncate(folder / "model.safetensors", 5000), "one that cannot be read: .*incomplete"),
        (lambda folder: (folder / "config.json").write_text("{"), "one that cannot be read: .*not a valid JSON"),
        (lambda folder: (folder / "config.json").unlink(), "one that cannot be read: .*model_type"),
    ],
    ids=["NaN", "a weight lacks", "no weights", "cut weights", "broken configuration", "no configuration"],
)
def test_a_checkpoint_that_is_not_whole_is_one_error(
    tiny_bert_folder: Path, tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    folder = Path(shutil.copytree(tiny_bert_folder, tmp_path / "checkpoint"))
    assert load_encoder(folder).dim == 16
    spoil(folder)
    with pytest.raises(ExportRejected, match=said) as refused:
        load_encoder(folder)
    assert str(refused.value).startswith(f"{folder}: ")


def sentence_transformer(folder: Path, *steps: str, pooled: str) -> None:
    kinds = [{"type": f"sentence_transformers.models.{step}", "path": f"{n}_{step}"} for n, step in enumerate(steps)]
    (folder / "modules.json").write_text(json.dumps(kinds))
    modes = {f"pooling_mode_{mode}": mode == pooled for mode in ("cls_token", "mean_tokens", "max_tokens")}
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 16, **modes}))


def test_a_sentence_transformer_that_is_pooled_as_the_graph_does_passes(tiny_bert_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bert_folder, tmp_path / "checkpoint"))
    sentence_transformer(folder, "Transformer", "Pooling", "Normalize", pooled="mean_tokens")
    assert load_encoder(folder).dim == 16


@pytest.mark.parametrize(
    ("steps", "pooled", "said"),
    [
        (("Transformer", "Pooling", "Normalize"), "cls_token", "got pooling_mode_cls_token;"),
        (("Transformer", "Pooling", "Dense"), "mean_tokens", "got Dense;"),
    ],
)
def test_a_sentence_transformer_that_is_pooled_otherwise_is_refused(
    tiny_bert_folder: Path, tmp_path: Path, steps: tuple[str, ...], pooled: str, said: str
) -> None:
    folder = Path(shutil.copytree(tiny_bert_folder, tmp_path / "checkpoint"))
    sentence_transformer(folder, *steps, pooled=pooled)
    with pytest.raises(ExportRejected, match=said):
        load_encoder(folder)
    (folder / "modules.json").write_text("{}")
    assert load_encoder(folder).dim == 16
    (folder / "modules.json").write_text("[3]")
    with pytest.raises(ExportRejected, match=r"modules\.json: expected the steps"):
        load_encoder(folder)


def test_a_bert_that_reads_fewer_tokens_than_rows_are_padded_to_is_refused(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=99, max_position_embeddings=128, **sizes)).save_pretrained(tmp_path)
    with pytest.raises(ExportRejected, match=r"expected a BERT that reads 256 tokens, .* got one of 128"):
        load_encoder(tmp_path)


def test_bert_without_its_own_pooling_is_enough(tiny_bert_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bert_folder, tmp_path / "checkpoint"))
    set_weight(folder, "pooler.dense.weight", lambda _: None)
    assert load_encoder(folder).dim == 16


def test_a_graph_that_triton_cannot_read_is_refused(
    tiny_encoder: SentenceEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder_graph, "IR_VERSION", 7)
    with pytest.raises(ExportRejected, match=r"model\.onnx: expected IR 7 and opset 17, got IR 8 and opset 17"):
        write_graph(tiny_encoder, tmp_path / "model.onnx")
