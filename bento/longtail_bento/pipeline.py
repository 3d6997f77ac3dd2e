"""START HERE: a request in, recommendations out. Each stage is a pure function of the last; the awaits are the models.

history -> prompt -> generator -> descriptions -> encoder -> cosine top-k -> rerank -> recommendations
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np

from longtail_bento.catalogue import Catalogue
from longtail_bento.clock import Clock
from longtail_bento.describing import described, generated, says_nothing, seed_of
from longtail_bento.domain import Described, History, Mask, Query, Ranked, Rows
from longtail_bento.flow.explanation import explain
from longtail_bento.flow.filtering import filter_mask
from longtail_bento.flow.history import tidy_history
from longtail_bento.flow.reranking import rank
from longtail_bento.flow.retrieval import PER_QUERY, allowed_items, merge_candidates
from longtail_bento.interactions import Interactions
from longtail_bento.querying import interest_queries, searchable, worded_queries
from longtail_bento.releases import LiveRelease
from longtail_bento.wire import (
    DescribeRequest,
    DescribeResponse,
    DescriptionOut,
    Explanation,
    FoundBy,
    RecommendationOut,
    RecommendRequest,
    RecommendResponse,
    ReleaseEvent,
    SearchRequest,
    SearchResponse,
    Timings,
    TokenEvent,
)
from longtail_client.errors import NothingToRecommend, UnknownUser

Emit = Callable[[ReleaseEvent | TokenEvent], None]
"""Told of what happens before the answer is whole."""


async def recommend(
    request: RecommendRequest,
    live: LiveRelease,
    interactions: Interactions,
    clock: Clock,
    *,
    request_id: str,
    emit: Emit | None = None,
) -> RecommendResponse:
    """Recommend items of the long tail.

    When a model is late, away or broken, the answer does without it, and ``degraded`` says so: see `described` for the
    generator; without the encoder the interests alone answer.

    Args:
        request: Whose taste, how many items, and how.
        live: The release that answers.
        interactions: Where stored histories are.
        clock: The request's time.
        request_id: Comes back in the answer.
        emit: Told of the release, then of each piece of text as the generator writes it; None waits for whole texts.

    Raises:
        UnknownUser: No interaction of the user is stored.
        UnknownItem: The history names an item that the catalogue does not have.
        InvalidRequest: The filter names an attribute that the catalogue does not have.
        NothingToRecommend: The user has seen everything that was asked for, or nothing that the catalogue has.
        ModelUnavailable: There is no history to fall back on and Triton does not answer.
        DeadlineExceeded: The time ran out, and there is no history to fall back on or no time to search for one.
    """
    catalogue = live.catalogue
    history = await history_of(request, live, interactions, clock)
    with clock.stage("retrieve"):
        async with clock.limited():
            allowed = await asyncio.to_thread(recommendable, request, history.seen, catalogue)
    if emit is not None:
        emit(ReleaseEvent(request_id=request_id, release=live.name))

    with clock.stage("generate"):
        written = await described(request, history, live, clock, emit)
    with clock.stage("encode"):
        worded = await worded_queries(written.descriptions, request, live, clock)
        queries, aversions = searchable(worded + interest_queries(history, live))
    if not queries:
        raise clock.last_failure or NothingToRecommend(
            "the user has no interaction with an item of this catalogue; ask with steer sentences", field="user_id"
        )
    with clock.stage("retrieve"):
        query_vectors = np.stack([query.vector for query in queries])
        async with clock.limited():
            found, _ = await asyncio.to_thread(live.retriever.search, query_vectors, allowed, max(PER_QUERY, request.k))
        candidates = merge_candidates(queries + aversions, found, catalogue.vectors, allowed)
    with clock.stage("rerank"):
        ranked = rank(
            candidates,
            catalogue.vectors,
            catalogue.popularity,
            live.release.weights,
            k=request.k,
            adventurousness=request.adventurousness,
            diversity=request.diversity,
        )
        items = served(ranked, queries, live, with_explanations=request.explain)

    return RecommendResponse(
        request_id=request_id,
        release=live.release.name,
        seed=written.seed,
        degraded=list(clock.failures),
        descriptions=described_out(written),
        items=items,
        timings_ms=Timings(**clock.finished_ms("generate", "encode", "retrieve", "rerank")),
        request=request,
    )


async def describe(
    request: DescribeRequest, live: LiveRelease, interactions: Interactions, clock: Clock, *, request_id: str
) -> DescribeResponse:
    """Have the generator describe items that a user would like, and return the descriptions alone.

    Raises:
        UnknownUser: No interaction of the user is stored.
        UnknownItem: The history names an item that the catalogue does not have.
        ModelUnavailable: The generator does not answer.
        DeadlineExceeded: It did not answer in time.
    """
    history = await history_of(request, live, interactions, clock)
    with clock.stage("generate"):
        written = Described((), seed_of(request))
        if request.descriptions and not says_nothing(history, request):
            written = await generated(request, history, live, clock)
    return DescribeResponse(
        request_id=request_id,
        release=live.release.name,
        seed=written.seed,
        descriptions=described_out(written),
        timings_ms=clock.finished_ms("generate"),
    )


async def search(request: SearchRequest, live: LiveRelease, clock: Clock, *, request_id: str) -> SearchResponse:
    """Find the items nearest to a text, by cosine alone.

    Raises:
        ModelUnavailable: The encoder does not answer.
        DeadlineExceeded: It did not answer in time.
    """
    catalogue = live.catalogue
    with clock.stage("encode"):
        async with clock.limited():
            encoder = await live.encoder(timeout_s=clock.left_s())
            query_vectors = await encoder.encode([request.text], timeout_s=clock.left_s())
    with clock.stage("retrieve"):
        async with clock.limited():
            allowed = await asyncio.to_thread(allowed_rows, request, np.empty(0, dtype=np.int64), catalogue)
            rows, cosines = await asyncio.to_thread(live.retriever.search, query_vectors, allowed, request.k)
        n_found = min(request.k, int(allowed.sum()))
        cosines_found = cosines[0, :n_found].astype(np.float32)
        found = Ranked(rows[0, :n_found], cosines_found, np.zeros(n_found, dtype=np.int64), cosines_found)
    query = Query("steer", request.text, query_vectors[0])
    return SearchResponse(
        request_id=request_id,
        release=live.release.name,
        items=served(found, [query], live, with_explanations=False),
        timings_ms=clock.finished_ms("encode", "retrieve"),
    )


async def history_of(request: DescribeRequest, live: LiveRelease, interactions: Interactions, clock: Clock) -> History:
    """Tidy the request's history, or the stored one of its user."""
    if request.user_id is not None:
        stored = await clock.within(interactions.of_user(request.user_id))
        if not stored:
            raise UnknownUser(f"no interaction of user '{request.user_id}' is stored", field="user_id")
        return tidy_history(stored, live.catalogue.row_of)
    given = request.history or []
    for index, item in enumerate(given):
        live.catalogue.require(item.item_id, field=f"history.{index}.item_id")
    return tidy_history([item.as_interaction() for item in given], live.catalogue.row_of)


