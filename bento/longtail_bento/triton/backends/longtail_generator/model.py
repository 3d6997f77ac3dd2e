"""The generator as a Triton model that speaks the vLLM backend's contract.

The version folder holds data only: `generator.json` names the engine and its options, the weights lie beside it.

Source: triton-inference-server/vllm_backend, release r24.10.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from longtail_bento.triton.backends.longtail_generator.engine import SamplingParameters
from longtail_bento.triton.backends.longtail_generator.loop import EngineLoop, Job
from longtail_bento.triton.backends.longtail_generator.opening import engine_opener


class TritonPythonModel:
    """One instance of one generator version; Triton calls these methods."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Open the engine that the version asks for, and see it write."""
        folder = Path(args["model_repository"]) / args["model_version"]
        family = pb_utils.MetricFamily(
            name="longtail_generator_running_texts",
            description="Texts that the engine is writing now.",
            kind=pb_utils.MetricFamily.GAUGE,
        )
        self._family = family  # Triton drops a metric whose family is collected
        self._running = family.Metric(labels={"model": args["model_name"], "version": args["model_version"]})
        try:
            self._loop = EngineLoop(engine_opener(folder, device=_device(args)), observe=self._running.set)
        except (ValueError, OSError) as error:
            raise pb_utils.TritonModelException(f"{folder}: {error}") from error

    def execute(self, requests: Sequence[Any]) -> None:
        """Let every request join the engine; the answers leave from the engine's thread."""
        for request in requests:
            sink = _TritonSink(request.get_response_sender())
            try:
                job = _job(request, sink)
            except ValueError as error:
                sink.fail(str(error))
                continue
            self._loop.submit(job)

    def finalize(self) -> None:
        """Cancel what runs and close the engine."""
        self._loop.close()


class _TritonSink:
    """See `loop.Sink`."""

    def __init__(self, sender: Any) -> None:
        self._sender = sender

    def send(self, texts: list[str], *, final: bool) -> None:
        flags = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL if final else 0
        if not texts:
            self._sender.send(flags=flags)
            return
        output = pb_utils.Tensor("text_output", np.array([[text.encode() for text in texts]], dtype=np.object_))
        self._sender.send(pb_utils.InferenceResponse(output_tensors=[output]), flags=flags)

    def fail(self, message: str) -> None:
        error = pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG)
        self._sender.send(pb_utils.InferenceResponse(error=error), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def cancelled(self) -> bool:
        return bool(self._sender.is_cancelled())


def _device(args: Mapping[str, str]) -> str | None:
    """Read where Triton places the instance; ``KIND_MODEL`` leaves that to the version's recipe."""
    kind = args["model_instance_kind"]
    if kind == "GPU":
        return f"cuda:{args['model_instance_device_id']}"
    return "cpu" if kind == "CPU" else None


def _job(request: Any, sink: _TritonSink) -> Job:
    prompt = _scalar(request, "text_input", b"")
    stream = bool(_scalar(request, "stream", False))
    excluded = bool(_scalar(request, "exclude_input_in_output", stream))
    if stream and not excluded:
        raise ValueError("exclude_input_in_output: expected true with stream, got false; a stream holds new text only")
    given = _scalar(request, "sampling_parameters", None)
    sampling = SamplingParameters.from_json(_request_parameters(request) if given is None else given.decode())
    return Job(prompt.decode(), sampling, stream=stream, echo_prompt=not excluded, sink=sink)


def _request_parameters(request: Any) -> str:
    """Read sampling parameters that came as parameters of the request, beside what Triton itself puts there."""
    parameters = json.loads(request.parameters() or "{}")
    return json.dumps({key: value for key, value in parameters.items() if key in SamplingParameters.__slots__})


def _scalar(request: Any, name: str, default: Any) -> Any:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    if tensor is None:
        return default
    values = tensor.as_numpy().reshape(-1)
    if len(values) != 1:
        raise ValueError(f"{name}: expected one value a request, got {len(values)}; send one request a prompt")
    return values[0]
