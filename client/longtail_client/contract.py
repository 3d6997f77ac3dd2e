"""What crosses to Triton: model names, tensor names, dtypes and shapes, each declared once.

Config files, client calls, backends and tests are all checked against this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from longtail_client.errors import ContractMismatch

Vector = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float32]
Array = npt.NDArray[np.generic]

ANY = -1
"""A dimension that the model leaves open."""


class Priority(IntEnum):
    """Levels of Triton's queues; a lower number is taken first. A model without levels ignores them."""

    INTERACTIVE = 1
    BULK = 2


NUMPY_DTYPES: Mapping[str, type[np.generic]] = {
    "BOOL": np.bool_,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP32": np.float32,
    "BYTES": np.object_,
}

INFERENCE_PRECISION: Mapping[str, str] = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}
"""The precisions of an encoder version, each with what OpenVINO is told to compute in. What an int8 graph leaves in
float is computed in float32, so that its vectors stay the same in any batch; a CPU without units for bf16 or fp16
computes in float32 whatever it is told."""


PROVENANCE = ("source", "source_sha256", "engine", "precision", "tokenizer_sha256")
"""What a configuration says of each version, in this order."""


def version_parameter(version: str | int, fact: str) -> str:
    """Name the configuration's parameter that says a fact of `PROVENANCE` of one version."""
    return f"longtail.{version}.{fact}"


def inference_options(precision: str) -> dict[str, str | int]:
    """Say how OpenVINO compiles an encoder version, when it is measured and when it is served.

    Args:
        precision: One of `INFERENCE_PRECISION`.
    """
    return {"INFERENCE_PRECISION_HINT": INFERENCE_PRECISION[precision], "PERFORMANCE_HINT": "LATENCY"}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor of a model; ``dims`` leaves out the batch dimension, as Triton's configs do.

    ``optional`` means that Triton accepts a request without it, as it does of inputs alone.
    """

    name: str
    dtype: str
    dims: tuple[int, ...]
    optional: bool = False

    def accepts(self, dims: tuple[int, ...]) -> bool:
        """Tell whether concrete (or configured) dims fit this spec; an open dim fits any."""
        return len(dims) == len(self.dims) and all(
            mine in (ANY, theirs) for mine, theirs in zip(self.dims, dims, strict=True)
        )


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model that Triton serves for longtail."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    decoupled: bool


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The part of a served model's configuration that the client acts on.

    ``max_batch_size`` is 0 for a model without a batch dimension, as Triton means it. ``versions`` are those of a
    ``specific`` version policy, oldest first, and empty under any other.
    """

    name: str
    backend: str
    max_batch_size: int
    decoupled: bool
    versions: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


TEXT_ENCODER = ModelSpec(
    name="text_encoder",
    inputs=(TensorSpec("input_ids", "INT64", (ANY,)), TensorSpec("attention_mask", "INT64", (ANY,))),
    outputs=(TensorSpec("embedding", "FP32", (ANY,)),),
    decoupled=False,
)
"""Token ids in, one unit vector a text out, pooled and normalised in the graph."""

GENERATOR = ModelSpec(
    name="generator",
    inputs=(
        TensorSpec("text_input", "BYTES", (1,)),
        TensorSpec("stream", "BOOL", (1,), optional=True),
        TensorSpec("sampling_parameters", "BYTES", (1,), optional=True),
        TensorSpec("exclude_input_in_output", "BOOL", (1,), optional=True),
    ),
    outputs=(TensorSpec("text_output", "BYTES", (ANY,)),),
    decoupled=True,
)
"""Text in, text out; the tensor names and meanings of Triton's vLLM backend.

Source: triton-inference-server/vllm_backend, release r24.10.
"""


def check_config(spec: ModelSpec, config: ModelConfig) -> None:
    """Refuse a served model whose configuration is not what longtail calls.

    Args:
        spec: What longtail declares.
        config: What Triton says it serves.

    Raises:
        ContractMismatch: A tensor is missing, extra, of another dtype or of dims that do not fit.
    """
    if config.decoupled != spec.decoupled:
        raise ContractMismatch(f"{spec.name}: expected decoupled {spec.decoupled}, got {config.decoupled}")
    for side, expected, found in (("input", spec.inputs, config.inputs), ("output", spec.outputs, config.outputs)):
        by_name = {tensor.name: tensor for tensor in found}
        if set(by_name) != {tensor.name for tensor in expected}:
            raise ContractMismatch(
                f"{spec.name}: expected {side}s {[tensor.name for tensor in expected]}, got {sorted(by_name)}"
            )
        for tensor in expected:
            got = by_name[tensor.name]
            if got.dtype != tensor.dtype or not tensor.accepts(got.dims):
                raise ContractMismatch(
                    f"{spec.name}.{tensor.name}: expected {tensor.dtype} {list(tensor.dims)}, "
                    f"got {got.dtype} {list(got.dims)}"
                )


def check_tensor(model: str, spec: TensorSpec, array: Array, *, batched: bool) -> None:
    """Refuse an array that does not fit its spec.

    Args:
        model: Name of the model, for the message.
        spec: The tensor's declaration.
        array: What is about to be sent, or what came back.
        batched: Whether the first dimension counts rows.

    Raises:
        ContractMismatch: Another dtype or another shape.
    """
    dims = array.shape[1:] if batched else array.shape
    if array.dtype != NUMPY_DTYPES[spec.dtype] or not spec.accepts(dims):
        raise ContractMismatch(
            f"{model}.{spec.name}: expected {spec.dtype} {list(spec.dims)}, got {array.dtype} {list(dims)}"
        )
