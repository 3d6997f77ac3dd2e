"""A tiny deployment on disk: 20 films, a published catalogue and a release, made by the real export code."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
import uvicorn
from tests.waiting import until

from longtail_bento.answering import Answering
from longtail_bento.domain import Interaction
from longtail_bento.grpc_server import GrpcDoor
from longtail_bento.http_app import HttpDoor
from longtail_bento.interactions import Interactions
from longtail_bento.release_set import ReleaseSet
from longtail_bento.releases import LiveRelease, load_release
from longtail_bento.settings import ServiceSettings
from longtail_bento.trials import Trials
from longtail_client.contract import GENERATOR, TEXT_ENCODER
from longtail_client.manifest import write_manifest
from longtail_client.release_state import ReleaseState, changing_state, write_state
from longtail_client.testing import FAKE_VERSION, FakeTransport
from longtail_export import catalogue_export
from longtail_export.catalogue_export import export_catalogue
from longtail_export.catalogue_sources import Tables
from longtail_export.progress import SilentProgress
from longtail_export.release_writer import create
from longtail_export.rows import Rows

GENRES = ("drama", "western", "horror", "comedy")
N_ITEMS = 20
HEAD = {"1", "2", "3", "4"}


def items_table() -> pa.Table:
    """Write films ``1`` to ``20``, five of each genre."""
    numbers = range(1, N_ITEMS + 1)
    genres = [GENRES[number % 4] for number in numbers]
    return pa.table(
        {
            "item_id": [str(number) for number in numbers],
            "title": [f"film number {number}" for number in numbers],
            "text": [f"{genre} about space and {chr(96 + n)}" for n, genre in zip(numbers, genres, strict=True)],
            "genres": [[genre] for genre in genres],
            "year": [1950 + number for number in numbers],
        }
    )


def interactions_table() -> pa.Table:
    """Have 21 - i users watch film i, so that films 1 to 4 are the head."""
    pairs = [(f"crowd-{user}", str(item)) for item in range(1, N_ITEMS + 1) for user in range(N_ITEMS + 1 - item)]
    return pa.table(
        {
            "user_id": [user for user, _ in pairs],
            "item_id": [item for _, item in pairs],
            "weight": pa.array([3.0] * len(pairs), pa.float32()),
            "timestamp": pa.array([0] * len(pairs), pa.int64()),
        }
    )


def publish_encoder(models: Path, version: str, tokenizer: Path) -> None:
    """Lay out a version of the encoder, without weights, with its manifest."""
    folder = models / TEXT_ENCODER.name / version
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(f"weights of {version}".encode())
    shutil.copy(tokenizer, folder / "tokenizer.json")
    write_manifest(folder, {})


def publish_catalogue(house: Path, name: str, encoder_version: str) -> None:
    """Publish the 20 films, embedded with a version of the encoder, by the real export code."""
    transport = FakeTransport()
    transport.served[TEXT_ENCODER.name] = {encoder_version}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalogue_export, "TritonTransport", lambda url: transport)
        export_catalogue(
            Tables(Rows.of(items_table()), Rows.of(interactions_table()), "twenty films"),
            folder=house / "var" / "catalogues" / name,
            var=house / "var",
            model_repository=house / "model_repository",
            encoder_version=encoder_version,
            triton_url="127.0.0.1:1",
            timeout_s=5.0,
            progress=SilentProgress(),
        )


def publish_models(models: Path, tokenizer: Path) -> None:
    """Lay out a version of both models, without weights, with their manifests."""
    publish_encoder(models, FAKE_VERSION, tokenizer)
    generator = models / GENERATOR.name / FAKE_VERSION
    generator.mkdir(parents=True)
    (generator / "generator.json").write_text("{}")
    write_manifest(generator, {})


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_path: Path) -> Path:
    """A folder with ``model_repository`` and ``var``, and the live release ``first``; read it only."""
    house = tmp_path_factory.mktemp("house")
    models = house / "model_repository"
    publish_models(models, tiny_tokenizer_path)

    publish_catalogue(house, "tiny", FAKE_VERSION)
    create(
        "first",
        catalogue_name="tiny",
        encoder_version=FAKE_VERSION,
        generator_version=FAKE_VERSION,
        model_repository=models,
        var=house / "var",
    )
    return house


@pytest.fixture
def house(published: Path, tmp_path: Path) -> Path:
    """A copy of ``published`` to damage."""
    return Path(shutil.copytree(published, tmp_path / "house"))


@pytest.fixture
def two_releases(house: Path, tiny_tokenizer_path: Path) -> Path:
    """A house whose release ``first`` is live, and whose ``second``, of the encoder's version 2, is in no place."""
    publish_encoder(house / "model_repository", "2", tiny_tokenizer_path)
    publish_catalogue(house, "tiny-2", "2")
    create(
        "second",
        catalogue_name="tiny-2",
        encoder_version="2",
        generator_version=FAKE_VERSION,
        model_repository=house / "model_repository",
        var=house / "var",
    )
    with changing_state(house / "var"):
        write_state(house / "var", ReleaseState(live="first"))
    return house


