"""A version for NVIDIA's vLLM backend, key by key against what that backend and its vLLM read."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from google.protobuf import text_format
from tests.tiny_llama import CONTEXT_TOKENS, write_tiny_llama
from tokenizers import Tokenizer
from tritonclient.grpc import model_config_pb2

from longtail_client.generator import Sampling
from longtail_client.manifest import read_manifest, sha256_of, verify_files
from longtail_export.generator_export import export_generator
from longtail_export.generator_vllm import engine_arguments
from longtail_export.progress import SilentProgress

ENGINE_ARGUMENTS: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "tokenizer": str,
    "skip_tokenizer_init": bool,
    "tokenizer_mode": str,
    "trust_remote_code": bool,
    "load_format": str,
    "dtype": str,
    "kv_cache_dtype": str,
    "seed": int,
    "max_model_len": int,
    "pipeline_parallel_size": int,
    "tensor_parallel_size": int,
    "block_size": int,
    "enable_prefix_caching": bool,
    "swap_space": int,
    "cpu_offload_gb": int,
    "gpu_memory_utilization": float,
    "max_num_batched_tokens": int,
    "max_num_seqs": int,
    "disable_log_stats": bool,
    "quantization": str,
    "enforce_eager": bool,
    "max_seq_len_to_capture": int,
    "enable_lora": bool,
    "device": str,
    "enable_chunked_prefill": bool,
    "disable_log_requests": bool,
}
"""Keys that `AsyncEngineArgs` takes, and their types; an unknown one is a TypeError that fails the load.

Source: vllm-project/vllm, ``vllm/engine/arg_utils.py``, 0.5.3: the fields of EngineArgs that a version may want to set,
and ``disable_log_requests`` of AsyncEngineArgs. The backend hands over the content of ``model.json`` as it stands:
triton-inference-server/vllm_backend, ``src/model.py``, ``AsyncEngineArgs(**self.vllm_engine_config)``.
"""

DTYPES = {"auto", "half", "float16", "bfloat16", "float", "float32"}
"""Choices of ``dtype`` there."""

SAMPLING_PARAMETERS = {
    *("n", "best_of", "presence_penalty", "frequency_penalty", "repetition_penalty", "temperature", "top_p", "top_k"),
    *("min_p", "seed", "use_beam_search", "length_penalty", "early_stopping", "stop", "stop_token_ids"),
    *("include_stop_str_in_output", "ignore_eos", "max_tokens", "min_tokens", "logprobs", "prompt_logprobs"),
    *("detokenize", "skip_special_tokens", "spaces_between_special_tokens", "truncate_prompt_tokens"),
}
"""Fields of vLLM 0.5.3's `SamplingParams`, which the backend makes out of ``sampling_parameters``."""

BACKEND_INPUTS = {
    "text_input": ("TYPE_STRING", [1], False),
    "stream": ("TYPE_BOOL", [1], True),
    "sampling_parameters": ("TYPE_STRING", [1], True),
    "exclude_input_in_output": ("TYPE_BOOL", [1], True),
}
BACKEND_OUTPUTS = {"text_output": ("TYPE_STRING", [-1])}
"""What the backend declares for itself in ``_auto_complete_inputs_and_outputs``, release r24.10."""


@pytest.fixture(scope="module")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a checkpoint."""
    return write_tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def repository(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with version 1 for the transformers engine, and version 2 for vLLM in a container."""
    repository = tmp_path_factory.mktemp("repository")
    for engine, version in (("transformers", 1), ("vllm", 2)):
        export(tiny_llama, repository, engine=engine, version=version, served_at=PurePosixPath("/models"))
    return repository


def export(source: Path, repository: Path, **given: Any) -> Path:
    return export_generator(
        source,
        source_name="tiny",
        model_repository=repository,
        progress=SilentProgress(),
        **{"engine": "vllm", "precision": None, "version": 1, **given},
    )


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_every_key_of_model_json_is_one_that_vllm_takes(repository: Path) -> None:
    arguments = read(repository / "generator" / "2" / "model.json")
    for key, value in arguments.items():
        assert type(value) is ENGINE_ARGUMENTS[key], key
    assert arguments["dtype"] in DTYPES
    assert 0 < arguments["gpu_memory_utilization"] <= 1


