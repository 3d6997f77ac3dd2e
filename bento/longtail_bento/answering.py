"""A request in, the answer of one release out: the one that was named, the user's canary, or the live one.

Every door calls this. When a canary cannot answer, the live release does, and the canary's report says so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from longtail_bento import metrics, pipeline
from longtail_bento.clock import Clock
from longtail_bento.description_cache import digest_of_user
from longtail_bento.embeddings_wire import LIVE, EmbeddingsRequest, EmbeddingsResponse
from longtail_bento.interaction_wire import (
    DeleteRequest,
    DeleteResponse,
    InteractionOut,
    ListRequest,
    ListResponse,
    RecordRequest,
    RecordResponse,
)
from longtail_bento.interactions import Interactions
from longtail_bento.problem import problem_of, unknown_problem
from longtail_bento.release_set import ReleaseSet
from longtail_bento.releases import LiveRelease
from longtail_bento.trials import Trials
from longtail_bento.wire import (
    DescribeRequest,
    DescribeResponse,
    DoneEvent,
    EncodeRequest,
    EncodeResponse,
    ErrorEvent,
    ItemsEvent,
    RecommendRequest,
    RecommendResponse,
    SearchRequest,
    SearchResponse,
    StreamEvent,
)
from longtail_client.errors import (
    DeadlineExceeded,
    InvalidRequest,
    LongtailError,
    OperatorError,
    Unavailable,
    UnknownRelease,
    UnknownUser,
)

_log = logging.getLogger("longtail")

_RELEASE_FAILURES = (Unavailable, OperatorError, DeadlineExceeded)

Answer = TypeVar("Answer")


class Answering:
    """What the doors answer from.

    Args:
        releases: The releases in service.
        interactions: Where stored histories are.
        trials: Told of each answer to a user.
    """

    def __init__(self, releases: ReleaseSet, interactions: Interactions, trials: Trials) -> None:
        self.releases = releases
        self.interactions = interactions
        self.trials = trials

    async def recommend(
        self, request: RecommendRequest, clock: Clock, *, request_id: str, emit: pipeline.Emit | None = None
    ) -> RecommendResponse:
        """See `pipeline.recommend`; the request may name a release.

        Raises:
            UnknownRelease: The named release cannot be asked now.
        """

        async def of(release: LiveRelease, clock: Clock) -> RecommendResponse:
            answer = await pipeline.recommend(
                request, release, self.interactions, clock, request_id=request_id, emit=emit
            )
            metrics.observe_recommendation(answer)
            for stage, reason in clock.failures.items():
                _log.warning("request %s did without %s: %s", request_id, stage, reason)
            if request.release is None:
                self.trials.answered(release, request, answer)
            return answer

        return await self._answer(of, clock, name=request.release, sticky=sticky_of(request))

    async def recommend_stream(
        self, request: RecommendRequest, clock: Clock, *, request_id: str
    ) -> AsyncGenerator[StreamEvent, None]:
        """Recommend as `recommend` does, and tell of it as it happens; closing the iterator ends the generation.

        What fails before the first event is raised. What fails later is told by the last event.

        Yields:
            A release, tokens, items and done; an error in place of what is missing.
        """
        events: asyncio.Queue[StreamEvent | None] = asyncio.Queue()
        flow = asyncio.create_task(
            self.recommend(request, clock, request_id=request_id, emit=events.put_nowait), name=f"stream {request_id}"
        )
        flow.add_done_callback(lambda _: events.put_nowait(None))
        try:
            first = await events.get()
            if first is None:
                flow.result()
            event = first
            while event is not None:
                yield event
                event = await events.get()
            try:
                answer = flow.result()
            except LongtailError as error:
                yield ErrorEvent(**problem_of(error, request_id))
            except Exception as error:
                _log.error("request %s failed", request_id, exc_info=error)
                yield ErrorEvent(**unknown_problem(request_id))
            else:
                yield ItemsEvent.model_construct(**dict(answer))
                yield DoneEvent(request_id=request_id)
        finally:
            flow.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await flow

    async def describe(self, request: DescribeRequest, clock: Clock, *, request_id: str) -> DescribeResponse:
        """See `pipeline.describe`; the same user gets the same release as in `recommend`."""

        async def of(release: LiveRelease, clock: Clock) -> DescribeResponse:
            return await pipeline.describe(request, release, self.interactions, clock, request_id=request_id)

        answer = await self._answer(of, clock, name=request.release, sticky=sticky_of(request))
        metrics.observe_stages("describe", answer.timings_ms)
        return answer

    async def search(self, request: SearchRequest, clock: Clock, *, request_id: str) -> SearchResponse:
        """See `pipeline.search`; no user asks, so there is no canary."""
        with self.releases.taken(request.release) as release:
            answer = await pipeline.search(request, release, clock, request_id=request_id)
        metrics.observe_stages("search", answer.timings_ms)
        return answer

    async def encode(self, request: EncodeRequest, clock: Clock) -> EncodeResponse:
        """Embed texts. There is no canary: whoever keeps vectors must not get those of two encoders."""
        with self.releases.taken(request.release) as release, clock.stage("encode"):
            async with clock.limited():
                encoder = await release.encoder(timeout_s=clock.left_s())
                vectors = await encoder.encode(request.texts, timeout_s=clock.left_s())
            answer = EncodeResponse(vectors=vectors.tolist(), release=release.name)
        metrics.observe_stages("encode", clock.finished_ms("encode"))
        return answer

    async def embeddings(self, request: EmbeddingsRequest, clock: Clock) -> EmbeddingsResponse:
        """Embed texts as `encode` does, for clients that speak OpenAI's API.

        Raises:
            UnknownRelease: The model is none that can be asked now.
            InvalidRequest: The dimensions are not those of the encoder.
        """
        try:
            taken = self.releases.taken(None if request.model == LIVE else request.model)
            with taken as release, clock.stage("encode"):
                answer = await _embedded(request, release, clock)
        except UnknownRelease as error:
            raise UnknownRelease(f"{error}; '{LIVE}' is the live one", field="model") from error
        metrics.observe_stages("embeddings", clock.finished_ms("encode"))
        return answer

    async def record(self, request: RecordRequest, clock: Clock) -> RecordResponse:
        """Store what users did.

        Raises:
            DatabaseUnavailable: The database does not answer; nothing was stored.
            DeadlineExceeded: It did not in time; all was stored, or nothing. To send the same again is safe.
        """
        now_s = int(time.time())
        events = [(each.user_id, each.as_interaction(now_s)) for each in request.interactions]
        new = await clock.within(self.interactions.record(events))
        metrics.INTERACTIONS.inc(new)
        return RecordResponse(received=len(request.interactions), new=new)

    async def list_interactions(self, request: ListRequest, clock: Clock) -> ListResponse:
        """Read a page of a user's interactions.

        Raises:
            UnknownUser: No interaction of the user is stored.
            DatabaseUnavailable: The database does not answer.
            DeadlineExceeded: It did not in time.
        """
        reading = self.interactions.page_of_user(request.user_id, after=request.after, limit=request.limit)
        page = await clock.within(reading)
        if not page.interactions and request.after == 0:
            raise UnknownUser("no interaction of this user is stored", field="user_id")
        interactions = [InteractionOut.of(each) for each in page.interactions]
        return ListResponse(user_id=request.user_id, interactions=interactions, next=page.next)

    async def delete_interactions(self, request: DeleteRequest, clock: Clock) -> DeleteResponse:
        """Delete a user's interactions, and the descriptions kept for them; it is no error that there are none.

        Other processes forget within seconds; see `Forgetting`.

        Raises:
            DatabaseUnavailable: The database does not answer.
            DeadlineExceeded: It did not in time; the interactions are there, or are gone. To ask again is safe.
        """
        deleted = await clock.within(self.interactions.delete_user(request.user_id))
        for release in self.releases.loaded.values():
            release.cache.forget([digest_of_user(request.user_id)])
        return DeleteResponse(deleted=deleted)

    async def _answer(
        self,
        of: Callable[[LiveRelease, Clock], Awaitable[Answer]],
        clock: Clock,
        *,
        name: str | None,
        sticky: str | None,
    ) -> Answer:
        with self.releases.taken(name, sticky=sticky) as release:
            place = "named" if name is not None else "canary" if self.releases.is_canary(release) else "live"
            try:
                answer = await of(release, clock)
            except _RELEASE_FAILURES as error:
                metrics.ANSWERS.labels(release.name, place, "failed").inc()
                if place != "named":
                    self.trials.failed(release)
                if place != "canary":
                    raise
                _log.warning("the canary %s could not answer, the live release does: %s", release.name, error)
            else:
                metrics.ANSWERS.labels(release.name, place, "answered").inc()
                return answer
        return await self._answer(of, Clock(clock.left_s() * 1000), name=None, sticky=None)


async def _embedded(request: EmbeddingsRequest, release: LiveRelease, clock: Clock) -> EmbeddingsResponse:
    async with clock.limited():
        encoder = await release.encoder(timeout_s=clock.left_s())
        if request.dimensions not in (None, encoder.dim):
            raise InvalidRequest(
                f"dimensions: expected {encoder.dim}, as release {release.name} gives, got {request.dimensions}",
                field="dimensions",
            )
        vectors = await encoder.encode(request.input, timeout_s=clock.left_s())
    return EmbeddingsResponse.of(
        vectors,
        encoding_format=request.encoding_format,
        model=release.name,
        n_tokens=encoder.n_tokens(request.input),
    )


def sticky_of(request: DescribeRequest) -> str | None:
    """Say who asks: the user, or else the history; None where there is neither."""
    if request.user_id is not None:
        return f"user {request.user_id}"
    if request.history:
        return "history " + " ".join(item.item_id for item in request.history)
    return None
