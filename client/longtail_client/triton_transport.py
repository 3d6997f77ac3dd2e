"""Triton over gRPC: the one file that speaks tritonclient."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any

import grpc
import numpy as np
import tritonclient.grpc.aio as triton
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import InferenceServerException

from longtail_client.contract import GENERATOR, Array, ModelConfig, Priority, TensorSpec
from longtail_client.errors import (
    ContractMismatch,
    DeadlineExceeded,
    LongtailError,
    ModelNotLoaded,
    ModelUnavailable,
    Overloaded,
)

_TRITON_DTYPES = {
    np.dtype(np.bool_): "BOOL",
    np.dtype(np.int32): "INT32",
    np.dtype(np.int64): "INT64",
    np.dtype(np.float32): "FP32",
    np.dtype(np.object_): "BYTES",
}

ADMIN_HEADER = "longtail-admin"
"""The name under which Triton's restricted APIs ask for their key."""

# The generator answers a refused request inside the stream, where Triton gives an error no status. Its message begins
# with the tensor at fault.
_REFUSED_BY_GENERATOR = tuple(tensor.name for tensor in GENERATOR.inputs)

# A dead server must be noticed, and a restarted one found again, within about a second.
_CHANNEL_ARGS = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
]


class TritonTransport:
    """A connection to one Triton server, shared by every model and every request of a process.

    Args:
        url: ``host:port`` of Triton's gRPC endpoint.
        admin_key: Opens Triton's model control, where that asks for a key.
    """

    def __init__(self, url: str, *, admin_key: str | None = None) -> None:
        self._url = url
        self._admin_headers = {} if admin_key is None else {f"triton-grpc-protocol-{ADMIN_HEADER}": admin_key}
        self._client = triton.InferenceServerClient(url, channel_args=_CHANNEL_ARGS)

    async def infer(
        self,
        model: str,
        version: str,
        inputs: Mapping[str, Array],
        *,
        timeout_s: float,
        priority: Priority = Priority.INTERACTIVE,
    ) -> Mapping[str, Array]:
        """See `Transport.infer`."""
        try:
            result = await self._client.infer(
                model,
                _tensors(inputs),
                model_version=version,
                priority=int(priority),
                timeout=_microseconds(timeout_s),
                client_timeout=timeout_s,
            )
        except InferenceServerException as error:
            raise self._translated(error, model, version, timeout_s) from error
        return _arrays(result)

    async def stream(
        self,
        model: str,
        version: str,
        inputs: Mapping[str, Array],
        *,
        timeout_s: float,
        priority: Priority = Priority.INTERACTIVE,
    ) -> AsyncGenerator[Mapping[str, Array], None]:
        """See `Transport.stream`."""
        done = asyncio.Event()

        async def one_request() -> AsyncIterator[dict[str, Any]]:
            yield {
                "model_name": model,
                "model_version": version,
                "inputs": _tensors(inputs),
                "priority": int(priority),
                "timeout": _microseconds(timeout_s),
            }
            await done.wait()  # a half-closed stream would end the call before its responses

        responses = self._client.stream_infer(one_request(), stream_timeout=timeout_s)
        try:
            async for result, error in responses:
                if error is not None:
                    raise error
                if result.get_response().outputs:
                    yield _arrays(result)
                if result.get_response().parameters["triton_final_response"].bool_param:
                    return
        except (InferenceServerException, grpc.RpcError) as error:
            raise self._translated(error, model, version, timeout_s) from error
        finally:
            done.set()
            responses.cancel()

    async def model_config(self, model: str, version: str, *, timeout_s: float) -> ModelConfig:
        """See `Transport.model_config`."""
        try:
            response = await self._client.get_model_config(model, version, client_timeout=timeout_s)
        except InferenceServerException as error:
            raise self._translated(error, model, version, timeout_s) from error
        return _model_config(response.config)

    async def served_versions(self, model: str, *, timeout_s: float) -> tuple[str, ...]:
        """See `Transport.served_versions`."""
        try:
            metadata = await self._client.get_model_metadata(model, client_timeout=timeout_s)
        except InferenceServerException as error:
            raise self._translated(error, model, "any", timeout_s) from error
        return tuple(sorted(metadata.versions, key=int))

    async def serve_versions(
        self, model: str, versions: Sequence[str], *, parameters: Mapping[str, str] | None = None, timeout_s: float
    ) -> None:
        """See `Transport.serve_versions`."""
        try:
            response = await self._client.get_model_config(model, "", client_timeout=timeout_s)
            config = json_format.MessageToDict(response.config, preserving_proto_field_name=True)
            # Triton keeps the configuration of the last load: without one, a load changes nothing.
            config["version_policy"] = {"specific": {"versions": list(versions)}}
            added = {key: {"string_value": value} for key, value in (parameters or {}).items()}
            config["parameters"] = config.get("parameters", {}) | added
            await self._client.load_model(
                model, headers=self._admin_headers, config=json.dumps(config), client_timeout=timeout_s
            )
        except InferenceServerException as error:
            raise self._load_refused(error, model, versions, timeout_s) from error
        missing = set(versions) - set(await self.served_versions(model, timeout_s=timeout_s))
        if missing:
            raise ModelNotLoaded(
                f"{model} at {self._url}: expected versions {', '.join(versions)}, got all but "
                f"{', '.join(sorted(missing))}: its model repository has no such folder"
            )

    async def executions(self, model: str, version: str, *, timeout_s: float) -> tuple[int, int]:
        """Read Triton's own count of a model's work.

        Returns:
            Texts or prompts inferred, and the executions that took; their ratio is the mean batch.
        """
        try:
            response = await self._client.get_inference_statistics(model, version, client_timeout=timeout_s)
        except InferenceServerException as error:
            raise self._translated(error, model, version, timeout_s) from error
        statistics = response.model_stats[0]
        return statistics.inference_count, statistics.execution_count

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._client.close()

    def _load_refused(self, error: Any, model: str, versions: Sequence[str], timeout_s: float) -> LongtailError:
        wanted, message = f"{model} version {', '.join(versions)}", error.message() or ""
        if "protocol is restricted" in message or "explicit model load" in message:
            return ModelNotLoaded(
                f"{wanted} at {self._url}: expected Triton to load them when told to, got '{message}'; give the key of "
                "its model control in LONGTAIL_TRITON_ADMIN_KEY and run it with --model-control-mode=explicit, or have "
                "it serve these versions itself"
            )
        if "load failed" in message or "failed to load" in message:
            return ModelNotLoaded(f"{wanted} at {self._url}: {message}")
        return self._translated(error, model, ", ".join(versions), timeout_s)

    def _translated(self, error: Any, model: str, version: str, timeout_s: float) -> LongtailError:
        if isinstance(error, grpc.RpcError):  # a stream lets gRPC's own errors through
            status, message = str(error.code()), error.details()
        else:
            status, message = str(error.status() or ""), error.message()
        where = f"{model} version {version} at {self._url}"
        message = message or "no message"
        if "DEADLINE_EXCEEDED" in status or "Request timeout expired" in message:
            return DeadlineExceeded(f"{where} did not answer within {timeout_s:.2f} s")
        if "Exceeds maximum queue size" in message:
            return Overloaded(f"{where} has a full queue; try again later", retry_after_s=1.0)
        if "INVALID_ARGUMENT" in status or message.startswith(_REFUSED_BY_GENERATOR):
            return ContractMismatch(f"{where} refused the tensors: {message}")
        return ModelUnavailable(f"{where} does not answer ({status or 'no status'}: {message})")


