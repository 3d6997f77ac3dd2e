"""Start Triton, wait until an inference works, end it cleanly."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import time
from pathlib import Path
from types import TracebackType

import numpy as np

from longtail_bento.settings import ServiceSettings
from longtail_bento.triton.ending import end_group
from longtail_bento.triton.server import arguments, assemble_backends, environment, find_installation
from longtail_bento.triton.tied import tied
from longtail_client.contract import GENERATOR, TEXT_ENCODER
from longtail_client.encoder import padded
from longtail_client.errors import ModelUnavailable, OperatorError, Unavailable
from longtail_client.generator import Generator, Sampling
from longtail_client.triton_transport import TritonTransport, parse_config

ALL_MODELS = (TEXT_ENCODER.name, GENERATOR.name)
"""What a recommendation needs."""

_CLASSIFIER_AND_SEPARATOR = [101, 102]
"""BERT's shortest text; any encoder of the contract embeds it."""


class TritonDied(OperatorError):
    """Triton ended, or no inference worked in time."""


class TritonServer:
    """One tritonserver that this process started.

    Args:
        settings: Model repository, ports, profile and time limit.
        models: Models to load; by default both.

    Attributes:
        versions: The version of each model that a probe asks for: the newest that was configured when it started.
    """

    def __init__(self, settings: ServiceSettings, *, models: tuple[str, ...] = ALL_MODELS) -> None:
        self.settings = settings
        self.models = models
        given = settings.triton_admin_key
        self.admin_key = secrets.token_hex(16) if given is None else given.get_secret_value()
        self.url = f"127.0.0.1:{settings.triton_grpc_port}"
        self.log_path = settings.var / "log" / f"triton-{settings.triton_grpc_port}.log"
        self.versions: dict[str, str] = {}
        self._shm_prefix = f"longtail-{secrets.token_hex(4)}-"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the server and wait until every model answers an inference.

        Raises:
            TritonMissing: No binary is installed.
            TritonDied: The server ended, or was not ready within ``start_timeout_s``; the message ends in its log.
        """
        installation = find_installation()
        settings = self.settings
        self.versions = served_versions(settings, self.models)
        backends = assemble_backends(installation, settings.var / "triton" / f"backends-{settings.triton_grpc_port}")
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        if self.log_path.exists():
            self.log_path.replace(self.log_path.with_suffix(".previous.log"))
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                tied(
                    arguments(
                        installation,
                        model_repository=settings.model_repository,
                        backends=backends,
                        profile=settings.profile,
                        models=self.models,
                        ports=(settings.triton_http_port, settings.triton_grpc_port, settings.triton_metrics_port),
                        admin_key=self.admin_key,
                        shm_prefix=self._shm_prefix,
                    ),
                ),
                env=environment(installation),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            asyncio.run(self._until_working())
        except BaseException:
            self.stop()
            raise

    def stop(self, *, grace_s: float = 15.0) -> None:
        """Let running requests end, then end the server; kill it if it does not go. Safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        end_group(process, grace_s=grace_s)
        for region in Path("/dev/shm").glob(f"{self._shm_prefix}*"):  # noqa: S108  a killed server leaves them behind
            region.unlink(missing_ok=True)

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self.stop()

    def __enter__(self) -> TritonServer:
        """Start the server."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the server."""
        self.stop()

    async def _until_working(self) -> None:
        deadline = time.monotonic() + self.settings.start_timeout_s
        transport = TritonTransport(self.url)
        try:
            while True:
                try:
                    await probe(transport, self.versions, timeout_s=10.0)
                    return
                except Unavailable as error:
                    self._check_alive(deadline, error)
                    await asyncio.sleep(0.1)
        finally:
            await transport.close()

    def _check_alive(self, deadline: float, error: Exception) -> None:
        if self.pid is None:
            raise TritonDied(f"Triton ended while starting; its log {self.log_path} ends in\n{self._log_tail()}")
        if time.monotonic() > deadline:
            raise TritonDied(
                f"Triton was not ready within {self.settings.start_timeout_s:.0f} s ({error}); "
                f"its log {self.log_path} ends in\n{self._log_tail()}"
            )

    def _log_tail(self) -> str:
        lines = self.log_path.read_text(errors="replace").splitlines()
        telling = [line for line in lines if line.startswith("E") or "error" in line.lower()] or lines
        return "\n".join(line[:400] for line in telling[-8:])


def served_versions(settings: ServiceSettings, models: tuple[str, ...]) -> dict[str, str]:
    """Read, for each model, the newest version that its configuration serves.

    Raises:
        TritonDied: A model is not configured, or its configuration serves no version.
    """
    versions = {}
    for model in models:
        folder = settings.model_repository / model
        profile = folder / "configs" / f"{settings.profile}.pbtxt"
        path = profile if profile.exists() else folder / "config.pbtxt"
        if not path.exists():
            raise TritonDied(f"expected a configuration of {model} at {path}, found none")
        served = parse_config(path.read_text()).versions
        if not served:
            raise TritonDied(
                f"expected a version in the version policy of {path}, found none; export one for this profile"
            )
        versions[model] = served[-1]
    return versions


async def probe(transport: TritonTransport, versions: dict[str, str], *, timeout_s: float) -> None:
    """Run one inference of every model: health endpoints stay green when a model's process is dead.

    Raises:
        Unavailable: A model does not answer.
    """
    for model, version in versions.items():
        if model == TEXT_ENCODER.name:
            input_ids, attention_mask = padded([_CLASSIFIER_AND_SEPARATOR])
            inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
            outputs = await transport.infer(model, version, inputs, timeout_s=timeout_s)
            if not np.isfinite(outputs["embedding"]).all():
                raise ModelUnavailable(f"{model} version {version} answers vectors that are not finite")
        else:
            generator = await Generator.connect(transport, version=version, timeout_s=timeout_s)
            await generator.generate("Hello", Sampling(max_tokens=1, temperature=0.0))
