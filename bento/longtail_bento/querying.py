"""Descriptions, wishes and a history in, the vectors to search with and those to keep away from out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from longtail_bento.clock import Clock
from longtail_bento.describing import MODEL_FAILURES, PRIORITIES
from longtail_bento.domain import Description, History, Query, QuerySource, Rows
from longtail_bento.flow.interests import find_interests
from longtail_bento.flow.negation import read_wishes
from longtail_bento.releases import LiveRelease
from longtail_bento.wire import RecommendRequest
from longtail_client.contract import Vector

ENCODE_SHARE = 0.8
"""The part of the time left that the encoder may use; the rest is kept for searching and ranking."""


async def worded_queries(
    descriptions: Sequence[Description], request: RecommendRequest, live: LiveRelease, clock: Clock
) -> list[Query]:
    """Turn descriptions and wishes into query vectors; do without when the encoder does not answer.

    A wish becomes a query for what it wants and an aversion for each thing that it does not want.
    """
    worded: list[tuple[QuerySource, str, str]] = [("description", each.text, each.text) for each in descriptions]
    for sentence, wish in zip(request.steer, read_wishes(request.steer), strict=True):
        worded += [("steer", sentence, wish.wanted)] if wish.wanted else []
        worded += [("aversion", sentence, unwanted) for unwanted in wish.unwanted]
    if not worded:
        return []
    try:
        async with clock.limited(share=ENCODE_SHARE) as part:
            encoder = await live.encoder(timeout_s=part.left_s())
            priority = PRIORITIES[request.priority]
            texts = [text for _, _, text in worded]
            vectors = await encoder.encode(texts, timeout_s=part.left_s(), priority=priority)
    except MODEL_FAILURES as error:
        clock.degrade("encode", error)
        return []
    return [Query(source, label, vector) for (source, label, _), vector in zip(worded, vectors, strict=True)]


def searchable(queries: Sequence[Query]) -> tuple[list[Query], list[Query]]:
    """Part the queries to search with from the aversions; where there are only aversions, search away from them."""
    aversions = [query for query in queries if query.source == "aversion"]
    found = [query for query in queries if query.source != "aversion"]
    return found or [Query("steer", query.label, -query.vector) for query in aversions], aversions


def interest_queries(history: History, live: LiveRelease) -> list[Query]:
    """Turn a history into query vectors; this needs no model, since the catalogue's vectors are at hand.

    What was disliked is grouped as what was liked is, and becomes aversions.
    """
    evenly = np.ones(len(history.disliked), dtype=np.float32)
    return [
        *_grouped("interest", history.rows, history.preferences, live),
        *_grouped("aversion", history.disliked, evenly, live),
    ]


def _grouped(source: QuerySource, rows: Rows, preferences: Vector, live: LiveRelease) -> list[Query]:
    vectors = live.catalogue.vectors[rows]
    queries = []
    for direction in find_interests(vectors, preferences):
        nearest = rows[int((vectors @ direction).argmax())]
        queries.append(Query(source, live.catalogue.titles[int(nearest)], direction))
    return queries
