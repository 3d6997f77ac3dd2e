"""A Triton model configuration in, an ONNX Runtime session out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnxruntime as ort

from longtail_bento.triton.backends.onnxruntime.openvino_session import OpenVinoSession
from longtail_client.contract import version_parameter

_GRAPH_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}
_EXECUTION_MODES = {0: ort.ExecutionMode.ORT_SEQUENTIAL, 1: ort.ExecutionMode.ORT_PARALLEL}
_THREADS_AND_MEMORY = ("intra_op_thread_count", "inter_op_thread_count", "execution_mode", "enable_mem_arena")
_HONOURED_PARAMETERS = {*_THREADS_AND_MEMORY, "enable_mem_pattern", "memory.enable_memory_arena_shrinkage"}
_GPU_PROVIDERS = {"tensorrt": "TensorrtExecutionProvider", "cuda": "CUDAExecutionProvider"}
_REFUSED_SECTIONS = {
    "batch_input": "batch inputs",
    "batch_output": "batch outputs",
    "sequence_batching": "sequence batching",
    "model_operations": "custom operator libraries",
}


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """How a session is opened, read from the keys that the C++ backend reads.

    Attributes:
        intra_op_threads: Threads inside an operator; 0 leaves it to ONNX Runtime.
        inter_op_threads: Threads across operators; 0 leaves it to ONNX Runtime.
        execution_mode: 0 runs operators one after another, 1 side by side.
        graph_level: -1 basic, 1 extended, 2 none; any other value, all optimisations.
        mem_arena: Whether CPU memory comes from an arena.
        mem_pattern: Whether memory is planned from the shapes seen.
        arena_shrinkage: Devices whose arena shrinks after a run, as in ``cpu:0``; empty for none.
        accelerators: Names and options of the execution accelerators, in order.
        device_id: The CUDA device of this instance; None on CPU.
        precision: What the version says of itself in the parameter ``longtail.<version>.precision``; None if nothing.
        ignored: What the configuration asks for and nobody reads.
    """

    intra_op_threads: int = 0
    inter_op_threads: int = 0
    execution_mode: int = 0
    graph_level: int = 0
    mem_arena: bool = True
    mem_pattern: bool = True
    arena_shrinkage: str = ""
    accelerators: tuple[tuple[str, Mapping[str, str]], ...] = ()
    device_id: int | None = None
    precision: str | None = None
    ignored: tuple[str, ...] = field(default=())

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, kind: str, device_id: int, version: str) -> SessionPlan:
        """Read a model configuration.

        Args:
            config: The configuration as Triton hands it over, JSON decoded.
            kind: The instance's ``CPU`` or ``GPU``.
            device_id: The instance's CUDA device, where there is one.
            version: The version that is loaded.

        Raises:
            ValueError: The configuration asks for what this backend cannot honour; the message names it.
        """
        for section, meaning in _REFUSED_SECTIONS.items():
            if config.get(section) and (section != "model_operations" or config[section].get("op_library_filename")):
                raise ValueError(f"{config['name']}: this onnxruntime backend does not support {meaning} ('{section}')")
        if config.get("model_transaction_policy", {}).get("decoupled"):
            raise ValueError(f"{config['name']}: an onnxruntime model answers once a request ('decoupled')")
        if not config.get("input") or not config.get("output"):
            raise ValueError(
                f"{config['name']}: write every input and output into the configuration; none is completed"
            )
        for tensor in config["input"]:
            if tensor.get("allow_ragged_batch"):
                raise ValueError(
                    f"{config['name']}: this onnxruntime backend does not support ragged batches "
                    f"('allow_ragged_batch' of input '{tensor['name']}')"
                )
        parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
        execution_mode = _integer(parameters, "execution_mode", 0)
        if execution_mode not in _EXECUTION_MODES:
            raise ValueError(f"execution_mode: expected 0 or 1, got {execution_mode}")
        optimization = config.get("optimization", {})
        chosen = optimization.get("execution_accelerators", {}).get(f"{kind.lower()}_execution_accelerator", [])
        return cls(
            intra_op_threads=_threads(parameters, "intra_op_thread_count"),
            inter_op_threads=_threads(parameters, "inter_op_thread_count"),
            execution_mode=execution_mode,
            graph_level=int(optimization.get("graph", {}).get("level", 0)),
            mem_arena=bool(_integer(parameters, "enable_mem_arena", 1)),
            mem_pattern=bool(_integer(parameters, "enable_mem_pattern", 1)),
            arena_shrinkage=parameters.get("memory.enable_memory_arena_shrinkage", ""),
            accelerators=tuple((item["name"], dict(item.get("parameters", {}))) for item in chosen),
            device_id=device_id if kind == "GPU" else None,
            precision=parameters.get(version_parameter(version, "precision")),
            ignored=tuple(
                f"parameter '{key}' is read neither here nor by the C++ onnxruntime backend"
                for key in sorted(parameters)
                if key not in _HONOURED_PARAMETERS and not key.startswith("longtail.")
            ),
        )

    def run_options(self) -> Any:
        """Make the options that every run of the session takes."""
        options = ort.RunOptions()
        if self.arena_shrinkage:
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", self.arena_shrinkage)
        return options


def open_session(path: Path, plan: SessionPlan) -> Any:
    """Open an ONNX file as planned.

    Raises:
        ValueError: An accelerator or a device is not to be had; ONNX Runtime never falls back quietly to another.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = plan.intra_op_threads
    options.inter_op_num_threads = plan.inter_op_threads
    options.execution_mode = _EXECUTION_MODES[plan.execution_mode]
    options.graph_optimization_level = _GRAPH_LEVELS.get(plan.graph_level, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
    options.enable_cpu_mem_arena = plan.mem_arena
    options.enable_mem_pattern = plan.mem_pattern
    options.log_severity_level = 3
    names = [name for name, _ in plan.accelerators]
    if plan.device_id is not None:
        return _open_on_gpu(path, plan, options)
    if set(names) == {"openvino"}:
        return OpenVinoSession(
            path,
            precision=plan.precision,
            threads=plan.intra_op_threads,
            parameters=plan.accelerators[0][1],
        )
    if names:
        raise ValueError(f"unknown Execution Accelerator '{next(n for n in names if n != 'openvino')}' is requested")
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _open_on_gpu(path: Path, plan: SessionPlan, options: Any) -> Any:
    device = {"device_id": str(plan.device_id)}
    providers: list[tuple[str, Mapping[str, str]]] = []
    for name, parameters in plan.accelerators:
        if name not in _GPU_PROVIDERS:
            raise ValueError(f"unknown Execution Accelerator '{name}' is requested")
        providers.append((_GPU_PROVIDERS[name], {**device, **parameters}))
    if "CUDAExecutionProvider" not in dict(providers):
        providers.append(("CUDAExecutionProvider", device))
    missing = [name for name, _ in providers if name not in ort.get_available_providers()]
    if missing:
        raise ValueError(
            f"instance on GPU {plan.device_id} needs {missing[0]}, this onnxruntime has "
            f"{ort.get_available_providers()}; install longtail[gpu] or start Triton with --model-config-name=cpu"
        )
    return ort.InferenceSession(path, options, providers=providers)


def _integer(parameters: Mapping[str, str], key: str, default: int) -> int:
    text = parameters.get(key)
    if text is None:
        return default
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(f"parameter '{key}': expected an integer, got '{text}'") from error


def _threads(parameters: Mapping[str, str], key: str) -> int:
    count = _integer(parameters, key, 0)
    if not 0 <= count <= 1024:
        raise ValueError(f"parameter '{key}': expected 0 to 1024 threads, got {count}")
    return count
