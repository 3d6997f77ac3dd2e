"""Reading a Triton configuration into session options, and refusing what cannot be honoured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from longtail_bento.triton.backends.onnxruntime.session import SessionPlan, open_session


def plan_of(config: dict[str, Any], *, kind: str = "CPU", device_id: int = 0, **more: Any) -> SessionPlan:
    return SessionPlan.from_config({**config, **more}, kind=kind, device_id=device_id, version="3")


def parameters(**values: str) -> dict[str, dict[str, str]]:
    return {key: {"string_value": value} for key, value in values.items()}


def test_a_plain_configuration_leaves_everything_to_onnx_runtime(lookup_config: dict[str, Any]) -> None:
    assert plan_of(lookup_config) == SessionPlan()


def test_every_key_that_the_native_backend_reads_is_honoured(lookup_config: dict[str, Any]) -> None:
    plan = plan_of(
        lookup_config,
        parameters={
            **parameters(
                intra_op_thread_count="3",
                inter_op_thread_count="2",
                execution_mode="1",
                enable_mem_arena="0",
                enable_mem_pattern="0",
            ),
            "memory.enable_memory_arena_shrinkage": {"string_value": "cpu:0"},
        },
        optimization={
            "graph": {"level": -1},
            "execution_accelerators": {
                "cpu_execution_accelerator": [{"name": "openvino", "parameters": {"num_of_threads": "2"}}],
                "gpu_execution_accelerator": [{"name": "tensorrt"}],
            },
        },
    )
    assert plan == SessionPlan(
        intra_op_threads=3,
        inter_op_threads=2,
        execution_mode=1,
        graph_level=-1,
        mem_arena=False,
        mem_pattern=False,
        arena_shrinkage="cpu:0",
        accelerators=(("openvino", {"num_of_threads": "2"}),),
    )


def test_an_instance_on_a_gpu_reads_the_gpus_accelerators(lookup_config: dict[str, Any]) -> None:
    accelerators = {
        "cpu_execution_accelerator": [{"name": "openvino"}],
        "gpu_execution_accelerator": [{"name": "cuda", "parameters": {"a": "b"}}],
    }
    plan = plan_of(lookup_config, kind="GPU", device_id=1, optimization={"execution_accelerators": accelerators})
    assert plan.accelerators == (("cuda", {"a": "b"}),)
    assert plan.device_id == 1


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("execution_mode", "7", "execution_mode: expected 0 or 1, got 7"),
        ("execution_mode", "fast", "'execution_mode': expected an integer, got 'fast'"),
        ("intra_op_thread_count", "abc", "'intra_op_thread_count': expected an integer, got 'abc'"),
        ("intra_op_thread_count", "-1", "'intra_op_thread_count': expected 0 to 1024 threads, got -1"),
        ("inter_op_thread_count", "1.5", "'inter_op_thread_count': expected an integer, got '1.5'"),
        ("inter_op_thread_count", "1025", "'inter_op_thread_count': expected 0 to 1024 threads, got 1025"),
        ("enable_mem_arena", "yes", "'enable_mem_arena': expected an integer, got 'yes'"),
        ("enable_mem_pattern", "", "'enable_mem_pattern': expected an integer, got ''"),
    ],
)
def test_a_parameter_out_of_range_is_refused_by_name(
    lookup_config: dict[str, Any], key: str, value: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plan_of(lookup_config, parameters=parameters(**{key: value}))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"batch_input": [{"kind": "BATCH_ELEMENT_COUNT"}]}, "lookup: .* batch inputs .'batch_input'."),
        ({"batch_output": [{"kind": "BATCH_SCATTER"}]}, "lookup: .* batch outputs .'batch_output'."),
        ({"sequence_batching": {"oldest": {}}}, "lookup: .* sequence batching"),
        ({"model_operations": {"op_library_filename": ["ops.so"]}}, "lookup: .* custom operator libraries"),
        ({"input": []}, "lookup: write every input and output"),
        ({"output": []}, "lookup: write every input and output"),
        (
            {"input": [{"name": "ids", "data_type": "TYPE_INT64", "dims": ["-1"], "allow_ragged_batch": True}]},
            "lookup: .* ragged batches .*'ids'",
        ),
    ],
)
def test_a_section_that_cannot_be_honoured_is_refused_by_name(
    lookup_config: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plan_of(lookup_config, **more)


def test_sections_that_ask_for_nothing_are_no_obstacle(lookup_config: dict[str, Any]) -> None:
    plan = plan_of(lookup_config, batch_input=[], model_operations={"op_library_filename": []})
    assert plan == SessionPlan()


def test_parameters_that_nobody_reads_are_said_to_be_ignored(lookup_config: dict[str, Any]) -> None:
    plan = plan_of(
        lookup_config,
        parameters={**parameters(zeal="9", intra_op_threads="4"), "longtail.note": {"string_value": "ours"}},
    )
    assert [message.split("'")[1] for message in plan.ignored] == ["intra_op_threads", "zeal"]
    assert plan.intra_op_threads == 0


@pytest.mark.parametrize("intra", [1, 2])
@pytest.mark.parametrize("inter", [1, 3])
def test_thread_counts_reach_the_session(
    lookup_graph: Path, lookup_config: dict[str, Any], intra: int, inter: int
) -> None:
    counts = parameters(intra_op_thread_count=str(intra), inter_op_thread_count=str(inter))
    options = open_session(lookup_graph / "1" / "model.onnx", plan_of(lookup_config, parameters=counts))
    options = options.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (intra, inter)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (-1, ort.GraphOptimizationLevel.ORT_ENABLE_BASIC),
        (0, ort.GraphOptimizationLevel.ORT_ENABLE_ALL),
        (1, ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED),
        (2, ort.GraphOptimizationLevel.ORT_DISABLE_ALL),
    ],
)
def test_other_options_reach_the_session(lookup_graph: Path, level: int, expected: Any) -> None:
    plan = SessionPlan(execution_mode=1, graph_level=level, mem_arena=False, mem_pattern=False)
    options = open_session(lookup_graph / "1" / "model.onnx", plan).get_session_options()
    assert options.graph_optimization_level == expected
    assert options.execution_mode == ort.ExecutionMode.ORT_PARALLEL
    assert not options.enable_cpu_mem_arena
    assert not options.enable_mem_pattern


def test_a_planned_session_runs_the_graph(lookup_graph: Path) -> None:
    plan = SessionPlan(intra_op_threads=1, arena_shrinkage="cpu:0")
    session = open_session(lookup_graph / "1" / "model.onnx", plan)
    (rows,) = session.run(["rows"], {"ids": np.array([[3, 1]])}, plan.run_options())
    assert rows.tolist() == [[[3, 30], [1, 10]]]
    assert session.get_providers() == ["CPUExecutionProvider"]


def test_the_arena_shrinks_where_the_configuration_says_so() -> None:
    key = "memory.enable_memory_arena_shrinkage"
    assert SessionPlan(arena_shrinkage="cpu:0").run_options().get_run_config_entry(key) == "cpu:0"


@pytest.mark.parametrize("names", [["tensorrt"], ["openvino", "tensorrt"], ["tensorrt", "openvino"]])
def test_an_accelerator_that_cpus_do_not_have_is_refused_as_the_native_backend_does(
    lookup_graph: Path, names: list[str]
) -> None:
    plan = SessionPlan(accelerators=tuple((name, {}) for name in names))
    with pytest.raises(ValueError, match=r"^unknown Execution Accelerator 'tensorrt' is requested$"):
        open_session(lookup_graph / "1" / "model.onnx", plan)


def test_an_unknown_accelerator_is_refused_on_a_gpu_too(lookup_graph: Path) -> None:
    plan = SessionPlan(accelerators=(("openvino", {}),), device_id=0)
    with pytest.raises(ValueError, match="unknown Execution Accelerator 'openvino' is requested"):
        open_session(lookup_graph / "1" / "model.onnx", plan)


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="this machine has CUDA")
@pytest.mark.parametrize(
    ("accelerators", "missing"),
    [((), "CUDAExecutionProvider"), ((("tensorrt", {}),), "TensorrtExecutionProvider")],
)
def test_a_gpu_that_is_not_there_is_an_error_and_never_the_cpu(
    lookup_graph: Path, accelerators: Any, missing: str
) -> None:
    plan = SessionPlan(accelerators=accelerators, device_id=0)
    with pytest.raises(ValueError, match=f"instance on GPU 0 needs {missing}.*install longtail\\[gpu\\]"):
        open_session(lookup_graph / "1" / "model.onnx", plan)


def test_a_decoupled_model_is_refused_by_name(lookup_config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="'decoupled'"):
        plan_of(lookup_config, model_transaction_policy={"decoupled": True})
