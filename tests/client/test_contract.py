"""The contract with Triton: what it refuses, and that every config file in git fits it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from longtail_client.contract import (
    ANY,
    GENERATOR,
    TEXT_ENCODER,
    ModelConfig,
    ModelSpec,
    TensorSpec,
    check_config,
    check_tensor,
)
from longtail_client.errors import ContractMismatch
from longtail_client.triton_transport import parse_config

REPOSITORY = Path(__file__).parents[2] / "model_repository"
SPECS = {spec.name: spec for spec in (TEXT_ENCODER, GENERATOR)}
CONFIG_FILES = [
    f"{name}/{file}" for name in SPECS for file in ("config.pbtxt", "configs/cpu.pbtxt", "configs/gpu.pbtxt")
]

SPEC = ModelSpec("doubler", (TensorSpec("x", "FP32", (ANY,)),), (TensorSpec("y", "INT64", (3,)),), decoupled=False)
CONFIG = ModelConfig(
    name="doubler",
    backend="any",
    max_batch_size=8,
    decoupled=False,
    versions=("1",),
    inputs=(TensorSpec("x", "FP32", (7,)),),
    outputs=(TensorSpec("y", "INT64", (3,)),),
)


def read_config(file: str) -> ModelConfig:
    return parse_config((REPOSITORY / file).read_text())


def test_every_config_file_in_the_repository_is_tested_here() -> None:
    assert sorted(path.relative_to(REPOSITORY).as_posix() for path in REPOSITORY.rglob("*.pbtxt")) == sorted(
        CONFIG_FILES
    )


@pytest.mark.parametrize("file", CONFIG_FILES)
def test_a_config_file_fits_the_contract(file: str) -> None:
    check_config(SPECS[file.split("/")[0]], read_config(file))


@pytest.mark.parametrize("file", CONFIG_FILES)
def test_a_config_file_names_its_folder_and_pins_its_versions(file: str) -> None:
    config = model_config_pb2.ModelConfig()
    text_format.Parse((REPOSITORY / file).read_text(), config)
    assert config.name == file.split("/")[0]
    assert config.version_policy.WhichOneof("policy_choice") == "specific"
    # No version that the vLLM backend could serve is built: it needs a GPU.
    assert (1 in config.version_policy.specific.versions) == (config.backend != "vllm")


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_a_profile_declares_the_tensors_of_the_plain_config(name: str, profile: str) -> None:
    plain, other = read_config(f"{name}/config.pbtxt"), read_config(f"{name}/configs/{profile}.pbtxt")
    assert (other.inputs, other.outputs, other.decoupled) == (plain.inputs, plain.outputs, plain.decoupled)


def test_the_vllm_profile_has_no_batch_dimension_and_ours_has() -> None:
    assert read_config("generator/configs/gpu.pbtxt").max_batch_size == 0
    assert read_config("generator/config.pbtxt").max_batch_size == 32


def test_versions_are_numbers_in_order_and_empty_under_another_policy() -> None:
    assert parse_config("version_policy { specific { versions: [ 10, 2 ] } }").versions == ("2", "10")
    assert parse_config("version_policy { latest { num_versions: 1 } }").versions == ()


def test_text_that_is_no_config_is_a_mismatch_with_its_line() -> None:
    with pytest.raises(ContractMismatch, match=r"line 2:"):
        parse_config('name: "x"\nnonsense: 3\n')


def test_an_open_dim_of_the_spec_fits_any_configured_dim() -> None:
    check_config(SPEC, CONFIG)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoupled": True}, "doubler: expected decoupled False, got True"),
        ({"inputs": ()}, r"doubler: expected inputs \['x'\], got \[\]"),
        (
            {"inputs": (*CONFIG.inputs, TensorSpec("z", "FP32", (1,)))},
            r"doubler: expected inputs \['x'\], got \['x', 'z'\]",
        ),
        ({"outputs": (TensorSpec("z", "INT64", (3,)),)}, r"doubler: expected outputs \['y'\], got \['z'\]"),
        ({"inputs": (TensorSpec("x", "INT32", (7,)),)}, r"doubler\.x: expected FP32 \[-1\], got INT32 \[7\]"),
        ({"inputs": (TensorSpec("x", "FP32", (7, 1)),)}, r"doubler\.x: expected FP32 \[-1\], got FP32 \[7, 1\]"),
        ({"outputs": (TensorSpec("y", "INT64", (4,)),)}, r"doubler\.y: expected INT64 \[3\], got INT64 \[4\]"),
        ({"outputs": (TensorSpec("y", "INT64", (ANY,)),)}, r"doubler\.y: expected INT64 \[3\], got INT64 \[-1\]"),
    ],
)
def test_another_config_is_refused_with_what_was_expected_and_what_came(
    change: dict[str, object], message: str
) -> None:
    with pytest.raises(ContractMismatch, match=f"^{message}$"):
        check_config(SPEC, replace(CONFIG, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "shape", "dtype", "batched"),
    [
        (TensorSpec("t", "FP32", (3,)), (5, 3), np.float32, True),
        (TensorSpec("t", "FP32", (3,)), (3,), np.float32, False),
        (TensorSpec("t", "INT64", (ANY,)), (5, 0), np.int64, True),
        (TensorSpec("t", "BYTES", (1,)), (1,), np.object_, False),
        (TensorSpec("t", "BOOL", (1,)), (2, 1), np.bool_, True),
    ],
)
def test_a_fitting_array_passes(spec: TensorSpec, shape: tuple[int, ...], dtype: type, batched: bool) -> None:
    check_tensor("model", spec, np.zeros(shape, dtype=dtype), batched=batched)


@pytest.mark.parametrize(
    ("shape", "dtype", "batched", "got"),
    [
        ((5, 3), np.float64, True, r"float64 \[3\]"),
        ((5, 4), np.float32, True, r"float32 \[4\]"),
        ((5, 3), np.float32, False, r"float32 \[5, 3\]"),
        ((3,), np.float32, True, r"float32 \[\]"),
    ],
)
def test_another_array_is_refused_with_both_shapes(
    shape: tuple[int, ...], dtype: type, batched: bool, got: str
) -> None:
    with pytest.raises(ContractMismatch, match=rf"^model\.t: expected FP32 \[3\], got {got}$"):
        check_tensor("model", TensorSpec("t", "FP32", (3,)), np.zeros(shape, dtype=dtype), batched=batched)
