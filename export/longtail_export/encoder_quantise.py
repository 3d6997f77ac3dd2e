"""A float32 encoder graph and calibration texts in, an int8 graph out whose vectors do not depend on the batch.

Static U8S8 in QDQ form: every scale is a constant, so a text's vector cannot depend on its neighbours. Before scales
are measured, the few wide channels of an activation are divided down and their weights multiplied up (smoothing); the
layers that lose most are left in float.

Source: Xiao et al., *SmoothQuant* (2023), section 4; Jacob et al., *Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference* (2018).
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from longtail_client.contract import Array
from longtail_client.errors import ExportRejected

LAYERS: Mapping[str, str] = {
    "query": "attention/self/query/MatMul",
    "key": "attention/self/key/MatMul",
    "value": "attention/self/value/MatMul",
    "attention output": "attention/output/dense/MatMul",
    "feed-forward in": "intermediate/dense/MatMul",
    "feed-forward out": "output/dense/MatMul",
}
"""The six products of a BERT layer that have weights, and how the traced graph ends their names."""

_SMALLEST = 1e-5


@dataclass(frozen=True, slots=True)
class Int8Plan:
    """How a graph is quantised.

    Attributes:
        layers: Which products become int8, by their names in `LAYERS`; the others stay in float.
        smoothing: How much of an activation's unevenness moves into the weights, 0 to 1.
        weight_bits: 8, or 7 for a CPU without VNNI: its 8-bit product adds pairs in 16 bits, which 7-bit weights cannot
            overflow and 8-bit weights can.
    """

    layers: tuple[str, ...]
    smoothing: float
    weight_bits: int


def quantise(graph_path: Path, target: Path, rows: Sequence[Sequence[int]], plan: Int8Plan) -> None:
    """Write the int8 form of a float32 graph.

    Args:
        graph_path: The float32 ``.onnx`` file.
        target: The ``.onnx`` file to write.
        rows: Token ids of the calibration texts. Each runs alone and unpadded: padding has no say in the scales.
        plan: What is quantised, and how.

    Raises:
        ExportRejected: The graph has none of a layer that the plan names.
    """
    graph = onnx.load(graph_path)
    products = products_of(graph, plan.layers)
    smooth(graph, products, _peaks(graph, products, rows), strength=plan.smoothing)
    quiet = logging.getLogger().level
    with tempfile.TemporaryDirectory() as scratch:
        smoothed = Path(scratch) / "smoothed.onnx"
        onnx.save(graph, smoothed)
        logging.getLogger().setLevel(logging.ERROR)  # the quantiser advises a step that the tracer has taken already
        try:
            quantize_static(
                str(smoothed),
                str(target),
                _Rows(rows),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["MatMul"],
                nodes_to_quantize=[node.name for node in products],
                per_channel=True,
                reduce_range=plan.weight_bits == 7,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
            )
        finally:
            logging.getLogger().setLevel(quiet)


def products_of(graph: onnx.ModelProto, layers: Sequence[str]) -> list[onnx.NodeProto]:
    """Find the products with weights that belong to some layers.

    Args:
        graph: A traced encoder.
        layers: Names in `LAYERS`.

    Raises:
        ExportRejected: A layer has no product in the graph.
    """
    weights = {initializer.name for initializer in graph.graph.initializer}
    found = {
        layer: [
            node
            for node in graph.graph.node
            if node.op_type == "MatMul" and node.input[1] in weights and _layer_of(node.name) == layer
        ]
        for layer in layers
    }
    for layer, nodes in found.items():
        if not nodes:
            raise ExportRejected(f"expected products of '{layer}' in the graph (…{LAYERS[layer]}), found none")
    chosen = {node.name for nodes in found.values() for node in nodes}
    return [node for node in graph.graph.node if node.name in chosen]


def smooth(
    graph: onnx.ModelProto, products: Sequence[onnx.NodeProto], peaks: Mapping[str, Array], *, strength: float
) -> None:
    """Divide each product's activation by a factor a channel and multiply its weights by it; the product stays.

    Args:
        graph: Changed in place.
        products: Products with weights; those of one activation share its factors.
        peaks: The largest magnitude of each channel, by activation. Shape ``(n_channels,)``.
        strength: 0 leaves the unevenness in the activation, 1 moves all of it into the weights.
    """
    weights = {initializer.name: initializer for initializer in graph.graph.initializer}
    by_activation: dict[str, list[onnx.NodeProto]] = {}
    for node in products:
        by_activation.setdefault(node.input[0], []).append(node)
    for activation, nodes in by_activation.items():
        matrices = [numpy_helper.to_array(weights[node.input[1]]) for node in nodes]
        reach = np.max([np.abs(matrix).max(axis=1) for matrix in matrices], axis=0)
        peak = np.maximum(peaks[activation], _SMALLEST)
        factors = (peak**strength / np.maximum(reach, _SMALLEST) ** (1 - strength)).astype(np.float32)
        for node, matrix in zip(nodes, matrices, strict=True):
            weights[node.input[1]].CopyFrom(numpy_helper.from_array(matrix * factors[:, None], node.input[1]))
        smoothed, divisor = f"{activation}/smoothed", f"{activation}/smoothing"
        graph.graph.initializer.append(numpy_helper.from_array(1 / factors, divisor))
        first = next(index for index, node in enumerate(graph.graph.node) if node.name == nodes[0].name)
        graph.graph.node.insert(
            first, helper.make_node("Mul", [activation, divisor], [smoothed], name=f"{activation}/Smooth")
        )
        for node in nodes:
            node.input[0] = smoothed


class _Rows(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, rows: Sequence[Sequence[int]]) -> None:
        self._feeds = _feeds(rows)

    def get_next(self) -> dict[str, Array] | None:
        """Hand over the next calibration text."""
        return next(self._feeds, None)


def _feeds(rows: Sequence[Sequence[int]]) -> Iterator[dict[str, Array]]:
    for row in rows:
        input_ids = np.array([row], dtype=np.int64)
        yield {"input_ids": input_ids, "attention_mask": np.ones_like(input_ids)}


def _layer_of(name: str) -> str | None:
    # "attention/output/dense" ends in "output/dense" too: the first match is the longest
    return next((layer for layer, ending in LAYERS.items() if name.endswith(ending)), None)


def _peaks(
    graph: onnx.ModelProto, products: Sequence[onnx.NodeProto], rows: Sequence[Sequence[int]]
) -> dict[str, Array]:
    names = sorted({node.input[0] for node in products})
    watched = onnx.ModelProto()
    watched.CopyFrom(graph)
    watched.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    session = ort.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    peaks: dict[str, Any] = {}
    for feed in _feeds(rows):
        for name, values in zip(names, session.run(names, feed), strict=True):
            peak = np.abs(values).max(axis=(0, 1))
            peaks[name] = np.maximum(peaks[name], peak) if name in peaks else peak
    return peaks
