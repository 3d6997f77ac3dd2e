"""A float32 encoder graph in, a float16 graph with float32 inputs, pooling and output out: for GPUs."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from longtail_client.errors import ExportRejected

_KEPT_IN_FLOAT32 = ("ReduceSum", "ReduceL2", "LayerNormalization", "Softmax", "Clip", "Div")
"""Sums over many numbers, and what divides by them: a float16 ends at 65,504 and starts at 6e-8."""


def halve(graph_path: Path, target: Path) -> None:
    """Write the float16 form of a float32 graph.

    Args:
        graph_path: The float32 ``.onnx`` file.
        target: The ``.onnx`` file to write. Inputs and outputs keep their types, so the configuration serves both.
    """
    graph = convert_float_to_float16(
        onnx.load(graph_path), keep_io_types=True, op_block_list=list(_KEPT_IN_FLOAT32), min_positive_val=1e-7
    )
    onnx.save(graph, target)


def check_halves(path: Path) -> None:
    """Look at the structure of a float16 graph, which needs no GPU.

    Raises:
        ExportRejected: Its interface is not float32's, a product with weights is not in float16, or what must stay in
            float32 is not.
    """
    graph = onnx.shape_inference.infer_shapes(onnx.load(path))
    float32, float16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
    output_type = graph.graph.output[0].type.tensor_type.elem_type
    if output_type != float32:
        raise ExportRejected(f"{path.name}: expected a float32 output, got element type {output_type}")
    weights = {initializer.name: initializer.data_type for initializer in graph.graph.initializer}
    types = {value.name: value.type.tensor_type.elem_type for value in graph.graph.value_info}
    for node in graph.graph.node:
        if node.op_type == "MatMul" and weights.get(node.input[1], float16) != float16:
            raise ExportRejected(f"{path.name}: expected float16 weights in {node.name}, got {weights[node.input[1]]}")
        if node.op_type in _KEPT_IN_FLOAT32 and types.get(node.output[0], float32) == float16:
            raise ExportRejected(f"{path.name}: expected {node.name} in float32, got float16")
