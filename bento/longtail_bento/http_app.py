"""The HTTP door: paths, documentation and problem documents around the flow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from longtail_bento import metrics
from longtail_bento.answering import Answering
from longtail_bento.clock import LONGEST_DEADLINE_MS, MORE_TIME, Clock
from longtail_bento.edge import Edge, headers_of, request_id_var, written_for
from longtail_bento.embeddings_wire import EmbeddingsRequest, EmbeddingsResponse
from longtail_bento.gate import Gate
from longtail_bento.http_paths import BESIDE, KNOWN_METHODS, METHODS, path_of
from longtail_bento.interaction_wire import (
    MAX_INTERACTIONS,
    DeleteRequest,
    DeleteResponse,
    ListRequest,
    ListResponse,
    RecordRequest,
    RecordResponse,
    StoredId,
)
from longtail_bento.openapi import openapi_document
from longtail_bento.problem import problem, problem_of, refusal_of
from longtail_bento.readiness import Ready
from longtail_bento.release_overview import overview
from longtail_bento.settings import ServiceSettings
from longtail_bento.status import Status
from longtail_bento.wire import (
    DescribeRequest,
    DescribeResponse,
    EncodeRequest,
    EncodeResponse,
    Problem,
    RecommendRequest,
    RecommendResponse,
    ReleasesResponse,
    SearchRequest,
    SearchResponse,
    StreamEvent,
)
from longtail_client.errors import InvalidRequest, LongtailError, MalformedBody, ModelUnavailable
from longtail_client.release_report import Thresholds

_AGAIN = "try again; to ask the same twice is safe"
"""What to do where a request can name no deadline and changes nothing the second time."""

_UNBUFFERED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_EVENT_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: release, token, items, done, error",
        "content": {
            "text/event-stream": {
                "schema": {
                    "description": "One event.",
                    "type": "object",
                    "required": ["event", "data"],
                    "properties": {
                        "event": {"enum": ["release", "token", "items", "done", "error"]},
                        "data": {"type": "string", "contentMediaType": "application/json"},
                    },
                }
            }
        },
    }
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": meaning}
    for status, meaning in (
        (400, "The body is not JSON"),
        (401, "A key is needed; see WWW-Authenticate"),
        (408, "The body came too slowly"),
        (404, "No such user, item or release"),
        (413, "The body is too large"),
        (415, "The body must be application/json"),
        (422, "A field is not as it should be"),
        (429, "Too many requests"),
        (503, "A model or the database does not answer; see Retry-After"),
        (504, "The time ran out"),
    )
}


class _PageQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    after: int = Field(default=0, ge=0, le=2**53, description=ListRequest.model_fields["after"].description)
    limit: int = Field(
        default=1000, ge=1, le=MAX_INTERACTIONS, description=ListRequest.model_fields["limit"].description
    )


class HttpDoor:
    """The FastAPI app; `open` gives it something to answer from.

    Args:
        settings: Limits, default deadline, origins that may call from a browser.
        gate: Who may come in; None makes one of the settings.

    Raises:
        SettingsInvalid: The service would be open to others without keys.
    """

    def __init__(self, settings: ServiceSettings, gate: Gate | None = None) -> None:
        self._settings = settings
        gate = gate or Gate(settings)
        self._thresholds = Thresholds()
        self._answering: Answering | None = None
        self._ready: Ready | None = None
        self.app = FastAPI(
            title="longtail",
            description="Recommendations from the long tail of a catalogue.",
            openapi_url="/docs.json",
            docs_url=None,
            redoc_url=None,
            responses=_PROBLEMS,
            separate_input_output_schemas=False,
        )
        self._add_routes()
        self._add_problems()
        self.app.add_middleware(
            Edge,
            gate=gate,
            max_body_bytes=settings.max_body_bytes,
            longer_body_bytes={"/interactions": settings.max_interactions_bytes},
            body_timeout_s=settings.body_timeout_s,
        )

        self._document: dict[str, Any] | None = None
        self.app.openapi = self._openapi  # type: ignore[method-assign]
        self._asks_for_keys = gate.asks_for_keys
        origins = [origin.strip() for origin in (settings.cors_origins or "").split(",") if origin.strip()]
        if origins:
            self.app.add_middleware(
                CORSMiddleware,
                allow_origins=origins,
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
                expose_headers=["Retry-After", "WWW-Authenticate", "X-Request-ID"],
            )

    def open(self, answering: Answering, ready: Ready) -> None:
        """Begin to answer.

        Args:
            answering: What to answer from.
            ready: Says whether an inference just went through.
        """
        self._answering, self._ready = answering, ready

    def _openapi(self) -> dict[str, Any]:
        if self._document is None:
            self._document = openapi_document(self.app, asks_for_keys=self._asks_for_keys)
        return self._document

    @property
    def answering(self) -> Answering:
        """What the door answers from."""
        if self._answering is None:
            raise RuntimeError("the service answers before it has started")
        return self._answering

    def _clock(self, deadline_ms: int | None = None, *, remedy: str = MORE_TIME) -> Clock:
        return Clock(deadline_ms or self._settings.default_deadline_ms, remedy=remedy)

    def _add_routes(self) -> None:
        @self.app.post("/recommend", response_model_exclude_none=True)
        async def recommend(request: RecommendRequest) -> RecommendResponse:
            """Recommend items of the long tail to a user, or for a history."""
            clock = self._clock(request.deadline_ms)
            return await self.answering.recommend(request, clock, request_id=request_id_var.get())

        @self.app.post("/recommend/stream", response_class=StreamingResponse, responses=_EVENT_STREAM)
        async def recommend_stream(request: RecommendRequest) -> StreamingResponse:
            """Recommend, and tell of it as it happens, in server-sent events.

            `release`, then a `token` for each piece of text that the generator writes, then `items`, the answer of
            /recommend, then `done`. What fails before the first event is an ordinary problem response; what fails
            later is a last event, `error`, with the problem document.
            """
            clock = self._clock(request.deadline_ms)
            events = self.answering.recommend_stream(request, clock, request_id=request_id_var.get())
            first = await anext(events)
            return StreamingResponse(_sent(first, events), headers=_UNBUFFERED, media_type="text/event-stream")

        @self.app.post("/describe")
        async def describe(request: DescribeRequest) -> DescribeResponse:
            """Have the generator describe items that a user would like."""
            clock = self._clock(request.deadline_ms)
            return await self.answering.describe(request, clock, request_id=request_id_var.get())

        @self.app.post("/search", response_model_exclude_none=True)
        async def search(request: SearchRequest) -> SearchResponse:
            """Find the items nearest to a text."""
            return await self.answering.search(
                request, self._clock(request.deadline_ms), request_id=request_id_var.get()
            )

        @self.app.post("/encode")
        async def encode(request: EncodeRequest) -> EncodeResponse:
            """Embed texts with the live release's encoder."""
            return await self.answering.encode(request, self._clock(request.deadline_ms))

        @self.app.post("/v1/embeddings")
        async def embeddings(request: EmbeddingsRequest) -> EmbeddingsResponse:
            """Embed texts with the live release's encoder, as OpenAI's clients ask for it."""
            # Who speaks OpenAI's protocol can name no deadline.
            clock = Clock(LONGEST_DEADLINE_MS, remedy="send fewer texts at a time")
            return await self.answering.embeddings(request, clock)

        @self.app.post("/interactions")
        async def record(request: RecordRequest) -> RecordResponse:
            """Record what users did; the next answer reflects it, and nothing that is acknowledged is lost."""
            return await self.answering.record(request, self._clock(remedy=_AGAIN))

        @self.app.get("/users/{user_id:path}/interactions", response_model_exclude_none=True)
        async def list_interactions(user_id: StoredId, page: Annotated[_PageQuery, Query()]) -> ListResponse:
            """Read a user's interactions, a page at a time."""
            request = ListRequest(user_id=user_id, **page.model_dump())
            return await self.answering.list_interactions(request, self._clock(remedy=_AGAIN))

        @self.app.delete("/users/{user_id:path}/interactions")
        async def delete_interactions(user_id: StoredId) -> DeleteResponse:
            """Delete all of a user's interactions; they are then in no answer any more."""
            return await self.answering.delete_interactions(DeleteRequest(user_id=user_id), self._clock(remedy=_AGAIN))

        @self.app.get("/release")
        async def release() -> ReleasesResponse:
            """Say what is serving: versions, hashes, fingerprints, and what releases on trial showed."""
            return overview(self.answering.releases, self.answering.trials, self._thresholds)

        @self.app.get("/", include_in_schema=False)
        async def index() -> dict[str, Any]:
            return {"service": "longtail", "release": self.answering.releases.live.name, "documentation": "/docs.json"}

        @self.app.api_route("/livez", methods=list(BESIDE["/livez"]), include_in_schema=False)
        async def alive() -> Response:
            return PlainTextResponse("\n")

        @self.app.api_route("/readyz", methods=list(BESIDE["/readyz"]), include_in_schema=False)
        async def ready() -> Response:
            if self._ready is None or not await self._ready():
                raise ModelUnavailable("no inference of the live release goes through; is Triton there?")
            return PlainTextResponse("\n")

        @self.app.get("/metrics", include_in_schema=False)
        async def counted() -> Response:
            return Response(await asyncio.to_thread(metrics.exposition), media_type=CONTENT_TYPE_LATEST)

        @self.app.api_route("/{path:path}", methods=list(KNOWN_METHODS), include_in_schema=False)
        async def elsewhere(path: str) -> None:
            """Answer in our own words what FastAPI would answer in its own."""
            known = path_of(f"/{path}") or f"/{path}"
            methods = METHODS.get(known) or BESIDE.get(known)
            if methods is not None:
                expected = f"expected {' or '.join(methods)} on {known}"
                raise HTTPException(405, expected, headers={"Allow": ", ".join(methods)})
            raise HTTPException(404, f"there is nothing at /{path[:80]}; see /docs.json")

    def _add_problems(self) -> None:
        @self.app.exception_handler(LongtailError)
        async def known(request: Request, error: LongtailError) -> JSONResponse:
            return _response(request, problem_of(error, request_id_var.get()), headers_of(error))

        @self.app.exception_handler(RequestValidationError)
        async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
            return _response(request, problem_of(_first_invalid_field(error), request_id_var.get()), {})

        @self.app.exception_handler(HTTPException)
        async def http(request: Request, error: HTTPException) -> JSONResponse:
            if error.status_code == 400:
                unreadable = MalformedBody("expected JSON, got a body that cannot be read as JSON")
                return _response(request, problem_of(unreadable, request_id_var.get()), {})
            title = HTTPStatus(error.status_code).phrase
            status = Status(error.status_code, "", title)
            document = problem(status, title.replace(" ", ""), str(error.detail), request_id_var.get())
            return _response(request, document, dict(error.headers or {}))


async def _sent(first: StreamEvent, rest: AsyncGenerator[StreamEvent, None]) -> AsyncGenerator[str, None]:
    """Write events as server-sent events."""
    async with aclosing(rest):
        yield _event(first)
        async for event in rest:
            yield _event(event)


def _event(event: StreamEvent) -> str:
    return f"event: {event.event}\ndata: {event.model_dump_json(exclude_none=True)}\n\n"


def _response(request: Request, document: Mapping[str, Any], headers: Mapping[str, str]) -> JSONResponse:
    document = written_for(request.url.path, document)
    return JSONResponse(
        document, status_code=document["status"], headers=dict(headers), media_type="application/problem+json"
    )


def _first_invalid_field(error: RequestValidationError) -> InvalidRequest | MalformedBody:
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        place = first["loc"][-1]
        return MalformedBody(f"expected JSON, got something else at character {place}: {first['msg']}")
    return refusal_of(error.errors())
