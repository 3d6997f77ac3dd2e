"""A stand-in for Triton's onnxruntime backend: an ONNX file in the version folder, one session run a batch.

Triton loads this where NVIDIA's C++ backend is not installed, from the same ``config.pbtxt``. It honours the keys that
the C++ backend honours and refuses, by name, what it cannot. Its error texts are the C++ backend's.

Source: triton-inference-server/onnxruntime_backend, release r24.10.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from longtail_bento.triton.backends.onnxruntime.session import SessionPlan, open_session
from longtail_bento.triton.backends.onnxruntime.signature import check_signature

_ORT_ERROR = re.compile(r"^\[ONNXRuntimeError\] : (\d+) : \w+ : (.*)$", re.DOTALL)


class TritonPythonModel:
    """One instance of one model version; Triton calls these methods."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Open the session and compare it with the configuration.

        Args:
            args: Triton's strings: ``model_config`` (JSON), ``model_repository``, ``model_version``,
                ``model_instance_kind``, ``model_instance_device_id``.
        """
        config = json.loads(args["model_config"])
        path = Path(args["model_repository"]) / args["model_version"] / config["default_model_filename"]
        try:
            plan = SessionPlan.from_config(
                config,
                kind=args["model_instance_kind"],
                device_id=int(args["model_instance_device_id"]),
                version=args["model_version"],
            )
            if not path.is_file():
                raise ValueError(f"unable to find '{path}' for model '{config['name']}'")
            self._session = open_session(path, plan)
            check_signature(config, self._session)
        except ValueError as error:
            raise pb_utils.TritonModelException(str(error)) from error
        except Exception as error:
            raise pb_utils.TritonModelException(f"{path}: {_as_triton(error)}") from error
        self._run_options = plan.run_options()
        self._batched = config["max_batch_size"] > 0
        self._inputs = [spec["name"] for spec in config["input"]]
        self._outputs = [spec["name"] for spec in config["output"]]
        for warning in plan.ignored:
            pb_utils.Logger.log_warn(f"{config['name']}: {warning}")

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer every request of a batch with one session run.

        Triton hands over requests of equal shape; without a batch dimension it hands over one at a time.

        Args:
            requests: Triton's requests.

        Returns:
            One response a request, in order.
        """
        if not self._batched:
            return [self._respond([request])[0] for request in requests]
        return self._respond(requests)

    def _respond(self, requests: Sequence[Any]) -> list[Any]:
        arrays = {
            name: [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for request in requests]
            for name in self._inputs
        }
        feed = {name: rows[0] if len(rows) == 1 else np.concatenate(rows) for name, rows in arrays.items()}
        try:
            results = self._session.run(self._outputs, feed, self._run_options)
        except Exception as error:
            # One error object a response: Triton frees each with its response, and dies of a shared one.
            return [
                pb_utils.InferenceResponse(error=pb_utils.TritonError(_as_triton(error), pb_utils.TritonError.INTERNAL))
                for _ in requests
            ]
        ends = np.cumsum([len(rows) for rows in arrays[self._inputs[0]]]) if self._batched else None
        responses = []
        for index, request in enumerate(requests):
            wanted = set(request.requested_output_names())
            tensors = []
            for name, result in zip(self._outputs, results, strict=True):
                if name in wanted:
                    part = result if ends is None else result[ends[index - 1] if index else 0 : ends[index]]
                    tensors.append(pb_utils.Tensor(name, np.ascontiguousarray(part)))
            responses.append(pb_utils.InferenceResponse(output_tensors=tensors))
        return responses


def _as_triton(error: Exception) -> str:
    """Write an ONNX Runtime error as the C++ backend writes it."""
    match = _ORT_ERROR.match(str(error))
    return f"onnx runtime error {match[1]}: {match[2]}" if match else str(error)
