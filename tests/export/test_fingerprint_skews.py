"""The fingerprint against real encoders made tiny: each skew that hashes cannot see is refused, and said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import BertConfig, BertModel

from longtail_client.contract import Array
from longtail_client.encoder import Encoder, TextTokenizer
from longtail_client.errors import ExportRejected, ReleaseInvalid
from longtail_client.fingerprint import Comparison, Fingerprint, compare_fingerprint, take_fingerprint
from longtail_client.testing import FakeTransport
from longtail_export.catalogue_fingerprint import write_fingerprint
from longtail_export.encoder_graph import SentenceEncoder, load_encoder, write_graph


class GraphTransport(FakeTransport):
    """Runs an ONNX graph in the process where Triton would."""

    def __init__(self, graph: Path) -> None:
        super().__init__(dim=16)
        self._session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])

    async def infer(
        self, model: str, version: str, inputs: Mapping[str, Array], *, timeout_s: float, **more: Any
    ) -> Mapping[str, Array]:
        (embedding,) = self._session.run(["embedding"], dict(inputs))
        return {"embedding": embedding}


class FirstTokenEncoder(SentenceEncoder):
    """Pools by the first token, where the encoder takes the mean."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return torch.nn.functional.normalize(hidden[:, 0], dim=-1)


class UnnormalisedEncoder(SentenceEncoder):
    """Leaves its vectors as long as they are."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return 3.0 * super().forward(input_ids, attention_mask)


@pytest.fixture(scope="session")
def graph(model_repository: Path) -> Path:
    """The published tiny encoder."""
    return model_repository / "text_encoder" / "1" / "model.onnx"


@pytest.fixture(scope="session")
async def fingerprint(graph: Path, tiny_text_tokenizer: TextTokenizer) -> Fingerprint:
    """What it made of the probes."""
    return await take_fingerprint(await connect(graph, tiny_text_tokenizer), tiny_text_tokenizer)


async def connect(graph: Path, tokenizer: TextTokenizer) -> Encoder:
    return await Encoder.connect(GraphTransport(graph), tokenizer, version="1")


async def compare(graph: Path, tokenizer: TextTokenizer, fingerprint: Fingerprint) -> Comparison:
    return await compare_fingerprint(await connect(graph, tokenizer), tokenizer, fingerprint)


async def test_the_same_encoder_matches(
    graph: Path, tiny_text_tokenizer: TextTokenizer, fingerprint: Fingerprint
) -> None:
    comparison = await compare(graph, tiny_text_tokenizer, fingerprint)
    assert comparison.matches
    assert comparison.worst_cosine > 0.99999


async def test_another_model_is_said_to_be_one(
    tiny_bert_folder: Path, tiny_text_tokenizer: TextTokenizer, fingerprint: Fingerprint, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    BertModel(BertConfig.from_pretrained(tiny_bert_folder)).save_pretrained(tmp_path / "other")
    write_graph(load_encoder(tmp_path / "other"), tmp_path / "model.onnx")
    comparison = await compare(tmp_path / "model.onnx", tiny_text_tokenizer, fingerprint)
    assert not comparison.matches
    assert "another model, another pooling" in comparison.diagnosis()


async def test_another_pooling_is_refused(
    tiny_bert_folder: Path, tiny_text_tokenizer: TextTokenizer, fingerprint: Fingerprint, tmp_path: Path
) -> None:
    write_graph(FirstTokenEncoder(load_encoder(tiny_bert_folder).bert).eval(), tmp_path / "model.onnx")
    comparison = await compare(tmp_path / "model.onnx", tiny_text_tokenizer, fingerprint)
    assert not comparison.matches
    assert "another pooling" in comparison.diagnosis()


async def test_vectors_that_are_not_normalised_are_refused(
    tiny_bert_folder: Path, tiny_text_tokenizer: TextTokenizer, fingerprint: Fingerprint, tmp_path: Path
) -> None:
    write_graph(UnnormalisedEncoder(load_encoder(tiny_bert_folder).bert).eval(), tmp_path / "model.onnx")
    comparison = await compare(tmp_path / "model.onnx", tiny_text_tokenizer, fingerprint)
    assert comparison.worst_cosine > 0.9999
    assert not comparison.matches
    assert "not of length 1 (off by 2.000)" in comparison.diagnosis()


async def test_coarser_weights_are_said_to_be_another_precision(
    graph: Path, tiny_text_tokenizer: TextTokenizer, fingerprint: Fingerprint, tmp_path: Path
) -> None:
    model = onnx.load(graph)
    for tensor in model.graph.initializer:
        weights = numpy_helper.to_array(tensor)
        if weights.dtype == np.float32 and weights.ndim == 2:
            step = float(np.abs(weights).max()) / 31
            tensor.CopyFrom(numpy_helper.from_array(np.round(weights / step) * np.float32(step), tensor.name))
    onnx.save(model, tmp_path / "model.onnx")
    comparison = await compare(tmp_path / "model.onnx", tiny_text_tokenizer, fingerprint)
    assert not comparison.matches
    assert "another precision" in comparison.diagnosis()


async def test_vectors_that_depend_on_their_batch_build_no_index(
    graph: Path, tiny_text_tokenizer: TextTokenizer, tmp_path: Path
) -> None:
    quantize_dynamic(graph, tmp_path / "model.onnx", weight_type=QuantType.QInt8)
    encoder = await connect(tmp_path / "model.onnx", tiny_text_tokenizer)
    with pytest.raises(ExportRejected, match=r"its vectors depend on their batch.*nothing was published"):
        await write_fingerprint(encoder, tiny_text_tokenizer, tmp_path)
    assert not (tmp_path / "fingerprint.json").exists()


@pytest.fixture
def other_tokenizer(tiny_tokenizer_path: Path, tmp_path: Path) -> TextTokenizer:
    """The tiny tokenizer, but for capital letters."""
    text = tiny_tokenizer_path.read_text()
    assert '"lowercase": true' in text
    (tmp_path / "tokenizer.json").write_text(text.replace('"lowercase": true', '"lowercase": false'))
    return TextTokenizer(tmp_path / "tokenizer.json")


async def test_another_tokenizer_is_named_whatever_its_file_says(
    graph: Path, fingerprint: Fingerprint, other_tokenizer: TextTokenizer
) -> None:
    with pytest.raises(ReleaseInvalid, match=r"^tokenizer: .*token ids that the index was built with"):
        await compare(graph, other_tokenizer, fingerprint)


async def test_a_fingerprint_reads_back_bit_by_bit(fingerprint: Fingerprint, tmp_path: Path) -> None:
    fingerprint.write(tmp_path / "fingerprint.json")
    again = Fingerprint.read(tmp_path / "fingerprint.json")
    assert (again.texts, again.token_ids, again.encoder_version) == (fingerprint.texts, fingerprint.token_ids, "1")
    np.testing.assert_array_equal(again.vectors, fingerprint.vectors)


@pytest.mark.parametrize("content", ["", "[]", '{"texts": ["a"], "token_ids": [[1]], "dim": 2}', None])
def test_what_is_no_fingerprint_is_refused(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "fingerprint.json").write_text(content)
    with pytest.raises(ReleaseInvalid, match=r"^fingerprint: "):
        Fingerprint.read(tmp_path / "fingerprint.json")