def allowed_rows(request: RecommendRequest | SearchRequest, seen: Rows, catalogue: Catalogue) -> Mask:
    """Say which items may be in the answer."""
    allowed = allowed_items(catalogue.is_tail, seen, tail_only=request.tail_only)
    if request.filter is not None:
        allowed &= filter_mask(request.filter, len(allowed), catalogue.column)
    return allowed


def recommendable(request: RecommendRequest, seen: Rows, catalogue: Catalogue) -> Mask:
    """Say which items may be recommended, at least one.

    Raises:
        InvalidRequest: The filter does not fit the catalogue.
        NothingToRecommend: There is none.
    """
    allowed = allowed_rows(request, seen, catalogue)
    if allowed.any():
        return allowed
    whole = "the tail" if request.tail_only else "the catalogue"
    if request.filter is not None:
        raise NothingToRecommend(f"no item of {whole} that the user has not seen passes the filter", field="filter")
    raise NothingToRecommend(
        f"the user has seen every item of {whole}" + ("; ask with tail_only false" if request.tail_only else ""),
        field="tail_only" if request.tail_only else None,
    )


def served(
    ranked: Ranked, queries: Sequence[Query], live: LiveRelease, *, with_explanations: bool
) -> list[RecommendationOut]:
    """Write recommendations as callers get them."""
    catalogue = live.catalogue
    items = []
    for position, row in enumerate(ranked.rows.tolist()):
        query = queries[int(ranked.found_by[position])]
        similarity = float(np.clip(ranked.similarities[position], -1.0, 1.0))
        items.append(
            RecommendationOut(
                rank=position + 1,
                item_id=catalogue.item_ids[row],
                title=catalogue.titles[row],
                score=float(ranked.scores[position]),
                similarity=similarity,
                popularity_percentile=float(catalogue.popularity_percentile[row]),
                attributes=dict(catalogue.attributes[row]),
                explanation=Explanation(
                    sentence=explain(query), found_by=cast(FoundBy, query.source), text=query.label, cosine=similarity
                )
                if with_explanations
                else None,
            )
        )
    return items


def described_out(written: Described) -> list[DescriptionOut]:
    """Write descriptions as callers get them."""
    return [DescriptionOut(text=each.text, source=each.source) for each in written.descriptions]
