"""A history and wishes in, descriptions out: given, kept, generated, or written from the history's own attributes."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from contextlib import aclosing, nullcontext
from functools import partial

from longtail_bento import metrics
from longtail_bento.clock import Clock
from longtail_bento.description_cache import taste_of
from longtail_bento.domain import Described, Description, History
from longtail_bento.flow.descriptions import describe_by_kinds, parse_descriptions
from longtail_bento.flow.prompt import ASK_OPENINGS, MAX_LIKED, render_prompt
from longtail_bento.releases import LiveRelease
from longtail_bento.shared_writing import Listener, Once
from longtail_bento.wire import DescribeRequest, RecommendRequest, TokenEvent
from longtail_client.contract import Priority
from longtail_client.errors import ContractMismatch, DeadlineExceeded, ModelUnavailable, Unavailable
from longtail_client.generator import Sampling

MODEL_FAILURES = (Unavailable, DeadlineExceeded, ContractMismatch)

GENERATE_SHARE = 0.7
"""The part of the time left that the generator may use; the rest is kept for encoding, searching and ranking."""

PRIORITIES = {"interactive": Priority.INTERACTIVE, "bulk": Priority.BULK}


async def described(
    request: RecommendRequest, history: History, live: LiveRelease, clock: Clock, listener: Listener | None = None
) -> Described:
    """Take the descriptions that were given, or have the generator write some, or do with what is at hand.

    When the generator is late, away or broken, or writes nothing that describes an item, the clock is told, and the
    descriptions are those last written for the same taste, else the kinds of the items that the user liked most, else
    none.
    """
    if request.given_descriptions is not None:
        return Described(tuple(Description(text, "given") for text in request.given_descriptions), seed_of(request))
    if request.descriptions == 0 or says_nothing(history, request):
        return Described((), seed_of(request))
    try:
        written = await generated(request, history, live, clock, listener, share=GENERATE_SHARE)
        if written.descriptions:
            return written
        clock.degrade("generate", ModelUnavailable("the generator wrote nothing that describes an item"))
    except MODEL_FAILURES as error:
        clock.degrade("generate", error)
    kept = live.cache.latest(taste_of(history, request.steer), request.descriptions, request.user_id)
    if kept is not None:
        metrics.DESCRIPTION_CACHE.labels("stale").inc()
        return kept
    kinds = [live.catalogue.kinds[int(row)] for row in history.most_telling(MAX_LIKED)]
    texts = describe_by_kinds(kinds, limit=request.descriptions)
    return Described(tuple(Description(text, "attributes") for text in texts), seed_of(request))


async def generated(
    request: DescribeRequest,
    history: History,
    live: LiveRelease,
    clock: Clock,
    listener: Listener | None = None,
    *,
    share: float = 1.0,
) -> Described:
    """Have the generator write descriptions, unless they are kept, or are being written for an equal request.

    Only a request that names its seed is answered with what is kept: one that does not wants fresh ones. Equal requests
    at the same time share one generation, and its seed.

    Args:
        request: How many, which wishes, which seed.
        history: What the user liked.
        live: The release that answers.
        clock: The request's time.
        listener: Told of each piece of text, once; of what is kept, all at once.
        share: The part of the time left that this may use.

    Raises:
        ModelUnavailable: The generator does not answer.
        DeadlineExceeded: It did not answer in time.
        ContractMismatch: It answered something else than its contract says.
    """
    taste, n = taste_of(history, request.steer), request.descriptions
    kept = live.cache.of_seed(taste, n, request.seed, request.user_id) if request.seed is not None else None
    if kept is not None:
        metrics.DESCRIPTION_CACHE.labels("hit").inc()
        if listener is not None:
            _tell(listener, [description.text for description in kept.descriptions])
        return kept
    key = (taste, n, request.seed, request.priority)
    once = None if listener is None else Once(listener)
    async with clock.limited(share=share) as part:
        while True:
            joined = live.writing.runs(key)
            write = partial(_written, request, history, live, part, once is not None)
            if once is not None:
                once.begin()
            try:
                found = await live.writing.wait_for(key, write, once)
            except DeadlineExceeded:
                if not joined:
                    raise
                part.left_s()  # it was the other's time that ran out, unless this raises
            else:
                metrics.DESCRIPTION_CACHE.labels("joined" if joined else "written").inc()
                if joined:  # what another user's request wrote is forgotten with this one too
                    live.cache.of_seed(taste, n, found.seed, request.user_id)
                return found


async def _written(
    request: DescribeRequest, history: History, live: LiveRelease, clock: Clock, streamed: bool, tell: Listener
) -> Described:
    """Call the generator, and keep what it wrote."""
    begun_at_s = time.monotonic()
    prompt, seed = live.release.prompt, seed_of(request)
    liked = [live.catalogue.liked_phrase(int(row)) for row in history.most_telling(MAX_LIKED)]
    sampling = Sampling(
        n=request.descriptions,
        max_tokens=prompt.max_tokens,
        temperature=prompt.temperature,
        top_p=prompt.top_p,
        repetition_penalty=prompt.repetition_penalty,
        stop=prompt.stop,
        seed=seed,
    )
    async with live.bulk_turns if request.priority == "bulk" else nullcontext():
        generator = await live.generator(timeout_s=clock.left_s())
        texts = [""] * sampling.n
        asked, limit_s = render_prompt(prompt, liked, request.steer), clock.left_s()
        priority = PRIORITIES[request.priority]
        if streamed:
            stream = generator.stream(asked, sampling, timeout_s=limit_s, priority=priority)
            async with aclosing(stream):
                async for pieces in stream:
                    texts = [text + piece for text, piece in zip(texts, pieces, strict=True)]
                    _tell(tell, pieces)
        else:
            texts = await generator.generate(asked, sampling, timeout_s=limit_s, priority=priority)
            _tell(tell, texts)
    known = [*liked, *(live.catalogue.titles[int(row)] for row in history.rows), *ASK_OPENINGS]
    parsed = parse_descriptions(texts, limit=request.descriptions, known=known)
    found = Described(tuple(Description(text, "generator") for text in parsed), seed)
    if parsed:
        taste = taste_of(history, request.steer)
        live.cache.keep(taste, request.descriptions, found, request.user_id, begun_at_s=begun_at_s)
    return found


def says_nothing(history: History, request: DescribeRequest) -> bool:
    """Say whether there is nothing to ask the generator for: no item that the user liked, and no wish.

    A prompt names nothing that was disliked, because a small generator writes of what it reads.
    """
    return len(history.rows) == 0 and not request.steer


def seed_of(request: DescribeRequest) -> int:
    """Take the request's seed, or make one up."""
    return secrets.randbits(31) if request.seed is None else request.seed


def _tell(listener: Listener, pieces: Sequence[str]) -> None:
    for index, piece in enumerate(pieces):
        if piece:
            listener(TokenEvent(description=index, text=piece))
