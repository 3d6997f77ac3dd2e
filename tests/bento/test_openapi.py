"""The document at /docs.json says exactly what the HTTP door does; the door stands on the fake Triton."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from pydantic import SecretStr
from tests.conftest import free_port
from tests.fuzzing import CASES, contradictions

from longtail_bento.answering import Answering
from longtail_bento.http_app import HttpDoor
from longtail_bento.interaction_wire import CLOCK_SKEW_S
from longtail_bento.interactions import Interactions
from longtail_bento.release_set import ReleaseSet
from longtail_bento.settings import ServiceSettings
from longtail_bento.trials import Trials
from longtail_client.testing import FakeTransport


async def always() -> bool:
    return True


KEY = "a-key-for-the-fuzzer-only"
STARTED_WITHIN_S = 120.0
NOW_S = 1_800_000_000


class ServedDoor:
    """The door on a port of loopback, in a thread with a loop of its own."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self.url = f"http://127.0.0.1:{settings.port}"
        self._server: uvicorn.Server | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def start(self) -> None:
        self._thread.start()
        deadline_s = time.monotonic() + STARTED_WITHIN_S
        while self._server is None or not self._server.started:
            assert self._thread.is_alive()
            assert time.monotonic() < deadline_s
            time.sleep(0.02)

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join()

    async def _serve(self) -> None:
        transport = FakeTransport()
        releases = ReleaseSet(self._settings, transport)
        store = Interactions(self._settings.interactions_url)
        await store.prepare()
        await releases.start()
        await releases.live.compare(timeout_s=30.0)
        door = HttpDoor(self._settings)
        door.open(Answering(releases, store, Trials(self._settings, releases, store)), always)
        self._server = uvicorn.Server(uvicorn.Config(door.app, port=self._settings.port, log_level="error", ws="none"))
        await self._server.serve()
        await releases.stop()
        await store.close()


@pytest.fixture
def door(settings: ServiceSettings) -> Iterator[ServedDoor]:
    served = ServedDoor(settings.model_copy(update={"port": free_port(), "api_keys": SecretStr(KEY)}))
    served.start()
    yield served
    served.stop()


def test_nothing_contradicts_the_document(door: ServedDoor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longtail_bento.interaction_wire.time.time", lambda: float(NOW_S))
    found = contradictions(door.url, tmp_path, cases=CASES, key=KEY, dim=16, latest_s=NOW_S + CLOCK_SKEW_S)
    assert not found, found