def test_model_json_points_at_the_checkpoint_where_the_server_will_find_it(repository: Path) -> None:
    folder = repository / "generator" / "2"
    checkpoint = PurePosixPath(read(folder / "model.json")["model"])
    assert checkpoint.is_absolute()
    here = folder / checkpoint.relative_to("/models/generator/2")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in here.iterdir()}


def test_the_repository_is_served_from_where_it_is_if_nothing_else_is_said(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    export(tiny_llama, Path("models"))
    model = Path(read(tmp_path / "models" / "generator" / "1" / "model.json")["model"])
    assert model == tmp_path / "models" / "generator" / "1" / "checkpoint"
    assert (model / "model.safetensors").is_file()


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", "bfloat16"), ("fp32", "float32")])
def test_a_precision_is_vllms_dtype(precision: str, dtype: str) -> None:
    config = {"max_position_embeddings": 8192}
    assert engine_arguments(PurePosixPath("/m"), precision=precision, config=config)["dtype"] == dtype


def test_no_text_is_longer_than_the_model_reads() -> None:
    for most, expected in ((512, 512), (8192, CONTEXT_TOKENS)):
        config = {"max_position_embeddings": most}
        assert engine_arguments(PurePosixPath("/m"), precision="bf16", config=config)["max_model_len"] == expected


def test_the_manifest_covers_the_checkpoint(repository: Path) -> None:
    folder = repository / "generator" / "2"
    manifest = read_manifest(folder)
    verify_files(folder, manifest["files"])
    assert {"model.json", "checkpoint/model.safetensors", "checkpoint/tokenizer.json"} <= set(manifest["files"])
    assert (manifest["engine"], manifest["precision"], manifest["served_from"]) == (
        "vllm",
        "bf16",
        "/models/generator/2",
    )
    assert manifest["tokenizer_sha256"] == sha256_of(folder / "checkpoint" / "tokenizer.json")


def test_transformers_4_reads_the_checkpoint_as_5_does(repository: Path) -> None:
    checkpoint = repository / "generator" / "2" / "checkpoint"
    config = read(checkpoint / "config.json")
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"]
    assert config["torch_dtype"] == config["dtype"] == "bfloat16"
    assert "rope_scaling" not in config
    tokenizer = read(checkpoint / "tokenizer_config.json")
    assert (tokenizer["tokenizer_class"], tokenizer["clean_up_tokenization_spaces"]) == (
        "PreTrainedTokenizerFast",
        False,
    )
    assert all(isinstance(merge, str) for merge in read(checkpoint / "tokenizer.json")["model"]["merges"])
    ours = Tokenizer.from_file(str(repository / "generator" / "1" / "tokenizer.json"))
    theirs = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    for text in ("Once upon a time there was", "a quiet film<|im_end|>", "lighthouse, sea"):
        assert theirs.encode(text).ids == ours.encode(text).ids != []


def test_the_gpu_profile_is_the_backends_own_contract(repository: Path) -> None:
    config = parsed(repository / "generator" / "configs" / "gpu.pbtxt")
    assert config["backend"] == "vllm"
    assert config.get("max_batch_size", 0) == 0
    assert config["model_transaction_policy"] == {"decoupled": True}
    assert [(group["count"], group["kind"]) for group in config["instance_group"]] == [(1, "KIND_MODEL")]
    assert {"dynamic_batching", "sequence_batching", "optimization"} & set(config) == set()
    assert {
        each["name"]: (each["data_type"], [int(dim) for dim in each["dims"]], each.get("optional", False))
        for each in config["input"]
    } == BACKEND_INPUTS
    assert {
        each["name"]: (each["data_type"], [int(dim) for dim in each["dims"]]) for each in config["output"]
    } == BACKEND_OUTPUTS


def test_each_backend_serves_the_versions_of_its_engines(repository: Path) -> None:
    for name, versions in (("configs/gpu.pbtxt", ["2"]), ("configs/cpu.pbtxt", ["1"]), ("config.pbtxt", ["1"])):
        config = parsed(repository / "generator" / name)
        assert config["version_policy"]["specific"]["versions"] == versions, name


def test_what_the_client_asks_for_is_what_vllm_samples_by() -> None:
    assert {field.name for field in fields(Sampling)} <= SAMPLING_PARAMETERS


def parsed(path: Path) -> dict[str, Any]:
    from google.protobuf.json_format import MessageToDict

    message = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    content: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return content
