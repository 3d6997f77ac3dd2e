"""The exact search as an ONNX graph: product, mask, TopK."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

EXCLUDED = -2.0
"""The score of a masked item: below every cosine."""


def write_top_k(path: Path, *, dim: int) -> None:
    """Write the graph.

    Its inputs are ``query_vectors`` ``(n_queries, dim)``, ``item_vectors`` ``(n_items, dim)``, ``allowed``
    ``(n_items,)`` bool and ``k`` ``(1,)`` int64; its outputs ``cosines`` and ``rows``, both ``(n_queries, k)``, best
    first, equal cosines in catalogue order. The items are an input, not a constant, so that they stay in memory once.

    Args:
        path: The ``.onnx`` file.
        dim: Length of a vector.
    """
    nodes = [
        helper.make_node("Gemm", ["query_vectors", "item_vectors"], ["products"], transB=1),
        helper.make_node("Where", ["allowed", "products", "excluded"], ["scores"]),
        helper.make_node("TopK", ["scores", "k"], ["cosines", "rows"], axis=1, largest=1, sorted=1),
    ]
    graph = helper.make_graph(
        nodes,
        "cosine_top_k",
        [
            helper.make_tensor_value_info("query_vectors", TensorProto.FLOAT, ["n_queries", dim]),
            helper.make_tensor_value_info("item_vectors", TensorProto.FLOAT, ["n_items", dim]),
            helper.make_tensor_value_info("allowed", TensorProto.BOOL, ["n_items"]),
            helper.make_tensor_value_info("k", TensorProto.INT64, [1]),
        ],
        [
            helper.make_tensor_value_info("cosines", TensorProto.FLOAT, ["n_queries", "n_found"]),
            helper.make_tensor_value_info("rows", TensorProto.INT64, ["n_queries", "n_found"]),
        ],
        [helper.make_tensor("excluded", TensorProto.FLOAT, [], [EXCLUDED])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
