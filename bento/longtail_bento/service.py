"""The BentoML service: loads the live release, opens both doors, says whether an inference just went through."""

from __future__ import annotations

import gc
import os
from typing import Any

import bentoml

from longtail_bento import access_log
from longtail_bento.answering import Answering
from longtail_bento.edge import App, Receive, Scope, Send
from longtail_bento.forgetting import Forgetting
from longtail_bento.gate import Gate
from longtail_bento.grpc_server import GrpcDoor
from longtail_bento.http_app import HttpDoor
from longtail_bento.interactions import Interactions
from longtail_bento.readiness import Readiness, infers
from longtail_bento.release_set import ReleaseSet
from longtail_bento.settings import ServiceSettings
from longtail_bento.trials import Trials
from longtail_bento.triton.tied import end_with_parent
from longtail_client.triton_transport import TritonTransport

_GRACE_S = 10.0

settings = ServiceSettings()
gate = Gate(settings)
door = HttpDoor(settings, gate)
grpc_door = GrpcDoor(settings, gate)


@bentoml.service(
    name="longtail",
    workers=settings.workers,
    traffic={"timeout": 120},
    # These name each path in full, and a path may hold a user's id: ours take their place.
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
)
class Longtail:
    """One worker."""

    def __init__(self) -> None:
        self._readiness = Readiness(lambda: infers(self._releases.live))

    @bentoml.on_startup
    async def start(self) -> None:
        """Load the live release; Triton may be away meanwhile."""
        end_with_parent(os.getppid())  # BentoML's own process, which nobody restarts for its workers
        if settings.access_log:
            access_log.start()
        key = settings.triton_admin_key
        admin_key = key.get_secret_value() if key is not None else None
        self._transport = TritonTransport(settings.triton_grpc, admin_key=admin_key)
        self._releases = ReleaseSet(settings, self._transport)
        await self._releases.start()
        self._interactions = Interactions(settings.interactions_url)
        await self._interactions.prepare()
        self._trials = Trials(
            settings, self._releases, self._interactions, worker=bentoml.server_context.worker_index or 1
        )
        self._trials.start()
        self._forgetting = Forgetting(self._releases, self._interactions)
        await self._forgetting.start()
        answering = Answering(self._releases, self._interactions, self._trials)
        door.open(answering, self._readiness)
        await grpc_door.start(answering, self._readiness)
        gc.collect()
        gc.freeze()  # what lives as long as the process need not be looked through again

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """Let running calls end, write what is known, and give connections back."""
        await grpc_door.stop(grace_s=_GRACE_S)
        await self._forgetting.stop()
        await self._trials.stop()
        await self._releases.stop()
        await self._interactions.close()
        await self._transport.close()


class _Front:
    """Has the door answer every HTTP request; BentoML's own paths would need no key, and carry no request id.

    Args:
        app: BentoML's app, which starts and stops the worker.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answering: Any = door.app if scope["type"] == "http" else self._app
        await answering(scope, receive, send)


Longtail.add_asgi_middleware(_Front)  # type: ignore[attr-defined]
