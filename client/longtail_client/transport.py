"""The seam to Triton: arrays in, arrays out, whatever carries them.

`TritonTransport` is the real one, `testing.FakeTransport` the only fake.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Protocol

from longtail_client.contract import Array, ModelConfig, Priority


class Transport(Protocol):
    """Calls models by name and version."""

    async def infer(
        self,
        model: str,
        version: str,
        inputs: Mapping[str, Array],
        *,
        timeout_s: float,
        priority: Priority = Priority.INTERACTIVE,
    ) -> Mapping[str, Array]:
        """Run one request to its one response.

        Args:
            model: Model name.
            version: Model version, always pinned: an unpinned call moves to a new version as soon as it loads.
            inputs: Arrays by tensor name; the first dimension counts rows where the model batches.
            timeout_s: Seconds until the call is given up, queueing included; the server is told, and drops a request
                that has waited this long.
            priority: Which of the model's queues it waits in.

        Returns:
            Arrays by tensor name.

        Raises:
            ModelUnavailable: The server or the model does not answer.
            Overloaded: The model's queue is full.
            DeadlineExceeded: ``timeout_s`` passed.
            ContractMismatch: The server refused the tensors.
        """
        ...

    def stream(
        self,
        model: str,
        version: str,
        inputs: Mapping[str, Array],
        *,
        timeout_s: float,
        priority: Priority = Priority.INTERACTIVE,
    ) -> AsyncGenerator[Mapping[str, Array], None]:
        """Run one request of a decoupled model; closing the iterator cancels it in the model.

        Args and errors are those of `infer`; they are raised while iterating.
        """
        ...

    async def model_config(self, model: str, version: str, *, timeout_s: float) -> ModelConfig:
        """Read the configuration that a model is served with.

        Raises:
            ModelUnavailable: The server does not answer or serves no such version.
        """
        ...

    async def served_versions(self, model: str, *, timeout_s: float) -> tuple[str, ...]:
        """Say which versions of a model answer now, oldest first.

        Raises:
            ModelUnavailable: The server does not answer, or serves no version of the model.
        """
        ...

    async def serve_versions(
        self, model: str, versions: Sequence[str], *, parameters: Mapping[str, str] | None = None, timeout_s: float
    ) -> None:
        """Have the server serve these versions of a model and no others; those that it serves already go on answering.

        Args:
            model: Model name.
            versions: All versions to serve, one or more.
            parameters: Of the model's configuration, to add: what the server must know of a version that was published
                after it started, such as its precision.
            timeout_s: Seconds that loading may take.

        Raises:
            ModelNotLoaded: A version could not be loaded, or the server takes no such orders from here. What it served
                before, it serves still.
            ModelUnavailable: The server does not answer.
            DeadlineExceeded: ``timeout_s`` passed.
        """
        ...

    async def close(self) -> None:
        """Give the connection back."""
        ...
