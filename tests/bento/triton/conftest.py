"""A stand-in for the module that Triton's stub process provides, and tiny ONNX graphs."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper


class Tensor:
    """A named array."""

    def __init__(self, name: str, array: np.ndarray) -> None:
        self._name, self._array = name, array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray:
        return self._array


class TritonError:
    """A message and a code."""

    INTERNAL, INVALID_ARG = "INTERNAL", "INVALID_ARG"

    def __init__(self, message: str, code: str = INTERNAL) -> None:
        self._message, self.code = message, code

    def message(self) -> str:
        return self._message


class InferenceResponse:
    """Output tensors, or an error."""

    def __init__(self, output_tensors: list[Tensor] | None = None, error: TritonError | None = None) -> None:
        self.tensors, self.error = output_tensors or [], error

    def arrays(self) -> dict[str, np.ndarray]:
        return {tensor.name(): tensor.as_numpy() for tensor in self.tensors}


class Sender:
    """Collects what a decoupled model sends."""

    def __init__(self) -> None:
        self.sent: list[tuple[InferenceResponse | None, int]] = []
        self.is_gone = False

    def send(self, response: InferenceResponse | None = None, flags: int = 0) -> None:
        self.sent.append((response, flags))

    def is_cancelled(self) -> bool:
        return self.is_gone


class Request:
    """One request: arrays in, the names of the outputs that are wanted."""

    def __init__(self, inputs: dict[str, np.ndarray], wanted: tuple[str, ...] = ()) -> None:
        self.inputs = {name: Tensor(name, array) for name, array in inputs.items()}
        self._wanted = wanted
        self.sent_parameters: dict[str, object] = {}
        self.sender = Sender()

    def requested_output_names(self) -> list[str]:
        return list(self._wanted)

    def parameters(self) -> str:
        return json.dumps(self.sent_parameters)

    def get_response_sender(self) -> Sender:
        return self.sender


class TritonModelException(Exception):
    """What a model raises while it loads."""


def make_utils() -> ModuleType:
    """Make the module, with a log and metrics to look into."""
    utils = ModuleType("triton_python_backend_utils")
    warnings: list[str] = []
    gauges: list[float] = []

    class MetricFamily:
        GAUGE = "GAUGE"

        def __init__(self, name: str, description: str, kind: str) -> None:
            self.name = name

        def Metric(self, labels: dict[str, str]) -> Any:  # noqa: N802
            return SimpleNamespace(set=gauges.append)

    contents = {
        "Tensor": Tensor,
        "TritonError": TritonError,
        "InferenceResponse": InferenceResponse,
        "Request": Request,
        "TritonModelException": TritonModelException,
        "TRITONSERVER_RESPONSE_COMPLETE_FINAL": 1,
        "get_input_tensor_by_name": lambda request, name: request.inputs.get(name),
        "Logger": SimpleNamespace(log_warn=warnings.append),
        "MetricFamily": MetricFamily,
        "warnings": warnings,
        "gauges": gauges,
    }
    for name, value in contents.items():
        setattr(utils, name, value)
    return utils


@pytest.fixture
def triton_utils(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, in place for imports."""
    utils = make_utils()
    monkeypatch.setitem(sys.modules, utils.__name__, utils)
    return utils


@pytest.fixture
def backend(triton_utils: ModuleType) -> Iterator[Callable[[str], ModuleType]]:
    """Imports a backend's ``model.py`` over the stand-in, and forgets it afterwards."""
    imported: list[str] = []

    def load(name: str) -> ModuleType:
        path = f"longtail_bento.triton.backends.{name}.model"
        sys.modules.pop(path, None)
        imported.append(path)
        return importlib.import_module(path)

    yield load
    for path in imported:
        sys.modules.pop(path, None)


@pytest.fixture(scope="session")
def lookup_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version folder ``1`` whose graph takes ``ids`` ``(n, width)`` and gives rows of a table of five.

    ``rows`` ``(n, width, 2)`` holds ``[id, 10 * id]``; ``n_rows`` ``(n, width)`` holds, everywhere, how many rows the
    run had. An id above 4 fails the run.
    """
    table = np.array([[number, 10 * number] for number in range(5)], dtype=np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "ids"], ["rows"], axis=0),
            helper.make_node("Shape", ["ids"], ["shape"]),
            helper.make_node("Gather", ["shape", "first"], ["n"], axis=0),
            helper.make_node("Sub", ["ids", "ids"], ["zeros"]),
            helper.make_node("Add", ["zeros", "n"], ["n_rows"]),
        ],
        "lookup",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", "width"])],
        [
            helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", "width", 2]),
            helper.make_tensor_value_info("n_rows", TensorProto.INT64, ["n", "width"]),
        ],
        [
            helper.make_tensor("table", TensorProto.FLOAT, [5, 2], table.ravel().tolist()),
            helper.make_tensor("first", TensorProto.INT64, [], [0]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    folder = tmp_path_factory.mktemp("lookup")
    (folder / "1").mkdir()
    onnx.save(model, folder / "1" / "model.onnx")
    return folder


@pytest.fixture
def lookup_config() -> dict[str, Any]:
    """The configuration of `lookup_graph`, as Triton hands it over."""
    return {
        "name": "lookup",
        "max_batch_size": 8,
        "default_model_filename": "model.onnx",
        "input": [{"name": "ids", "data_type": "TYPE_INT64", "dims": ["-1"]}],
        "output": [
            {"name": "rows", "data_type": "TYPE_FP32", "dims": ["-1", "2"]},
            {"name": "n_rows", "data_type": "TYPE_INT64", "dims": ["-1"]},
        ],
    }
