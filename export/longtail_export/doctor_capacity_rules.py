"""The doctor's rules about the host: instances against its cores, tensors against its ``/dev/shm``.

Source: triton-inference-server/core, src/model_config_utils.cc, and triton-inference-server/python_backend, release
r24.10; the size of a region was read off a running 2.51.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from longtail_export.doctor import Machine, Place, Rule
from longtail_export.doctor_repository import ConfigFile, ModelFolder, ModelRepository

_TAKE_ALL_CORES = frozenset({"onnxruntime", "pytorch", "tensorflow", "openvino"})
"""Backends where one instance starts as many threads as there are cores, unless it is told otherwise."""

_TWO_BY_DEFAULT = frozenset({"onnxruntime", "tensorflow"})
"""Backends of which Triton starts two instances on CPU where a configuration names no count."""

_ON_PYTHON_BACKEND = frozenset({"python", "onnxruntime", "longtail_generator", "vllm"})
"""Backends that are, or may be, python: each instance talks to its process through ``/dev/shm``."""

_REGION_BYTES = 1 << 20
"""What the python backend takes of ``/dev/shm`` for an instance when it starts it (24.10)."""

_BYTES_OF = {"BOOL": 1, "UINT8": 1, "INT8": 1, "UINT16": 2, "INT16": 2, "FP16": 2, "BF16": 2}
_BYTES_OF |= {"INT64": 8, "UINT64": 8, "FP64": 8, "STRING": 1024}


def _too_many_instances(repository: ModelRepository, machine: Machine) -> Iterator[Place]:
    for config in repository.configs():
        count = _cpu_instances(config)
        threads = _threads(config, machine)
        if count > 1 and count * threads > machine.cores:
            what = f"{count} instances of {threads} threads each share {machine.cores} cores"
            yield Place(config.path, config.line_of(r"\binstance_group\b"), what)


def _small_shm(repository: ModelRepository, machine: Machine) -> Iterator[Place]:
    needs = [_largest_need(model) for model in repository.models if model.readable]
    total = sum(need for need, _ in needs)
    if total > machine.shm_bytes:
        _, config = max(needs, key=lambda need: need[0])
        what = (
            f"the host's /dev/shm has {machine.shm_bytes / 2**20:.1f} MiB, and the models of this repository take "
            f"{total / 2**20:.1f} MiB, most of them this one"
        )
        yield Place(config.path, config.line_of(r"\binstance_group\b"), what)


def _largest_need(model: ModelFolder) -> tuple[int, ConfigFile]:
    """Say how much of ``/dev/shm`` a model takes under the profile that takes most."""
    return max(((_shm_bytes(config, model), config) for config in model.readable), key=lambda need: need[0])


def _shm_bytes(config: ConfigFile, model: ModelFolder) -> int:
    """Add up, over instances of every served version, what each starts with and its largest batch."""
    if config.backend not in _ON_PYTHON_BACKEND:
        return 0
    pinned = config.pinned_versions
    n_versions = 1 if pinned is None else len(set(pinned) & set(model.versions)) or len(pinned)
    row = sum(_row_bytes(tensor, config) for tensor in (*config.inputs, *config.outputs))
    batch = row * max(config.max_batch_size, 1)
    return n_versions * max(_instances(config), 1) * (_REGION_BYTES + batch)


def _row_bytes(tensor: Mapping[str, Any], config: ConfigFile) -> int:
    longest = max(config.buckets, default=1)
    dims = [int(dim) if int(dim) > 0 else longest for dim in tensor.get("dims", ())]
    return math.prod(dims) * _BYTES_OF.get(str(tensor.get("data_type", "")).removeprefix("TYPE_"), 4)


def _instances(config: ConfigFile) -> int:
    groups = config.fields.get("instance_group") or [{}]
    return sum(_count(group, config) for group in groups)


def _cpu_instances(config: ConfigFile) -> int:
    """Count the instances on CPU; where a group names no kind, Triton takes the CPU of a host without GPU."""
    groups = config.fields.get("instance_group") or [{}]
    on_cpu = (group for group in groups if group.get("kind", "KIND_AUTO") in ("KIND_AUTO", "KIND_CPU"))
    return sum(_count(group, config) for group in on_cpu)


def _count(group: Mapping[str, Any], config: ConfigFile) -> int:
    return int(group.get("count", 0)) or (2 if config.backend in _TWO_BY_DEFAULT else 1)


def _threads(config: ConfigFile, machine: Machine) -> int:
    told = config.parameters.get("intra_op_thread_count", "")
    if told.isdecimal() and int(told) > 0:
        return int(told)
    return machine.cores if config.backend in _TAKE_ALL_CORES else 1


CAPACITY_RULES = (
    Rule(
        "too-many-instances",
        "warning",
        why="Instances whose threads outnumber the cores take turns on them: every request gets slower, none gets done "
        "sooner. Without a count, Triton starts two instances of an onnxruntime model on CPU.",
        mend="Say `count: 1`, or give each instance its share of the cores with the parameter `intra_op_thread_count`.",
        find=_too_many_instances,
    ),
    Rule(
        "small-shm",
        "error",
        why="Each instance of a python-based model passes tensors through `/dev/shm`: one region of 1 MiB when it "
        "starts, which grows by the largest batch. When it is full, models fail to load, or requests fail.",
        mend="Give the container more (`docker run --shm-size=1g`; an `emptyDir` of medium Memory at `/dev/shm` in "
        "Kubernetes), or lower instance counts or `max_batch_size`.",
        find=_small_shm,
    ),
)
"""The rules that compare a repository with a host."""
