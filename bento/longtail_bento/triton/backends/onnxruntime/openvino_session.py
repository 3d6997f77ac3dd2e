"""An ONNX file in, a session that OpenVINO runs on the CPU out: the `openvino` execution accelerator.

OpenVINO is called directly and not through ONNX Runtime's plugin, which finds no device on a CPU of another maker than
Intel, so that one file gives the same vectors through the same kernels wherever the instructions are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from longtail_client.contract import INFERENCE_PRECISION, inference_options

_READ_PARAMETERS = {"num_of_threads", "precision"}

_ONNX_NAMES = {
    "boolean": "bool",
    "u8": "uint8",
    "i8": "int8",
    "i32": "int32",
    "i64": "int64",
    "f16": "float16",
    "f32": "float",
    "f64": "double",
    "string": "string",
}


@dataclass(frozen=True, slots=True)
class Node:
    """An input or output as ONNX Runtime describes it: an open dimension is None."""

    name: str
    type: str
    shape: list[int | None]


class OpenVinoSession:
    """The part of ``onnxruntime.InferenceSession`` that the backend calls.

    Args:
        path: The ONNX file.
        precision: What the version says of itself (fp32, fp16, bf16, int8); None where it says nothing.
        threads: Threads of a run; 0 leaves it to OpenVINO.
        parameters: The accelerator's own: ``precision`` and ``num_of_threads``, as ONNX Runtime's provider names them.

    Raises:
        ValueError: OpenVINO is not installed, or a parameter is not read here; the message names it.
    """

    def __init__(self, path: Path, *, precision: str | None, threads: int, parameters: Mapping[str, str]) -> None:
        try:
            import openvino
        except ImportError as error:
            raise ValueError(
                "unknown Execution Accelerator 'openvino' is requested; install longtail[cpu] to have it"
            ) from error
        options = openvino_options(precision=precision, threads=threads, parameters=parameters)
        compiled = openvino.Core().compile_model(str(path), "CPU", options)
        self._request = compiled.create_infer_request()
        self._inputs = [_node(port) for port in compiled.inputs]
        self._outputs = [_node(port) for port in compiled.outputs]

    def get_inputs(self) -> list[Node]:
        """Describe the graph's inputs."""
        return self._inputs

    def get_outputs(self) -> list[Node]:
        """Describe the graph's outputs."""
        return self._outputs

    def run(
        self, names: Sequence[str], feed: Mapping[str, npt.NDArray[Any]], _options: Any = None
    ) -> list[npt.NDArray[Any]]:
        """Run a batch.

        Args:
            names: Outputs that are wanted.
            feed: Arrays by input name.

        Returns:
            One array a name, in order, owned by the caller.
        """
        self._request.infer(dict(feed), share_inputs=True)
        return [np.array(self._request.get_tensor(name).data) for name in names]


def openvino_options(*, precision: str | None, threads: int, parameters: Mapping[str, str]) -> dict[str, str | int]:
    """Say how OpenVINO compiles a version.

    Raises:
        ValueError: A parameter or its value is not read here.
    """
    unread = sorted(set(parameters) - _READ_PARAMETERS)
    if unread:
        raise ValueError(
            f"Execution Accelerator 'openvino': this backend reads {sorted(_READ_PARAMETERS)}, got '{unread[0]}'"
        )
    wanted = parameters.get("precision", precision or "fp32").lower()
    if wanted not in INFERENCE_PRECISION:
        raise ValueError(
            f"Execution Accelerator 'openvino': expected precision {list(INFERENCE_PRECISION)}, got '{wanted}'"
        )
    count = parameters.get("num_of_threads", str(threads))
    if not count.isdecimal() or int(count) > 1024:
        raise ValueError(f"Execution Accelerator 'openvino': num_of_threads: expected 0 to 1024, got '{count}'")
    options = inference_options(wanted)
    if int(count):
        options["INFERENCE_NUM_THREADS"] = int(count)
    return options


def _node(port: Any) -> Node:
    kind = port.element_type.get_type_name()
    dims = [dim.get_length() if dim.is_static else None for dim in port.partial_shape]
    return Node(port.any_name, f"tensor({_ONNX_NAMES.get(kind, kind)})", dims)
