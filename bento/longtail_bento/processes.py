"""Triton and the service as processes of this machine: started in order, watched, ended in order."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from pydantic import SecretStr

from longtail_bento.gate import Gate
from longtail_bento.settings import ServiceSettings
from longtail_bento.triton.ending import end_group
from longtail_bento.triton.launcher import ALL_MODELS, TritonServer
from longtail_bento.triton.tied import tied
from longtail_bento.triton.watchdog import Watchdog
from longtail_client.contract import TEXT_ENCODER
from longtail_client.errors import OperatorError

_STARTUP_FAILED = b"Application startup failed"
"""What uvicorn logs when a worker raises before it serves."""


class ServiceDied(OperatorError):
    """The service ended, or was not ready in time."""


class ServiceProcess:
    """The BentoML service as a process.

    Args:
        settings: Passed to the process as ``LONGTAIL_*``.
        target: What BentoML serves: an import path, or the tag of a built Bento.
    """

    def __init__(self, settings: ServiceSettings, *, target: str = "longtail_bento.service:Longtail") -> None:
        self.settings = settings
        self.url = settings.url
        self.log_path = settings.var / "log" / f"service-{settings.port}.log"
        self._target = target
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self, *, path_first: Path | None = None) -> None:
        """Start the service and wait until it lives; it is ready once Triton is.

        Args:
            path_first: A folder that the process imports from before anything else.

        Raises:
            ServiceDied: It ended, or did not live within ``start_timeout_s``; the message ends in its log.
        """
        variables = (
            dict(os.environ)
            | self.settings.as_environment()
            | {
                "BENTOML_HOME": str((self.settings.var / "bentoml").absolute()),
                "BENTOML_DO_NOT_TRACK": "True",
            }
        )
        if path_first is not None:
            variables["PYTHONPATH"] = str(path_first)
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        Path(variables["BENTOML_HOME"]).mkdir(parents=True, exist_ok=True)
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                tied(
                    [
                        *(sys.executable, "-m", "bentoml", "serve", self._target),
                        *("--host", self.settings.host, "--port", str(self.settings.port)),
                    ]
                ),
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self.wait_for("/livez")
        except BaseException:
            self.stop()
            raise

    def wait_for(self, path: str) -> None:
        """Wait until a path answers 200.

        Raises:
            ServiceDied: The process ended, could not start what it serves, or the time ran out.
        """
        deadline_s = time.monotonic() + self.settings.start_timeout_s
        while True:
            if self.pid is None:
                raise ServiceDied(f"the service ended; its log {self.log_path} ends in\n{self._log_tail()}")
            if _STARTUP_FAILED in self.log_path.read_bytes():  # BentoML would start its worker over and over
                raise ServiceDied(f"the service could not start; its log {self.log_path} ends in\n{self._log_tail()}")
            try:
                if httpx.get(self.url + path, timeout=15.0).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            if time.monotonic() > deadline_s:
                raise ServiceDied(f"{path} was not 200 in time; the log {self.log_path} ends in\n{self._log_tail()}")
            time.sleep(0.1)

    def stop(self, *, grace_s: float = 15.0) -> None:
        """Let running requests end, then end the service. Safe to call twice."""
        process, self._process = self._process, None
        if process is not None:
            end_group(process, grace_s=grace_s)

    def _log_tail(self) -> str:
        return "\n".join(line[:400] for line in self.log_path.read_text(errors="replace").splitlines()[-12:])


@contextmanager
def stack(
    settings: ServiceSettings, *, triton_only: bool = False, say: Callable[[str], None] = print
) -> Iterator[Callable[[], None]]:
    """Hold Triton, and the service over it, for the length of a block.

    Args:
        settings: Ports, folders and limits.
        triton_only: Leave the service out, and the generator: enough to embed a catalogue.
        say: Told what happens.

    Yields:
        A function that looks after both; call it about once a second.

    Raises:
        OperatorError: A port is taken, or a process did not come up.
        SettingsInvalid: The service would be open to others without keys.
    """
    if not triton_only:
        Gate(settings)
    if settings.triton_admin_key is None:
        settings = settings.model_copy(update={"triton_admin_key": SecretStr(secrets.token_hex(16))})
    ports = [settings.triton_http_port, settings.triton_grpc_port, settings.triton_metrics_port]
    for port in ports:
        require_free_port("127.0.0.1", port)
    for port in () if triton_only else (settings.port, settings.grpc_port):
        require_free_port(settings.host, port)
    with ExitStack() as held:
        say("starting Triton")
        triton = TritonServer(settings, models=(TEXT_ENCODER.name,) if triton_only else ALL_MODELS)
        held.enter_context(triton)
        service = None
        if not triton_only:
            say("starting the service")
            service = ServiceProcess(settings)
            held.callback(service.stop)
            service.start()
            service.wait_for("/readyz")
        watchdog = Watchdog(triton)

        def look_after() -> None:
            reason = watchdog.check()
            if reason:
                say(f"restarted Triton: {reason}")
            if service is not None and service.pid is None:
                raise ServiceDied(f"the service ended; see {service.log_path}")

        yield look_after


def require_command(name: str) -> None:
    """Refuse a command that is not here, before anything is started for it.

    Raises:
        OperatorError: Neither the path nor a folder has such a program.
    """
    if shutil.which(name) is None:
        raise OperatorError(f"expected a command to run, got '{name}': no such program is here or on the PATH")


def run_command(command: Sequence[str], settings: ServiceSettings) -> int:
    """Run a command that finds this stack through its environment.

    Returns:
        Its exit code.

    Raises:
        OperatorError: It cannot be run.
    """
    try:
        return subprocess.run(command, env=dict(os.environ) | settings.as_environment(), check=False).returncode
    except OSError as error:
        raise OperatorError(f"expected a command to run, got '{command[0]}': {error.strerror}") from error


def require_free_port(host: str, port: int) -> None:
    """Refuse a port that something listens on already.

    Raises:
        OperatorError: Something does.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OperatorError(
                f"port {port} on {host} is taken ({error.strerror}); end what listens there (`longtail down` ends a "
                "running longtail), or choose others with LONGTAIL_PORT, LONGTAIL_GRPC_PORT and LONGTAIL_TRITON_*_PORT"
            ) from error
