"""The doctor's rules about configurations: what Triton is told, against what it will do with it.

Source: triton-inference-server/server, docs/user_guide/{model_configuration,batcher,response_cache}.md, release r24.10;
what is said of Triton's behaviour was run on 2.51.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from longtail_export.config_profiles import BUCKETS_PARAMETER
from longtail_export.doctor import Machine, Place, Rule
from longtail_export.doctor_repository import ConfigFile, ModelFolder, ModelRepository

_BATCH_IN_FLIGHT = frozenset({"longtail_generator", "vllm", "tensorrtllm"})
"""Backends whose engine lets requests join one by one, and opens and warms itself up when it loads."""

_IGNORE_PARAMETERS = frozenset({"onnxruntime", "tensorrt", "pytorch", "tensorflow", "openvino", "fil", "ensemble"})
"""Backends whose answer no parameter of a request can change."""


def _unreadable_config(repository: ModelRepository, _: Machine) -> Iterator[Place]:
    for model in repository.models:
        for config in model.configs:
            if config.problem:
                yield Place(config.path, config.line_of_problem, config.problem)


def _unpinned_versions(repository: ModelRepository, _: Machine) -> Iterator[Place]:
    for model in repository.models:
        if not model.configs:
            yield Place(model.path / "config.pbtxt", 1, "there is no configuration, so the newest version is served")
        for config in model.readable:
            if config.pinned_versions is None:
                policy = next(iter(config.fields.get("version_policy", {})), "")
                told = f"version_policy is '{policy}'" if policy else "there is no version_policy"
                yield Place(config.path, config.line_of("version_policy"), f"{told}, expected 'specific'")


def _unequal_shapes(repository: ModelRepository, _: Machine) -> Iterator[Place]:
    for config in _batching(repository):
        if config.buckets:
            continue
        for tensor in config.inputs:
            if "-1" in tensor.get("dims", ()) and not tensor.get("allow_ragged_batch"):
                what = f"input '{tensor['name']}' has an open dimension, and nothing says that clients pad it"
                yield Place(config.path, config.line_of_name(tensor["name"]), what)


def _optional_inputs(repository: ModelRepository, _: Machine) -> Iterator[Place]:
    for config in _batching(repository):
        if config.backend not in _BATCH_IN_FLIGHT:
            for tensor in config.inputs:
                if tensor.get("optional"):
                    what = f"input '{tensor['name']}' is optional"
                    yield Place(config.path, config.line_of_name(tensor["name"]), what)


def _no_dynamic_batching(repository: ModelRepository, _: Machine) -> Iterator[Place]:
    for config in repository.configs():
        schedulers = ("dynamic_batching", "sequence_batching", "ensemble_scheduling")
        if config.max_batch_size > 1 and not any(name in config.fields for name in schedulers):
            what = f"max_batch_size is {config.max_batch_size}, and there is no dynamic_batching"
            yield Place(config.path, config.line_of(r"\bmax_batch_size\b"), what)


def _decoupled_cache(repository: ModelRepository, _: Machine) -> Iterator[Place]:
    for config in _cached(repository):
        if config.decoupled:
            yield Place(config.path, config.line_of(r"\bresponse_cache\b"), "the model is decoupled, and has a cache")


def _cached_parameters(repository: ModelRepository, _: Machine) -> Iterator[Place]:
    for model in repository.models:
        for config in model.readable:
            if not _caches(config) or config.decoupled or config.backend in _IGNORE_PARAMETERS:
                continue
            reader = _reader_of_parameters(config, model)
            if reader:
                what = f"the response cache is on, and {reader} parameters of the request"
                yield Place(config.path, config.line_of(r"\bresponse_cache\b"), what)


def _no_warm_up(repository: ModelRepository, _: Machine) -> Iterator[Place]:
    for config in repository.configs():
        if config.backend in (*_BATCH_IN_FLIGHT, "ensemble"):
            continue
        samples = config.fields.get("model_warmup", ())
        if not samples:
            yield Place(config.path, config.line_of(r"^\s*(backend|platform)\b"), "there is no model_warmup")
            continue
        run = {
            int(dim)
            for sample in samples
            for tensor in sample.get("inputs", {}).values()
            for dim in tensor.get("dims", ())
        }
        missing = [bucket for bucket in config.buckets if bucket not in run]
        if missing:
            what = f"model_warmup runs none of the lengths {missing}, which {BUCKETS_PARAMETER} names"
            yield Place(config.path, config.line_of(r"\bmodel_warmup\b"), what)


def _batching(repository: ModelRepository) -> Iterator[ConfigFile]:
    return (config for config in repository.configs() if config.batches_dynamically)


def _cached(repository: ModelRepository) -> Iterator[ConfigFile]:
    return (config for config in repository.configs() if _caches(config))


def _caches(config: ConfigFile) -> bool:
    return bool(config.fields.get("response_cache", {}).get("enable"))


def _reader_of_parameters(config: ConfigFile, model: ModelFolder) -> str:
    """Say what reads a request's parameters; empty where nothing does."""
    if config.backend != "python":
        return f"backend '{config.backend}' may read"
    for folder in model.versions.values():
        for code in sorted(folder.rglob("*.py")):
            for number, line in enumerate(code.read_text(errors="replace").splitlines(), start=1):
                if re.search(r"\.parameters\b", line.partition("#")[0]):
                    return f"{code}:{number} reads"
    return ""