@pytest.fixture
def settings_for(tmp_path: Path) -> Callable[[Path], ServiceSettings]:
    """Settings that read a house and keep their database in ``tmp_path``."""

    def make(folder: Path) -> ServiceSettings:
        return ServiceSettings(
            var=folder / "var",
            model_repository=folder / "model_repository",
            database_url=f"sqlite:///{tmp_path / 'longtail.db'}",
        )

    return make


@pytest.fixture
def settings(published: Path, settings_for: Callable[[Path], ServiceSettings]) -> ServiceSettings:
    """Settings over the published house."""
    return settings_for(published)


@pytest.fixture
def transport() -> FakeTransport:
    """The fake Triton."""
    return FakeTransport()


@pytest.fixture
async def live(settings: ServiceSettings, transport: FakeTransport) -> LiveRelease:
    """The live release over the fake Triton, its fingerprint compared; the fake has forgotten the calls that took."""
    live = load_release(settings, transport)
    await live.compare(timeout_s=5.0)
    transport.calls.clear()
    return live


@pytest.fixture
async def interactions(settings: ServiceSettings) -> AsyncIterator[Interactions]:
    """A database in which user ``ada`` liked films 1, 5 and 9, and ``bob`` film 20."""
    store = Interactions(settings.interactions_url)
    await store.prepare()
    await store.record(
        [
            ("ada", Interaction("1", 5.0, 100)),
            ("ada", Interaction("5", 4.0, 200)),
            ("ada", Interaction("9", 5.0, 300)),
            ("bob", Interaction("20", 3.0, 50)),
        ]
    )
    yield store
    await store.close()


@dataclass(frozen=True)
class Stage:
    """Everything that answers, and the fake below it."""

    live: LiveRelease
    interactions: Interactions
    settings: ServiceSettings
    transport: FakeTransport

    def calls_of(self, model: str) -> int:
        """How often a model was called."""
        return sum(name == model for name, _ in self.transport.calls)


@pytest.fixture
def stage(live: LiveRelease, interactions: Interactions, settings: ServiceSettings, transport: FakeTransport) -> Stage:
    """The tiny deployment, ready to answer."""
    return Stage(live, interactions, settings, transport)


@dataclass(frozen=True)
class Doors:
    """The URLs of both doors over one `Answering`."""

    http: str
    grpc: str


@pytest.fixture
async def answering(stage: Stage) -> AsyncIterator[Answering]:
    """What both doors answer from, its live release compared."""
    releases = ReleaseSet(stage.settings, stage.transport)
    await releases.start()
    await until(lambda: releases.live.is_sound)
    yield Answering(releases, stage.interactions, Trials(stage.settings, releases, stage.interactions))
    await releases.stop()


@pytest.fixture
async def client(stage: Stage, answering: Answering) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the HTTP door, in this process."""

    async def ready() -> bool:
        return not stage.transport.down

    door = HttpDoor(stage.settings)
    door.open(answering, ready)
    transport = httpx.ASGITransport(app=door.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://longtail") as opened:
        yield opened


@pytest.fixture
async def doors(stage: Stage, answering: Answering) -> AsyncIterator[Doors]:
    """Both doors, open on loopback over the tiny deployment."""

    async def ready() -> bool:
        return not stage.transport.down

    grpc_door = GrpcDoor(stage.settings.model_copy(update={"grpc_port": 0}))
    grpc_port = await grpc_door.start(answering, ready)
    http_door = HttpDoor(stage.settings)
    http_door.open(answering, ready)
    server = uvicorn.Server(uvicorn.Config(http_door.app, host="127.0.0.1", port=0, lifespan="off", log_config=None))
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    http_port = server.servers[0].sockets[0].getsockname()[1]
    yield Doors(f"http://127.0.0.1:{http_port}", f"grpc://127.0.0.1:{grpc_port}")
    server.should_exit = True
    await serving
    await grpc_door.stop(grace_s=1.0)


def as_json(document: object) -> bytes:
    """Write a request body."""
    return json.dumps(document).encode()
