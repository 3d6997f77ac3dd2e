"""The stand-in for the onnxruntime backend under the real tritonserver, on small graphs made for each question."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tritonclient.http as triton_http
from onnx import TensorProto, helper
from tritonclient.utils import InferenceServerException

from longtail_bento.triton.server import arguments, assemble_backends, environment, find_installation

CONFIG = """
name: "{name}"
backend: "onnxruntime"
max_batch_size: 8
input [ {{ name: "x" data_type: TYPE_FP32 dims: [ {dim} ] }} ]
output [ {{ name: "y" data_type: {output_type} dims: [ {output_dim} ] }} ]
instance_group [ {{ count: 1 kind: KIND_CPU }} ]
dynamic_batching {{ max_queue_delay_microseconds: 50000 }}
{more}
"""


def write_model(
    repository: Path, name: str, *, dim: int = 3, output_type: str = "TYPE_FP32", output_dim: int = 3, more: str = ""
) -> None:
    """Write a model whose graph doubles a batch of three numbers; a row that starts with NaN stays NaN."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "double", [x], [y])
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    text = CONFIG.format(name=name, dim=dim, output_type=output_type, output_dim=output_dim, more=more)
    (repository / name / "config.pbtxt").write_text(text)


def write_failing_model(repository: Path) -> None:
    """Write a model whose run fails on large numbers: each row's largest number is the row that it asks for."""
    write_model(repository, "failing")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["largest"], axes=[1], keepdims=0),
        helper.make_node("Cast", ["largest"], ["row"], to=TensorProto.INT64),
        helper.make_node("Gather", ["x", "row"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "failing", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, repository / "failing" / "1" / "model.onnx")


REFUSED = {
    "mode": ('parameters { key: "execution_mode" value { string_value: "7" } }', {}, "execution_mode"),
    "threads": (
        'parameters { key: "intra_op_thread_count" value { string_value: "many" } }',
        {},
        "intra_op_thread_count",
    ),
    "accelerator": (
        'optimization { execution_accelerators { cpu_execution_accelerator [ { name: "tensorrt" } ] } }',
        {},
        "unknown Execution Accelerator 'tensorrt' is requested",
    ),
    "gpu": ("", {}, "unsupported gpu id 0"),
    "dtype": ("", {"output_type": "TYPE_INT64"}, "unexpected datatype TYPE_INT64"),
    "dims": ("", {"output_dim": 4}, "expects shape [-1, 4]"),
    "missing": ("", {}, "unable to find"),
    "corrupt": ("", {}, "model.onnx"),
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of good models and of models that must be refused."""
    repository = tmp_path_factory.mktemp("repository")
    write_model(repository, "double")
    write_model(
        repository,
        "tuned",
        more='parameters { key: "intra_op_thread_count" value { string_value: "1" } } '
        'parameters { key: "inter_op_thread_count" value { string_value: "1" } } '
        'parameters { key: "execution_mode" value { string_value: "1" } } '
        "optimization { graph { level: -1 } }",
    )
    write_model(
        repository,
        "openvino",
        more='optimization { execution_accelerators { cpu_execution_accelerator [ { name: "openvino" } ] } }',
    )
    write_failing_model(repository)
    for name, (more, changes, _) in REFUSED.items():
        write_model(repository, f"refused_{name}", more=more, **changes)  # type: ignore[arg-type]
    (repository / "refused_missing" / "1" / "model.onnx").rename(repository / "refused_missing" / "1" / "other.onnx")
    (repository / "refused_corrupt" / "1" / "model.onnx").write_bytes(b"not a graph")
    config = repository / "refused_gpu" / "config.pbtxt"
    config.write_text(config.read_text().replace("KIND_CPU", "KIND_GPU gpus: [ 0 ]"))
    return repository


@pytest.fixture(scope="module")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[triton_http.InferenceServerClient]:
    """A tritonserver over it that loads on demand."""
    installation = find_installation()
    folder = tmp_path_factory.mktemp("server")
    ports = free_ports_for_server()
    command = arguments(
        installation,
        model_repository=repository,
        backends=assemble_backends(installation, folder / "backends"),
        profile="cpu",
        models=("double",),
        ports=ports,
        admin_key="key",
        shm_prefix="longtail-test-",
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment(installation), stdout=log, stderr=subprocess.STDOUT)
    client = triton_http.InferenceServerClient(f"127.0.0.1:{ports[0]}", concurrency=16)
    deadline_s = time.monotonic() + 60
    while True:
        try:
            if client.is_model_ready("double"):
                break
        except (ConnectionError, InferenceServerException):
            pass
        assert process.poll() is None, (folder / "log").read_text()[-2000:]
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    yield client
    client.close()
    process.terminate()
    process.wait(30)


def free_ports_for_server() -> tuple[int, int, int]:
    import socket

    sockets = [socket.socket() for _ in range(3)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    first, second, third = (int(each.getsockname()[1]) for each in sockets)
    for each in sockets:
        each.close()
    return first, second, third


def load(server: triton_http.InferenceServerClient, name: str) -> None:
    server.load_model(name, headers={"longtail-admin": "key"})


def infer(server: triton_http.InferenceServerClient, name: str, rows: list[list[float]]) -> np.ndarray:
    array = np.array(rows, dtype=np.float32)
    tensor = triton_http.InferInput("x", list(array.shape), "FP32")
    tensor.set_data_from_numpy(array)
    return np.asarray(server.infer(name, [tensor]).as_numpy("y"))


def test_the_batch_that_triton_hands_over_is_one_run(server: triton_http.InferenceServerClient) -> None:
    before = statistics(server, "double")
    tensors = []
    for index in range(8):
        tensor = triton_http.InferInput("x", [1, 3], "FP32")
        tensor.set_data_from_numpy(np.full((1, 3), index, dtype=np.float32))
        tensors.append(server.async_infer("double", [tensor]))
    for index, pending in enumerate(tensors):
        np.testing.assert_array_equal(pending.get_result().as_numpy("y"), np.full((1, 3), 2.0 * index))
    time.sleep(0.5)  # statistics lag behind answers
    after = statistics(server, "double")
    assert after[0] - before[0] == 8
    assert after[1] - before[1] <= 3


def test_a_configuration_with_every_honoured_key_serves(server: triton_http.InferenceServerClient) -> None:
    load(server, "tuned")
    np.testing.assert_array_equal(infer(server, "tuned", [[1, 2, 3], [4, 5, 6]]), [[2, 4, 6], [8, 10, 12]])


def test_the_openvino_accelerator_serves(server: triton_http.InferenceServerClient) -> None:
    load(server, "openvino")
    np.testing.assert_allclose(infer(server, "openvino", [[1, 2, 3]]), [[2, 4, 6]], rtol=1e-2)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_honoured_is_refused_by_name(server: triton_http.InferenceServerClient, name: str) -> None:
    with pytest.raises(InferenceServerException) as refused:
        load(server, f"refused_{name}")
    assert REFUSED[name][2] in str(refused.value)
    np.testing.assert_array_equal(infer(server, "double", [[1, 1, 1]]), [[2, 2, 2]])


def test_a_failing_run_is_an_error_in_onnxruntimes_words(server: triton_http.InferenceServerClient) -> None:
    load(server, "failing")
    with pytest.raises(InferenceServerException, match=r"onnx runtime error \d+: "):
        infer(server, "failing", [[1, 2, 300]])
    np.testing.assert_array_equal(infer(server, "failing", [[0, 0, 0]]), [[0, 0, 0]])


def test_a_failing_batch_fails_each_of_its_requests_and_nothing_else(server: triton_http.InferenceServerClient) -> None:
    load(server, "failing")
    for _ in range(3):
        pending = []
        for largest in (0, 0, 300, 0, 0, 0, 0, 0):
            tensor = triton_http.InferInput("x", [1, 3], "FP32")
            tensor.set_data_from_numpy(np.array([[0, 0, largest]], dtype=np.float32))
            pending.append(server.async_infer("failing", [tensor]))
        outcomes = []
        for each in pending:
            try:
                each.get_result()
                outcomes.append("answered")
            except InferenceServerException as error:
                outcomes.append(str(error))
        assert any("onnx runtime error" in outcome for outcome in outcomes)
        assert all(outcome == "answered" or "onnx runtime error" in outcome for outcome in outcomes)
    np.testing.assert_array_equal(infer(server, "double", [[1, 1, 1]]), [[2, 2, 2]])
    np.testing.assert_array_equal(infer(server, "double", [[1, 1, 1]]), [[2, 2, 2]])


def test_administration_needs_the_key(server: triton_http.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="longtail-admin"):
        server.load_model("double")


def statistics(server: triton_http.InferenceServerClient, name: str) -> tuple[int, int]:
    model: dict[str, Any] = server.get_inference_statistics(name)["model_stats"][0]
    return int(model["inference_count"]), int(model["execution_count"])
