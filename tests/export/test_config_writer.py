"""Written configurations: parsed back with Triton's own message, compared with contract, profile and what is in git."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2
from typer.testing import CliRunner

from longtail_client.contract import GENERATOR, TEXT_ENCODER, check_config
from longtail_client.encoder import LENGTH_BUCKETS
from longtail_client.errors import ContractMismatch
from longtail_client.manifest import write_manifest
from longtail_client.triton_transport import parse_config
from longtail_export.cli import register
from longtail_export.config_profiles import PROFILES, Accelerator, ModelProfile, WarmUp, profiles_of
from longtail_export.config_publication import PublishedVersion
from longtail_export.config_writer import (
    config_text,
    config_texts,
    configured_models,
    stale_configs,
    write_configs,
)

COMMITTED = Path(__file__).parents[2] / "model_repository"
ENCODER, GENERATOR_CPU, GENERATOR_GPU = (
    next(each for each in PROFILES if (each.model, each.profile) == key)
    for key in ((TEXT_ENCODER, "cpu"), (GENERATOR, "cpu"), (GENERATOR, "gpu"))
)
ONE = PublishedVersion(1, (("source", "minilm-l6"), ("precision", "bf16")), 384)
TWO = PublishedVersion(2, (("source", "minilm-l6"), ("precision", "int8")), 384)
each_profile = pytest.mark.parametrize("profile", PROFILES, ids=lambda each: f"{each.model.name}-{each.profile}")


def parsed(text: str) -> Any:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def parameters(config: Any) -> dict[str, str]:
    return {key: value.string_value for key, value in config.parameters.items()}


def version_of(number: int, engine: str) -> PublishedVersion:
    return PublishedVersion(number, (("engine", engine),), None)


def publish(repository: Path, model: str, version: int, **facts: Any) -> None:
    folder = repository / model / str(version)
    folder.mkdir(parents=True)
    write_manifest(folder, facts)


def remembered(config: Any) -> list[PublishedVersion]:
    """Read the published versions back out of a configuration."""
    dims = [dim for tensor in config.output for dim in tensor.dims if dim > 0]
    told: dict[int, list[tuple[str, str]]] = {number: [] for number in config.version_policy.specific.versions}
    for key, value in config.parameters.items():
        if match := re.fullmatch(r"longtail\.(\d+)\.(\w+)", key):
            told[int(match[1])].append((match[2], value.string_value))
    order = ("source", "source_sha256", "engine", "precision", "tokenizer_sha256")
    return [
        PublishedVersion(number, tuple(sorted(facts, key=lambda fact: order.index(fact[0]))), next(iter(dims), None))
        for number, facts in told.items()
    ]


@each_profile
def test_the_committed_file_is_what_the_writer_writes_of_the_versions_that_it_names(profile: ModelProfile) -> None:
    committed = (COMMITTED / profile.model.name / profile.file).read_text()
    assert config_text(profile, remembered(parsed(committed))) == committed


def test_every_committed_file_has_a_profile() -> None:
    written = {f"{profile.model.name}/{profile.file}" for profile in PROFILES}
    assert {path.relative_to(COMMITTED).as_posix() for path in COMMITTED.rglob("*.pbtxt")} == written


@each_profile
def test_a_written_file_declares_the_contract(profile: ModelProfile) -> None:
    config = parse_config(config_text(profile, [ONE]))
    check_config(profile.model, config)
    assert config.inputs == profile.model.inputs
    assert (config.backend, config.max_batch_size) == (profile.backend, profile.max_batch_size)


@each_profile
def test_a_written_file_says_what_its_profile_says(profile: ModelProfile) -> None:
    config = parsed(config_text(profile, [ONE]))
    (group,) = config.instance_group
    assert (group.count, model_config_pb2.ModelInstanceGroup.Kind.Name(group.kind)) == (profile.instances, profile.kind)
    assert config.HasField("dynamic_batching") == (profile.queue_delay_us is not None)
    assert config.dynamic_batching.max_queue_delay_microseconds == (profile.queue_delay_us or 0)
    if profile.queue_delay_us is not None:
        batching = config.dynamic_batching
        assert (batching.priority_levels, batching.default_priority_level) == (2, 1)
        assert batching.default_queue_policy.allow_timeout_override
    assert [(sample.name, sample.batch_size) for sample in config.model_warmup] == [
        (sample.name, sample.batch_size) for sample in profile.warm_ups
    ]


@pytest.mark.parametrize("profile", profiles_of("text_encoder"), ids=lambda each: each.profile)
def test_the_encoder_is_warmed_up_with_every_bucket_on_every_input(profile: ModelProfile) -> None:
    config = parsed(config_text(profile, [ONE]))
    shapes = [
        {name: list(tensor.dims) for name, tensor in sample.inputs.items() if tensor.zero_data}
        for sample in config.model_warmup
    ]
    assert shapes == [{"input_ids": [bucket], "attention_mask": [bucket]} for bucket in LENGTH_BUCKETS]
    assert all(1 <= sample.batch_size <= config.max_batch_size for sample in config.model_warmup)
    assert parameters(config)["longtail.buckets"] == "32,64,128,256"


@each_profile
def test_the_version_policy_is_specific_even_where_nothing_can_be_served(profile: ModelProfile) -> None:
    config = parsed(config_text(profile, []))
    assert config.version_policy.WhichOneof("policy_choice") == "specific"
    assert list(config.version_policy.specific.versions) == []


def test_several_versions_are_served_each_with_its_provenance() -> None:
    config = parsed(config_text(ENCODER, [ONE, TWO]))
    assert list(config.version_policy.specific.versions) == [1, 2]
    assert {key: value for key, value in parameters(config).items() if key != "longtail.buckets"} == {
        "longtail.1.source": "minilm-l6",
        "longtail.1.precision": "bf16",
        "longtail.2.source": "minilm-l6",
        "longtail.2.precision": "int8",
    }
    assert list(config.output[0].dims) == [384]


def test_versions_of_other_vectors_are_not_served_side_by_side() -> None:
    with pytest.raises(ContractMismatch, match=r"got \[8, 384\]"):
        config_text(ENCODER, [ONE, replace(TWO, dim=8)])


def test_a_version_is_served_where_the_backend_has_its_engine() -> None:
    versions = [version_of(1, "openvino"), version_of(2, "vllm"), version_of(3, "transformers")]
    assert parse_config(config_text(GENERATOR_CPU, versions)).versions == ("1", "3")
    assert parse_config(config_text(GENERATOR_GPU, versions)).versions == ("2",)


def test_a_profile_with_accelerators_and_keys_of_its_backend() -> None:
    profile = replace(
        ENCODER,
        accelerators=(Accelerator("openvino", {"precision": "bf16", "num_of_threads": "2"}), Accelerator("other")),
        parameters={"intra_op_thread_count": "2"},
        instances=3,
    )
    config = parsed(config_text(profile, [ONE]))
    first, second = config.optimization.execution_accelerators.cpu_execution_accelerator
    assert (first.name, dict(first.parameters)) == ("openvino", {"precision": "bf16", "num_of_threads": "2"})
    assert second.name == "other"
    assert parameters(config)["intra_op_thread_count"] == "2"
    assert config.instance_group[0].count == 3


def test_an_accelerator_of_a_gpu_profile_is_one_for_gpus() -> None:
    profile = replace(ENCODER, kind="KIND_GPU", accelerators=(Accelerator("cuda"),))
    accelerators = parsed(config_text(profile, [ONE])).optimization.execution_accelerators
    assert [each.name for each in accelerators.gpu_execution_accelerator] == ["cuda"]
    assert not accelerators.cpu_execution_accelerator


def test_whatever_a_source_is_called_the_file_parses() -> None:
    name = 'C:\\models\\"größe"\n2'
    config = parsed(config_text(ENCODER, [PublishedVersion(1, (("source", name),), 8)]))
    assert parameters(config)["longtail.1.source"] == name


def test_a_warm_up_runs_the_dims_that_it_names() -> None:
    sample = WarmUp("odd", 3, {"input_ids": (7,), "attention_mask": (7,)})
    (written,) = parsed(config_text(replace(ENCODER, warm_ups=(sample,)), [ONE])).model_warmup
    assert (written.batch_size, list(written.inputs["input_ids"].dims)) == (3, [7])


def test_files_are_written_once_and_then_left_alone(tmp_path: Path) -> None:
    publish(tmp_path, "text_encoder", 1, dim=8)
    files = [tmp_path / "text_encoder" / name for name in ("config.pbtxt", "configs/cpu.pbtxt", "configs/gpu.pbtxt")]
    assert write_configs(tmp_path, TEXT_ENCODER) == files
    assert write_configs(tmp_path, TEXT_ENCODER) == []
    files[1].write_text("")
    publish(tmp_path, "text_encoder", 2, dim=8)
    assert list(stale_configs(tmp_path, TEXT_ENCODER)) == files
    assert write_configs(tmp_path, TEXT_ENCODER) == files
    assert [parse_config(file.read_text()).versions for file in files] == [("1", "2")] * 3
    assert {path.name for path in (tmp_path / "text_encoder").iterdir()} == {"1", "2", "config.pbtxt", "configs"}


def test_a_model_without_a_version_has_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ContractMismatch, match="generator: expected a published version, found none"):
        config_texts(tmp_path, GENERATOR)


def test_both_models_are_configured() -> None:
    assert configured_models() == (TEXT_ENCODER, GENERATOR)


def test_the_command_writes_and_checks(tmp_path: Path) -> None:
    import typer

    app = typer.Typer()
    register(app)
    arguments = ["export", "config", "--model-repository", str(tmp_path), "--json"]
    publish(tmp_path, "text_encoder", 1, dim=8)
    publish(tmp_path, "generator", 1, engine="openvino")
    missing = CliRunner().invoke(app, [*arguments, "--check"])
    assert "text_encoder/config.pbtxt" in missing.stdout
    assert "run `longtail export config`" in str(missing.exception)
    written = CliRunner().invoke(app, arguments)
    assert (written.exit_code, written.stdout.count("pbtxt")) == (0, 6)
    current = CliRunner().invoke(app, [*arguments, "--check"])
    assert (current.exit_code, current.stdout) == (0, '{"stale": []}\n')