def parse_config(text: str) -> ModelConfig:
    """Parse a ``config.pbtxt``, without a server.

    Args:
        text: The file's content.

    Raises:
        ContractMismatch: The text is not a model configuration.
    """
    return _model_config(_parsed(text))


def config_fields(text: str) -> dict[str, Any]:
    """Read every field that a ``config.pbtxt`` sets, as plain values under the names that the file uses.

    Args:
        text: The file's content.

    Returns:
        As protobuf writes JSON: a field that is not set is absent, and a number of 64 bits is a string.

    Raises:
        ContractMismatch: The text is not a model configuration.
    """
    fields: dict[str, Any] = json_format.MessageToDict(_parsed(text), preserving_proto_field_name=True)
    return fields


def _parsed(text: str) -> Any:
    try:
        return text_format.Parse(text, model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise ContractMismatch(f"expected a Triton model configuration, got line {error}") from error


def _model_config(config: Any) -> ModelConfig:
    def tensors(repeated: Any) -> tuple[TensorSpec, ...]:
        return tuple(
            TensorSpec(
                tensor.name,
                model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_").replace("STRING", "BYTES"),
                tuple(tensor.dims),
                optional=getattr(tensor, "optional", False),
            )
            for tensor in repeated
        )

    return ModelConfig(
        name=config.name,
        backend=config.backend,
        max_batch_size=config.max_batch_size,
        decoupled=config.model_transaction_policy.decoupled,
        versions=tuple(str(version) for version in sorted(config.version_policy.specific.versions)),
        inputs=tensors(config.input),
        outputs=tensors(config.output),
    )


def _microseconds(timeout_s: float) -> int:
    """Say how long a request may wait in Triton's queue; 0 would mean for ever."""
    return max(1, int(timeout_s * 1e6))


def _tensors(inputs: Mapping[str, Array]) -> list[Any]:
    tensors = []
    for name, array in inputs.items():
        tensor = triton.InferInput(name, list(array.shape), _TRITON_DTYPES[array.dtype])
        tensor.set_data_from_numpy(array)
        tensors.append(tensor)
    return tensors


def _arrays(result: Any) -> dict[str, Array]:
    return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}
