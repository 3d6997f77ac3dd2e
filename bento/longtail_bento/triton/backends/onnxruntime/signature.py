"""What an ONNX graph takes and gives, compared with what its Triton configuration says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ONNX_DTYPES = {
    "TYPE_BOOL": "tensor(bool)",
    "TYPE_UINT8": "tensor(uint8)",
    "TYPE_INT8": "tensor(int8)",
    "TYPE_INT32": "tensor(int32)",
    "TYPE_INT64": "tensor(int64)",
    "TYPE_FP16": "tensor(float16)",
    "TYPE_FP32": "tensor(float)",
    "TYPE_FP64": "tensor(double)",
    "TYPE_STRING": "tensor(string)",
}


def check_signature(config: Mapping[str, Any], session: Any) -> None:
    """Refuse a configuration that does not describe the graph, as the C++ backend refuses it.

    An input may be fixed over a dimension that the graph leaves open; an output must say exactly what the graph says.

    Args:
        config: The configuration as Triton hands it over.
        session: The open ONNX Runtime session.

    Raises:
        ValueError: The number of inputs, a name, a dtype or a shape differs; the message names the tensor.
    """
    model = config["name"]
    inputs = {node.name: node for node in session.get_inputs()}
    outputs = {node.name: node for node in session.get_outputs()}
    if len(config["input"]) != len(inputs):
        raise ValueError(
            f"unable to load model '{model}', configuration expects {len(config['input'])} inputs, "
            f"model provides {len(inputs)}"
        )
    batched = config["max_batch_size"] > 0
    for side, tensors, nodes in (("input", config["input"], inputs), ("output", config["output"], outputs)):
        for tensor in tensors:
            node = nodes.get(tensor["name"])
            if node is None:
                raise ValueError(
                    f"unexpected inference {side} '{tensor['name']}', allowed {side}s are: {', '.join(sorted(nodes))}"
                )
            if _ONNX_DTYPES.get(tensor["data_type"]) != node.type:
                raise ValueError(
                    f"unexpected datatype {tensor['data_type']} for {side} '{node.name}' of model '{model}', "
                    f"the graph has {node.type}"
                )
            configured = [int(dim) for dim in (tensor.get("reshape") or {}).get("shape") or tensor["dims"]]
            found = [dim if isinstance(dim, int) else -1 for dim in node.shape]
            if batched:
                configured = [-1, *configured]
            fits = len(configured) == len(found) and all(
                mine == theirs or (side == "input" and theirs == -1)
                for mine, theirs in zip(configured, found, strict=True)
            )
            if not fits:
                raise ValueError(
                    f"model '{model}', tensor '{node.name}': the configuration expects shape {configured}, "
                    f"the graph has {found}"
                )
