"""A profile, the contract and what is published in, a ``config.pbtxt`` out; the same text for the same input.

The version policy is always `specific`: Triton would otherwise move unpinned requests to a version as soon as it loads.

Source: triton-inference-server/common, protobuf/model_config.proto, release r24.10.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from google.protobuf import text_encoding

from longtail_client.contract import ANY, ModelSpec, Priority, TensorSpec, version_parameter
from longtail_client.errors import ContractMismatch
from longtail_export.config_profiles import BUCKETS_PARAMETER, PROFILES, Accelerator, ModelProfile, WarmUp, profiles_of
from longtail_export.config_publication import PublishedVersion, published_versions, shared_dim

_WRITTEN_BY = "Written by `longtail export config`; change export/longtail_export/config_profiles.py instead."
_WIDTH = 120


class ConfigNotCurrent(ContractMismatch):
    """A configuration differs from what its profile and the published versions say."""


def config_texts(model_repository: Path, model: ModelSpec) -> dict[Path, str]:
    """Write every configuration of one model, in memory.

    Args:
        model_repository: Triton's model repository, whose version folders say what is published.
        model: The model.

    Returns:
        Text by path.

    Raises:
        ContractMismatch: Nothing is published, or versions differ in the length of their vectors.
        ReleaseInvalid: A manifest cannot be read.
    """
    versions = published_versions(model_repository, model.name)
    if not versions:
        raise ContractMismatch(
            f"{model_repository / model.name}: expected a published version, found none; export one first"
        )
    return {
        model_repository / model.name / profile.file: config_text(profile, versions)
        for profile in profiles_of(model.name)
    }


def write_configs(model_repository: Path, model: ModelSpec) -> list[Path]:
    """Make a model's configurations say what is published; a file that says so already is left alone.

    Args:
        model_repository: Triton's model repository.
        model: The model.

    Returns:
        The files that changed.

    Raises:
        ContractMismatch: Nothing is published, or versions differ in the length of their vectors.
        ReleaseInvalid: A manifest cannot be read.
    """
    changed = stale_configs(model_repository, model)
    for path, text in changed.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_name(f".{path.name}.{os.getpid()}")
        staged.write_text(text)
        staged.replace(path)  # Triton never reads half a file
    return list(changed)


def stale_configs(model_repository: Path, model: ModelSpec) -> dict[Path, str]:
    """Find the configurations of a model that are missing or differ, with the text that each should have."""
    return {
        path: text
        for path, text in config_texts(model_repository, model).items()
        if not path.is_file() or path.read_text() != text
    }


def configured_models() -> tuple[ModelSpec, ...]:
    """Return the models that have profiles."""
    return tuple({profile.model.name: profile.model for profile in PROFILES}.values())


def config_text(profile: ModelProfile, versions: Sequence[PublishedVersion]) -> str:
    """Write one configuration.

    Args:
        profile: How the model is served.
        versions: What is published, oldest first; those whose engine the backend does not serve are left out.

    Raises:
        ContractMismatch: Versions differ in the length of their vectors.
    """
    served = [version for version in versions if profile.engines is None or version.engine in profile.engines]
    dim = shared_dim(profile.model, (version.dim for version in served))
    return "\n".join([*_comment(profile), *_body(profile, served, dim)]) + "\n"


def _comment(profile: ModelProfile) -> Iterator[str]:
    for sentence in (profile.about, _WRITTEN_BY):
        yield from textwrap.wrap(sentence, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def _body(profile: ModelProfile, served: Sequence[PublishedVersion], dim: int | None) -> Iterator[str]:
    model = profile.model
    yield f"name: {_quoted(model.name)}"
    yield f"backend: {_quoted(profile.backend)}"
    yield f"max_batch_size: {profile.max_batch_size}"
    if model.decoupled:
        yield "model_transaction_policy { decoupled: true }"
    yield from _block("input", [_tensor(tensor, tensor.dims) for tensor in model.inputs])
    yield from _block("output", [_tensor(tensor, _output_dims(tensor, dim)) for tensor in model.outputs])
    yield f"version_policy {{ specific {{ versions: {_list(version.version for version in served)} }} }}"
    if profile.queue_delay_us is not None:
        yield "dynamic_batching {"
        if profile.queue_delay_us:
            yield f"  max_queue_delay_microseconds: {profile.queue_delay_us}"
        yield f"  priority_levels: {len(Priority)} default_priority_level: {Priority.INTERACTIVE.value}"
        yield "  default_queue_policy { allow_timeout_override: true }"
        yield "}"
    yield f"instance_group [ {{ count: {profile.instances} kind: {profile.kind} }} ]"
    if profile.accelerators:
        device = profile.kind.removeprefix("KIND_").lower()
        chosen = f"{device}_execution_accelerator [ {', '.join(map(_accelerator, profile.accelerators))} ]"
        yield f"optimization {{ execution_accelerators {{ {chosen} }} }}"
    if profile.warm_ups:
        yield from _block("model_warmup", [_warm_up(sample, model) for sample in profile.warm_ups])
    yield from _parameters(profile, served)


def _block(name: str, entries: Sequence[str]) -> Iterator[str]:
    yield f"{name} ["
    yield ",\n".join(f"  {entry}" for entry in entries)
    yield "]"


def _tensor(tensor: TensorSpec, dims: tuple[int, ...]) -> str:
    optional = " optional: true" if tensor.optional else ""
    return f"{{ name: {_quoted(tensor.name)} data_type: {_dtype(tensor)} dims: {_list(dims)}{optional} }}"


def _output_dims(tensor: TensorSpec, dim: int | None) -> tuple[int, ...]:
    """Close an output's open dimension where the published versions say how long a vector is."""
    return tensor.dims if dim is None else tuple(dim if each == ANY else each for each in tensor.dims)


def _dtype(tensor: TensorSpec) -> str:
    return f"TYPE_{tensor.dtype.replace('BYTES', 'STRING')}"


def _accelerator(accelerator: Accelerator) -> str:
    options = "".join(
        f" parameters {{ key: {_quoted(key)} value: {_quoted(value)} }}"
        for key, value in sorted(accelerator.parameters.items())
    )
    return f"{{ name: {_quoted(accelerator.name)}{options} }}"


def _warm_up(sample: WarmUp, model: ModelSpec) -> str:
    lines = [f"{{\n    name: {_quoted(sample.name)}", f"    batch_size: {sample.batch_size}"]
    for tensor in model.inputs:
        dims = _list(sample.dims[tensor.name])
        value = f"{{ data_type: {_dtype(tensor)} dims: {dims} zero_data: true }}"
        lines.append(f"    inputs {{ key: {_quoted(tensor.name)} value: {value} }}")
    return "\n".join([*lines, "  }"])


def _parameters(profile: ModelProfile, served: Sequence[PublishedVersion]) -> Iterator[str]:
    parameters = dict(profile.parameters)
    if profile.buckets:
        parameters[BUCKETS_PARAMETER] = ",".join(str(bucket) for bucket in profile.buckets)
    for version in served:
        parameters |= {version_parameter(version.version, fact): value for fact, value in version.provenance}
    for key, value in parameters.items():
        yield f"parameters {{ key: {_quoted(key)} value: {{ string_value: {_quoted(value)} }} }}"


def _list(numbers: Iterable[int]) -> str:
    written = ", ".join(map(str, numbers))
    return f"[ {written} ]" if written else "[ ]"


def _quoted(text: str) -> str:
    return f'"{text_encoding.CEscape(text, as_utf8=True)}"'
