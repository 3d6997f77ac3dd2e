"""The BentoML service: loads the live release, answers over HTTP, says whether an inference just went through."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from contextlib import suppress

import bentoml

from longtail_bento import metrics
from longtail_bento.http_app import HttpDoor, Serving
from longtail_bento.interactions import Interactions
from longtail_bento.releases import load_release
from longtail_bento.settings import ServiceSettings
from longtail_client.errors import LongtailError, OperatorError
from longtail_client.triton_transport import TritonTransport

_log = logging.getLogger("longtail")

_PROBE_TEXT = "is anybody there"
_PROBE_TIMEOUT_S = 5.0
_PROBE_AGE_S = 1.0
_COMPARE_AGAIN_S = 1.0

settings = ServiceSettings()
door = HttpDoor(settings)


@bentoml.service(name="longtail", workers=settings.workers, traffic={"timeout": 120})
@bentoml.asgi_app(door.app, path="/")
class Longtail:
    """One worker."""

    def __init__(self) -> None:
        self._probed_at_s = float("-inf")
        self._probe_passed = False

    @bentoml.on_startup
    async def start(self) -> None:
        """Load the release; Triton may be away meanwhile."""
        self._transport = TritonTransport(settings.triton_grpc)
        self._live = load_release(settings, self._transport, settings.release)
        self._interactions = Interactions(settings.interactions_url)
        await self._interactions.prepare()
        door.open(Serving(self._live, self._interactions))
        self._comparing = asyncio.create_task(self._keep_comparing())
        gc.collect()
        gc.freeze()  # what lives as long as the process need not be looked through again

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """Give connections back."""
        self._comparing.cancel()
        with suppress(asyncio.CancelledError):
            await self._comparing
        await self._interactions.close()
        await self._transport.close()

    async def __is_ready__(self) -> bool:
        """Ready means: an inference went through within the last second."""
        if time.monotonic() - self._probed_at_s > _PROBE_AGE_S:
            try:
                encoder = await self._live.encoder(timeout_s=_PROBE_TIMEOUT_S)
                await encoder.encode([_PROBE_TEXT], timeout_s=_PROBE_TIMEOUT_S)
                self._probe_passed = True
            except LongtailError:
                self._probe_passed = False
            self._probed_at_s = time.monotonic()
        return self._probe_passed

    async def _keep_comparing(self) -> None:
        """Compare Triton's vectors with the index's: until they agree, and on a timer from then on."""
        name = self._live.release.name
        while True:
            pause_s = settings.fingerprint_every_s
            try:
                await self._live.compare(timeout_s=_PROBE_TIMEOUT_S)
            except OperatorError as error:
                _log.error("release %s: %s", name, error)
                pause_s = min(pause_s, 10.0)
            except LongtailError as error:
                _log.warning("release %s: its fingerprint could not be compared: %s", name, error)
                pause_s = _COMPARE_AGAIN_S
            if self._live.comparison is not None:
                metrics.FINGERPRINT_WORST_COSINE.labels(name).set(self._live.comparison.worst_cosine)
            await asyncio.sleep(pause_s)
