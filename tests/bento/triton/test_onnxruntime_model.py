"""The stand-in for Triton's onnxruntime backend, called as Triton calls it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

Opener = Callable[..., Any]


@pytest.fixture
def opened(backend: Callable[[str], ModuleType], lookup_graph: Path, lookup_config: dict[str, Any]) -> Opener:
    """Opens an instance of the lookup graph, its configuration changed as told."""

    def make(*, version: str = "1", kind: str = "CPU", **change: Any) -> Any:
        model = backend("onnxruntime").TritonPythonModel()
        model.initialize(
            {
                "model_config": json.dumps({**lookup_config, **change}),
                "model_repository": str(lookup_graph),
                "model_version": version,
                "model_instance_kind": kind,
                "model_instance_device_id": "0",
            }
        )
        return model

    return make


@pytest.fixture
def request_of(triton_utils: ModuleType) -> Callable[..., Any]:
    def make(ids: list[Any], wanted: tuple[str, ...] = ("rows", "n_rows")) -> Any:
        return triton_utils.Request({"ids": np.array(ids)}, wanted)

    return make


def test_a_batch_of_three_requests_is_one_run_and_is_split_right(opened: Opener, request_of: Any) -> None:
    requests = [request_of([[1, 2]]), request_of([[3, 4], [0, 1], [2, 2]]), request_of([[4, 0], [1, 3]])]
    responses = opened().execute(requests)
    assert [response.error for response in responses] == [None] * 3
    arrays = [response.arrays() for response in responses]
    assert [each["rows"][:, :, 0].tolist() for each in arrays] == [
        [[1, 2]],
        [[3, 4], [0, 1], [2, 2]],
        [[4, 0], [1, 3]],
    ]
    assert [each["rows"].shape for each in arrays] == [(1, 2, 2), (3, 2, 2), (2, 2, 2)]
    # The graph itself says how many rows it saw: all six at once.
    assert all((each["n_rows"] == 6).all() for each in arrays)
    assert [len(each["n_rows"]) for each in arrays] == [1, 3, 2]


def test_only_the_outputs_that_a_request_wants_are_answered(opened: Opener, request_of: Any) -> None:
    responses = opened().execute([request_of([[1]], ("rows",)), request_of([[2]], ("n_rows",)), request_of([[3]], ())])
    assert [set(response.arrays()) for response in responses] == [{"rows"}, {"n_rows"}, set()]


def test_arrays_are_contiguous_for_triton(opened: Opener, request_of: Any) -> None:
    responses = opened().execute([request_of([[1, 2]]), request_of([[3, 4]])])
    assert all(array.flags["C_CONTIGUOUS"] for response in responses for array in response.arrays().values())


def test_a_run_that_fails_is_an_error_of_every_request_of_its_batch(opened: Opener, request_of: Any) -> None:
    model = opened()
    responses = model.execute([request_of([[1]]), request_of([[99]])])
    assert [response.tensors for response in responses] == [[], []]
    for response in responses:
        assert response.error.message().startswith("onnx runtime error 2: Non-zero status code returned")
        assert "indices element out of data bounds" in response.error.message()
    (after,) = model.execute([request_of([[1]])])
    assert after.error is None


def test_without_a_batch_dimension_each_request_is_its_own_run(opened: Opener, request_of: Any) -> None:
    model = opened(
        max_batch_size=0,
        input=[{"name": "ids", "data_type": "TYPE_INT64", "dims": ["-1", "-1"]}],
        output=[{"name": "n_rows", "data_type": "TYPE_INT64", "dims": ["-1", "-1"]}],
    )
    responses = model.execute([request_of([[1], [2]]), request_of([[3]]), request_of([[99]])])
    assert responses[0].arrays()["n_rows"].tolist() == [[2], [2]]
    assert responses[1].arrays()["n_rows"].tolist() == [[1]]
    assert responses[2].error is not None


def test_what_nobody_reads_is_warned_of(opened: Opener, triton_utils: ModuleType) -> None:
    opened(parameters={"zeal": {"string_value": "9"}})
    assert triton_utils.warnings == ["lookup: parameter 'zeal' is read neither here nor by the C++ onnxruntime backend"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "2"}, "unable to find '.*/2/model.onnx' for model 'lookup'"),
        ({"parameters": {"execution_mode": {"string_value": "7"}}}, "execution_mode: expected 0 or 1, got 7"),
        ({"output": [{"name": "nothing", "data_type": "TYPE_FP32", "dims": ["1"]}]}, "inference output 'nothing'"),
        ({"kind": "GPU"}, "instance on GPU 0 needs CUDAExecutionProvider"),
    ],
)
def test_a_model_that_cannot_be_served_says_why_it_does_not_load(
    opened: Opener, triton_utils: ModuleType, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(triton_utils.TritonModelException, match=message):
        opened(**change)


def test_a_file_that_is_no_graph_is_named(
    backend: Callable[[str], ModuleType], triton_utils: ModuleType, lookup_config: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.onnx").write_bytes(b"no graph at all")
    arguments = {
        "model_config": json.dumps(lookup_config),
        "model_repository": str(tmp_path),
        "model_version": "1",
        "model_instance_kind": "CPU",
        "model_instance_device_id": "0",
    }
    with pytest.raises(triton_utils.TritonModelException, match=r"1/model\.onnx: onnx runtime error 7: "):
        backend("onnxruntime").TritonPythonModel().initialize(arguments)
