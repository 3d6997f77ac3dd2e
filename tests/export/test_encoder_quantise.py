"""Quantising the encoder: smoothing changes no product, and what is int8 is what the plan names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from longtail_client.encoder import TextTokenizer, padded
from longtail_client.errors import ExportRejected
from longtail_export.encoder_graph import SentenceEncoder, write_graph
from longtail_export.encoder_quantise import LAYERS, Int8Plan, products_of, quantise, smooth
from longtail_export.encoder_runtimes import onnx_embed

TEXTS = ["a quiet drama by the sea", "space war", "a small town spy", "music"]


@pytest.fixture
def graph(tiny_encoder: SentenceEncoder, tmp_path: Path) -> Path:
    write_graph(tiny_encoder, tmp_path / "float32.onnx")
    return tmp_path / "float32.onnx"


def test_a_layer_of_bert_has_six_products_and_each_has_its_name(graph: Path) -> None:
    model = onnx.load(graph)
    for layer, ending in LAYERS.items():
        names = [node.name for node in products_of(model, [layer])]
        assert len(names) == 2
        assert all(name.endswith(ending) for name in names)
    assert len(products_of(model, list(LAYERS))) == 12
    assert not {node.name for node in products_of(model, ["feed-forward out"])} & {
        node.name for node in products_of(model, ["attention output"])
    }


def test_a_graph_without_the_layer_is_refused(graph: Path) -> None:
    model = onnx.load(graph)
    for node in model.graph.node:
        node.name = "renamed"
    with pytest.raises(ExportRejected, match="products of 'query'"):
        products_of(model, ["query"])


def test_smoothing_leaves_every_vector_as_it_was(graph: Path, tiny_tokenizer: TextTokenizer, tmp_path: Path) -> None:
    model = onnx.load(graph)
    products = products_of(model, list(LAYERS))
    widths = {i.name: i.dims[0] for i in model.graph.initializer}
    random = np.random.default_rng(0)
    peaks = {node.input[0]: random.uniform(0.1, 30, widths[node.input[1]]).astype(np.float32) for node in products}
    smooth(model, products, peaks, strength=0.8)
    onnx.save(model, tmp_path / "smoothed.onnx")
    rows = padded(tiny_tokenizer(TEXTS))
    np.testing.assert_allclose(onnx_embed(tmp_path / "smoothed.onnx")(*rows), onnx_embed(graph)(*rows), atol=1e-5)


@pytest.mark.parametrize(("weight_bits", "largest"), [(8, 127), (7, 64)])
def test_only_what_the_plan_names_becomes_int8_with_weights_of_its_bits(
    graph: Path, tiny_tokenizer: TextTokenizer, tmp_path: Path, weight_bits: int, largest: int
) -> None:
    target = tmp_path / "int8.onnx"
    quantise(graph, target, tiny_tokenizer(TEXTS), Int8Plan(("query", "feed-forward in"), 0.8, weight_bits))
    model = onnx.load(target)
    weights = [numpy_helper.to_array(i) for i in model.graph.initializer if i.data_type == onnx.TensorProto.INT8]
    matrices = [matrix for matrix in weights if matrix.ndim == 2]
    assert sorted(matrix.shape for matrix in matrices) == [(16, 16), (16, 16), (16, 32), (16, 32)]
    assert largest // 2 < max(np.abs(matrix.astype(int)).max() for matrix in matrices) <= largest