CONFIG_RULES = (
    Rule(
        "unreadable-config",
        "error",
        why="Triton reads the file as a ModelConfig message and refuses the model.",
        mend="Correct the line, or write the file anew with `longtail export config`.",
        find=_unreadable_config,
    ),
    Rule(
        "unpinned-versions",
        "error",
        why="Without a `specific` version policy Triton moves requests that pin no version to the newest one as soon "
        "as it loads, before anybody has compared its answers.",
        mend="Write `version_policy { specific { versions: [ … ] } }` with the versions that releases pin.",
        find=_unpinned_versions,
    ),
    Rule(
        "unequal-shapes",
        "warning",
        why="Triton puts only requests of equal shape into a batch: texts of six lengths run as six batches of one.",
        mend="Pad rows to a few lengths in the client and name them in the parameter `longtail.buckets`, as in "
        '"32,64,128,256"; or set `allow_ragged_batch` where the graph takes ragged input.',
        find=_unequal_shapes,
    ),
    Rule(
        "optional-inputs",
        "warning",
        why="A request with an optional input and one without it never share a batch, so mixed clients split every "
        "batch.",
        mend="Require the input, and let clients send its default.",
        find=_optional_inputs,
    ),
    Rule(
        "no-dynamic-batching",
        "warning",
        why="`max_batch_size` alone batches nothing: without a scheduler each request runs by itself.",
        mend="Add `dynamic_batching { }`, or set `max_batch_size` to 1.",
        find=_no_dynamic_batching,
    ),
    Rule(
        "decoupled-cache",
        "error",
        why="A decoupled model streams any number of answers, which the response cache cannot keep: Triton refuses to "
        "load such a model.",
        mend="Remove `response_cache`, or make the model answer once a request.",
        find=_decoupled_cache,
    ),
    Rule(
        "cached-parameters",
        "error",
        why="The key of the response cache is made of inputs alone: two requests that differ in their parameters get "
        "the same answer.",
        mend="Make what changes the answer an input that is always sent, or remove `response_cache`.",
        find=_cached_parameters,
    ),
    Rule(
        "no-warm-up",
        "warning",
        why="The first request of each shape pays for memory and for compiling, seconds on some backends, while the "
        "model already counts as ready.",
        mend="Add a `model_warmup` sample for each length that clients pad to; take inputs that are known to work, "
        "since a failing warm-up can end the server.",
        find=_no_warm_up,
    ),
)
"""The rules that read configurations alone."""
