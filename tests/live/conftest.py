"""The real thing for live tests: a tritonserver with the demo's models and the service over it, on their own ports."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from longtail_bento.processes import ServiceProcess
from longtail_bento.settings import ServiceSettings
from longtail_bento.triton.launcher import TritonServer
from longtail_client.encoder import Encoder, TextTokenizer
from longtail_client.generator import Generator
from longtail_client.triton_transport import TritonTransport
from longtail_export.generator_export import export_generator
from longtail_export.progress import SilentProgress
from longtail_export.sources import fetch

BUILT = Path(os.environ.get("LONGTAIL_TEST_BUILT", Path(__file__).parents[2]))
"""Folder with the `model_repository` and the `var` that `make export` builds."""


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="session")
def built() -> Path:
    """The folder with what `make export` built."""
    needed = [
        "model_repository/text_encoder/1",
        "model_repository/text_encoder/2",
        "model_repository/generator/1",
        "var/releases/demo-1",
        "var/longtail.db",
    ]
    missing = [name for name in needed if not (BUILT / name).exists()]
    if missing:
        pytest.fail(f"live tests need {missing} in {BUILT}; `make test` builds them, or run `make export`")
    return BUILT


@pytest.fixture(scope="session")
def settings(built: Path, tmp_path_factory: pytest.TempPathFactory) -> ServiceSettings:
    """Settings with a `var` of their own: catalogues and releases by link, a copy of the interactions."""
    var = tmp_path_factory.mktemp("var")
    for name in ("catalogues", "releases"):
        (var / name).symlink_to((built / "var" / name).absolute())
    shutil.copy(built / "var" / "longtail.db", var)
    http, grpc, triton_http, triton_grpc, triton_metrics = free_ports(5)
    return ServiceSettings(
        var=var,
        model_repository=built / "model_repository",
        port=http,
        grpc_port=grpc,
        triton_http_port=triton_http,
        triton_grpc_port=triton_grpc,
        triton_metrics_port=triton_metrics,
        triton_grpc=f"127.0.0.1:{triton_grpc}",
        triton_admin_key=SecretStr(secrets.token_hex(16)),
        fingerprint_every_s=3600.0,  # some tests count executions, and comparing is some
    )


@pytest.fixture(scope="session")
def triton(settings: ServiceSettings) -> Iterator[TritonServer]:
    """A running Triton with both models."""
    with TritonServer(settings) as server:
        yield server


@pytest.fixture(scope="session")
def service(settings: ServiceSettings, triton: TritonServer) -> Iterator[ServiceProcess]:
    """The running service over it."""
    process = ServiceProcess(settings)
    process.start()
    process.wait_for("/readyz")
    yield process
    process.stop()


@pytest.fixture
def http(service: ServiceProcess) -> Iterator[httpx.Client]:
    """A client of the service."""
    with httpx.Client(base_url=service.url, timeout=60.0) as client:
        yield client


@pytest.fixture
async def transport(triton: TritonServer) -> AsyncIterator[TritonTransport]:
    """A connection to Triton."""
    transport = TritonTransport(triton.url, admin_key=triton.admin_key)
    yield transport
    await transport.close()


@pytest.fixture(scope="session")
def transformers_version(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's generator for the transformers engine in bf16: version 1 of a model repository of its own."""
    return export_generator(
        fetch("smollm2-135m", built / "var" / "sources"),
        source_name="smollm2-135m",
        engine="transformers",
        precision="bf16",
        model_repository=tmp_path_factory.mktemp("transformers"),
        version=1,
        progress=SilentProgress(),
    )


class ExecutionCount:
    """Counts a block's executions of the encoder, by Triton's own statistics, which lag behind the answers."""

    def __init__(self, transport: TritonTransport) -> None:
        self._transport = transport
        self.texts = 0
        self.executions = 0

    async def __aenter__(self) -> ExecutionCount:
        self._before = await self._settled()
        return self

    async def __aexit__(self, *_: object) -> None:
        texts, executions = await self._settled()
        self.texts, self.executions = texts - self._before[0], executions - self._before[1]

    async def _settled(self) -> tuple[int, int]:
        seen = None
        while True:
            await asyncio.sleep(0.5)
            counts = [await self._transport.executions("text_encoder", each, timeout_s=5.0) for each in ("1", "2")]
            now = (sum(texts for texts, _ in counts), sum(executions for _, executions in counts))
            if now == seen:
                return now
            seen = now


@pytest.fixture
def execution_count(transport: TritonTransport) -> ExecutionCount:
    """A count of the encoder's executions."""
    return ExecutionCount(transport)


@pytest.fixture
async def encoder(transport: TritonTransport, built: Path) -> Encoder:
    """The demo's encoder."""
    tokenizer = TextTokenizer(built / "model_repository" / "text_encoder" / "1" / "tokenizer.json")
    return await Encoder.connect(transport, tokenizer, version="1", timeout_s=60.0)


@pytest.fixture
async def generator(transport: TritonTransport) -> Generator:
    """The demo's generator."""
    return await Generator.connect(transport, version="1", timeout_s=60.0)


@pytest.fixture
def free_port() -> int:
    """A port that nothing listens on."""
    return free_ports(1)[0]


@pytest.fixture
def fresh_ports() -> dict[str, int]:
    """Ports for a stack of its own, by setting."""
    return _ports_by_setting()


@pytest.fixture(scope="module")
def module_ports() -> dict[str, int]:
    """The same, for a stack that a whole module shares."""
    return _ports_by_setting()


def _ports_by_setting() -> dict[str, int]:
    names = ("port", "grpc_port", "triton_http_port", "triton_grpc_port", "triton_metrics_port")
    return dict(zip(names, free_ports(5), strict=True))
