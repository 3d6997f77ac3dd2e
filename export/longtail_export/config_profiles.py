"""What each profile says of each model, beyond the contract: backend, batching, instances, accelerators, warm-up.

`config_writer` turns a profile, the contract and what is published into a ``config.pbtxt``. To change how a model is
served, change it here and run ``longtail export config``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from longtail_client.contract import GENERATOR, TEXT_ENCODER, ModelSpec
from longtail_client.encoder import LENGTH_BUCKETS

BASE = "base"
"""The profile that Triton takes where it is told of none, and where a model lacks the one that it is told of."""

BUCKETS_PARAMETER = "longtail.buckets"
"""Parameter that lists the token counts that clients pad rows to."""

_WARM_UP_TOKENS = 1024
"""Tokens in one warm-up batch: enough to open every code path, little enough to start in a second."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What runs a graph in place of ONNX Runtime's own kernels: ``openvino`` on CPU, ``cuda`` or ``tensorrt`` on GPU.

    Attributes:
        name: As Triton's configuration names it.
        parameters: Its own options, as strings.
    """

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WarmUp:
    """One batch of zeros that Triton runs before a version counts as ready.

    Attributes:
        name: What it is, for Triton's log.
        batch_size: Rows, at least 1.
        dims: Dims of each input without the batch dimension, by the input's name.
    """

    name: str
    batch_size: int
    dims: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """How one model is served on one kind of host.

    Attributes:
        model: What crosses to Triton.
        profile: `BASE`, or the name that ``--model-config-name`` chooses it by.
        about: What a reader of the file should know first, in sentences.
        backend: Triton's name of the backend.
        max_batch_size: Rows of the largest batch; 0 for a backend that does its own batching.
        kind: ``KIND_CPU``, ``KIND_GPU``, or ``KIND_MODEL`` where the backend places the model itself.
        instances: Instances of each version.
        queue_delay_us: Microseconds that a batch may wait for more rows; None for no dynamic batching.
        accelerators: What runs the graph, in order of preference.
        warm_ups: What is run before a version is ready.
        buckets: Token counts that clients pad rows to; empty where no input has an open dimension.
        parameters: The backend's own keys.
        engines: Engines of the versions that this backend serves; None where it serves every version.
    """

    model: ModelSpec
    profile: str
    about: str
    backend: str
    max_batch_size: int
    kind: str
    instances: int = 1
    queue_delay_us: int | None = None
    accelerators: tuple[Accelerator, ...] = ()
    warm_ups: tuple[WarmUp, ...] = ()
    buckets: tuple[int, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    engines: frozenset[str] | None = None

    @property
    def file(self) -> Path:
        """Where the configuration lies in the model's folder."""
        return Path("config.pbtxt") if self.profile == BASE else Path("configs") / f"{self.profile}.pbtxt"


def _bucket_warm_ups() -> tuple[WarmUp, ...]:
    """Run every bucket once, since a backend may compile for each shape that it meets."""
    return tuple(
        WarmUp(
            f"{bucket} tokens",
            batch_size=_WARM_UP_TOKENS // bucket,
            dims={tensor.name: (bucket,) for tensor in TEXT_ENCODER.inputs},
        )
        for bucket in LENGTH_BUCKETS
    )


_ENCODER = ModelProfile(
    TEXT_ENCODER,
    BASE,
    "Token ids in, unit vectors out: NVIDIA's onnxruntime backend serves it, and so does longtail's stand-in. "
    "This file runs anywhere; --model-config-name chooses configs/cpu.pbtxt or configs/gpu.pbtxt instead.",
    backend="onnxruntime",
    max_batch_size=64,
    kind="KIND_CPU",
    queue_delay_us=500,
    warm_ups=_bucket_warm_ups(),
    buckets=LENGTH_BUCKETS,
)
_GENERATOR = ModelProfile(
    GENERATOR,
    BASE,
    "Text in, text out, streamed: the contract of Triton's vLLM backend, spoken by longtail's own, which batches in "
    "flight. NVIDIA's takes over in configs/gpu.pbtxt.",
    backend="longtail_generator",
    max_batch_size=32,
    kind="KIND_CPU",
    queue_delay_us=0,
    engines=frozenset({"openvino", "transformers"}),
)

PROFILES: tuple[ModelProfile, ...] = (
    _ENCODER,
    replace(
        _ENCODER,
        profile="cpu",
        about="Token ids in, unit vectors out: NVIDIA's onnxruntime backend serves it, and so does longtail's "
        "stand-in. For hosts without a GPU: OpenVINO computes each version in its own precision.",
        accelerators=(Accelerator("openvino"),),
    ),
    replace(
        _ENCODER,
        profile="gpu",
        about="Token ids in, unit vectors out, on NVIDIA GPUs: the onnxruntime backend with its CUDA provider.",
        kind="KIND_GPU",
        accelerators=(Accelerator("cuda"),),
    ),
    _GENERATOR,
    replace(_GENERATOR, profile="cpu"),
    replace(
        _GENERATOR,
        profile="gpu",
        about="Text in, text out, streamed, by NVIDIA's vLLM backend, which brings its own batching and places the "
        "model itself. It serves the versions that hold a model.json.",
        backend="vllm",
        max_batch_size=0,
        kind="KIND_MODEL",
        queue_delay_us=None,
        engines=frozenset({"vllm"}),
    ),
)
"""Every configuration file in the model repository."""


def profiles_of(model: str) -> tuple[ModelProfile, ...]:
    """Return the profiles of one model, the base first."""
    return tuple(profile for profile in PROFILES if profile.model.name == model)
