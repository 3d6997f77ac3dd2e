"""START HERE: a request in, recommendations out. Each stage is a pure function of the last; the awaits are the models.

history -> prompt -> generator -> descriptions -> encoder -> cosine top-k -> rerank -> recommendations
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import aclosing

import numpy as np

from longtail_bento.clock import Clock
from longtail_bento.domain import Description, History, Query, Ranked
from longtail_bento.flow.descriptions import parse_descriptions
from longtail_bento.flow.explanation import explain
from longtail_bento.flow.history import tidy_history
from longtail_bento.flow.interests import find_interests
from longtail_bento.flow.prompt import ASK_OPENINGS, MAX_LIKED, render_prompt
from longtail_bento.flow.reranking import rank
from longtail_bento.flow.retrieval import PER_QUERY, allowed_items, merge_candidates
from longtail_bento.interactions import Interactions
from longtail_bento.releases import LiveRelease
from longtail_bento.wire import (
    DescribeRequest,
    DescribeResponse,
    DescriptionOut,
    Explanation,
    RecommendationOut,
    RecommendRequest,
    RecommendResponse,
    ReleaseEvent,
    SearchRequest,
    SearchResponse,
    Timings,
    TokenEvent,
)
from longtail_client.errors import (
    ContractMismatch,
    DeadlineExceeded,
    ModelUnavailable,
    NothingToRecommend,
    Unavailable,
    UnknownUser,
)
from longtail_client.generator import Sampling

GENERATE_SHARE = 0.7
"""The part of the time left that the generator may use; the rest is kept for encoding, searching and ranking."""

_MODEL_FAILURES = (Unavailable, DeadlineExceeded, ContractMismatch)

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

    When the generator is late, away or broken, the answer is made from the interests alone; ``degraded`` says so.

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
        NothingToRecommend: The user has seen everything that was asked for.
        ModelUnavailable: There is no history to fall back on and Triton does not answer.
        DeadlineExceeded: There is no history to fall back on and the time ran out.
    """
    catalogue = live.catalogue
    seed = secrets.randbits(31) if request.seed is None else request.seed
    history = await history_of(request, live, interactions)
    if emit is not None:
        emit(ReleaseEvent(request_id=request_id, release=live.name))

    with clock.stage("generate"):
        descriptions = await described(request, history, live, clock, seed, emit)
    with clock.stage("encode"):
        queries = await worded_queries(descriptions, request.steer, live, clock) + interest_queries(history, live)
    if not queries:
        raise clock.last_failure or ModelUnavailable("there is no history to recommend from and nothing was described")
    with clock.stage("retrieve"):
        allowed = allowed_items(catalogue.is_tail, history.seen, tail_only=request.tail_only)
        if not allowed.any():
            raise NothingToRecommend(
                f"the user has seen every item of {'the tail' if request.tail_only else 'the catalogue'}"
                + ("; ask with tail_only false" if request.tail_only else ""),
                field="tail_only" if request.tail_only else None,
            )
        query_vectors = np.stack([query.vector for query in queries])
        found, _ = await asyncio.to_thread(live.retriever.search, query_vectors, allowed, max(PER_QUERY, request.k))
        candidates = merge_candidates(queries, found, catalogue.vectors, allowed)
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
        seed=seed,
        degraded=list(clock.failures),
        descriptions=[DescriptionOut(text=each.text, source=each.source) for each in descriptions],
        items=items,
        timings_ms=Timings(**clock.finished_ms("generate", "encode", "retrieve", "rerank")),
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
    seed = secrets.randbits(31) if request.seed is None else request.seed
    history = await history_of(request, live, interactions)
    with clock.stage("generate"):
        descriptions = await generated(request, history, live, clock, seed) if request.descriptions else []
    return DescribeResponse(
        request_id=request_id,
        release=live.release.name,
        seed=seed,
        descriptions=[DescriptionOut(text=each.text, source=each.source) for each in descriptions],
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
        encoder = await live.encoder(timeout_s=clock.left_s())
        query_vectors = await encoder.encode([request.text], timeout_s=clock.left_s())
    with clock.stage("retrieve"):
        allowed = allowed_items(catalogue.is_tail, np.empty(0, dtype=np.int64), tail_only=request.tail_only)
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


async def history_of(request: DescribeRequest, live: LiveRelease, interactions: Interactions) -> History:
    """Tidy the request's history, or the stored one of its user."""
    if request.user_id is not None:
        stored = await interactions.of_user(request.user_id)
        if not stored:
            raise UnknownUser(f"no interaction of user '{request.user_id}' is stored", field="user_id")
        return tidy_history(stored, live.catalogue.row_of)
    given = request.history or []
    for index, item in enumerate(given):
        live.catalogue.require(item.item_id, field=f"history.{index}.item_id")
    return tidy_history([item.as_interaction() for item in given], live.catalogue.row_of)


async def described(
    request: RecommendRequest, history: History, live: LiveRelease, clock: Clock, seed: int, emit: Emit | None
) -> list[Description]:
    """Take the descriptions that were given, or have the generator write some; do without when it does not answer."""
    if request.given_descriptions is not None:
        return [Description(text, "given") for text in request.given_descriptions]
    if request.descriptions == 0:
        return []
    try:
        descriptions = await generated(request, history, live, clock, seed, emit, share=GENERATE_SHARE)
    except _MODEL_FAILURES as error:
        clock.degrade("generate", error)
        return []
    if not descriptions:
        clock.degrade("generate", ModelUnavailable("the generator wrote nothing that describes an item"))
    return descriptions


async def generated(
    request: DescribeRequest,
    history: History,
    live: LiveRelease,
    clock: Clock,
    seed: int,
    emit: Emit | None = None,
    *,
    share: float = 1.0,
) -> list[Description]:
    """Have the generator write descriptions of items that the user would like, in a share of the time left."""
    liked = [live.catalogue.liked_phrase(int(row)) for row in history.most_telling(MAX_LIKED)]
    prompt = live.release.prompt
    generator = await live.generator(timeout_s=clock.left_s(share=share))
    sampling = Sampling(
        n=request.descriptions,
        max_tokens=prompt.max_tokens,
        temperature=prompt.temperature,
        top_p=prompt.top_p,
        repetition_penalty=prompt.repetition_penalty,
        stop=prompt.stop,
        seed=seed,
    )
    asked = render_prompt(prompt, liked, request.steer)
    timeout_s = clock.left_s(share=share)
    if emit is None:
        texts = await generator.generate(asked, sampling, timeout_s=timeout_s)
    else:
        texts = [""] * sampling.n
        async with aclosing(generator.stream(asked, sampling, timeout_s=timeout_s)) as stream:
            async for pieces in stream:
                for index, piece in enumerate(pieces):
                    texts[index] += piece
                    if piece:
                        emit(TokenEvent(description=index, text=piece))
    known = [*liked, *(live.catalogue.titles[int(row)] for row in history.rows), *ASK_OPENINGS]
    parsed = parse_descriptions(texts, limit=request.descriptions, known=known)
    return [Description(text, "generator") for text in parsed]


async def worded_queries(
    descriptions: Sequence[Description], steer: Sequence[str], live: LiveRelease, clock: Clock
) -> list[Query]:
    """Turn descriptions and wishes into query vectors; do without when the encoder does not answer."""
    texts = [description.text for description in descriptions] + list(steer)
    if not texts:
        return []
    try:
        encoder = await live.encoder(timeout_s=clock.left_s())
        vectors = await encoder.encode(texts, timeout_s=clock.left_s())
    except _MODEL_FAILURES as error:
        clock.degrade("encode", error)
        return []
    worded = [Query("description", text, vector) for text, vector in zip(texts, vectors, strict=True)]
    n_descriptions = len(descriptions)
    return worded[:n_descriptions] + [Query("steer", query.label, query.vector) for query in worded[n_descriptions:]]


def interest_queries(history: History, live: LiveRelease) -> list[Query]:
    """Turn a history into query vectors; this needs no model, since the catalogue's vectors are at hand."""
    vectors = live.catalogue.vectors[history.rows]
    queries = []
    for interest in find_interests(vectors, history.preferences):
        nearest = history.rows[int((vectors @ interest).argmax())]
        queries.append(Query("interest", live.catalogue.titles[int(nearest)], interest))
    return queries


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
                    sentence=explain(query), found_by=query.source, text=query.label, cosine=similarity
                )
                if with_explanations
                else None,
            )
        )
    return items
