"""The rows of the API: fields in, a call out that any door can carry. The signatures of both clients are here."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, NotRequired, ParamSpec, Required, TypedDict, TypeVar

from longtail_client.answers import (
    EVENTS,
    DeleteAnswer,
    DescribeAnswer,
    EncodeAnswer,
    InteractionsAnswer,
    RecommendAnswer,
    RecordAnswer,
    ReleaseAnswer,
    SearchAnswer,
    StreamEvent,
    record_of,
)
from longtail_client.errors import InvalidRequest
from longtail_client.request_check import check_fields

P = ParamSpec("P")
T_co = TypeVar("T_co", covariant=True)


class HistoryItem(TypedDict):
    """One thing that a user did: an item, how strongly it speaks for it, and when, in seconds since 1970."""

    item_id: Required[str]
    weight: NotRequired[float]
    timestamp: NotRequired[int]


Kind = Literal["view", "rating", "like", "dislike", "purchase"]
"""What a user did with an item."""


class Interaction(TypedDict):
    """One thing that a user did; only a rating has a weight, and without a timestamp it was now."""

    user_id: Required[str]
    item_id: Required[str]
    kind: Required[Kind]
    weight: NotRequired[float]
    timestamp: NotRequired[int]


Priority = Literal["interactive", "bulk"]
"""Whether somebody waits for the answer; bulk stands behind."""

_OF_USER = "/users/{user_id}/interactions"
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
"""An id of a request that the service takes from its caller."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """One call.

    Attributes:
        grpc_method: Name of the method of `longtail.v1.Recommender`.
        http_method: The verb.
        path: The path; a field's name in braces stands for its value.
        document: The request's fields that were given.
        answer: Makes the record from the answer's JSON.
        deadline_ms: Milliseconds that the answer may take; None leaves it to the service.
        request_id: Names the call in the service's log; None has the service make one.

    Raises:
        InvalidRequest: The request id is none that the service would take, or the doors would read a field differently.
    """

    grpc_method: str
    http_method: str
    path: str
    document: Mapping[str, Any]
    answer: Callable[[Any], T_co]
    deadline_ms: int | None = None
    request_id: str | None = None

    def __post_init__(self) -> None:
        if self.request_id is not None and not REQUEST_ID.fullmatch(self.request_id):
            raise InvalidRequest(
                "request_id: expected 1 to 128 letters, digits, and . _ : -, got something else", field="request_id"
            )
        check_fields(self.document)


def recommend(
    *,
    user_id: str | None = None,
    history: Sequence[HistoryItem] | None = None,
    k: int | None = None,
    descriptions: int | None = None,
    steer: Sequence[str] | None = None,
    tail_only: bool | None = None,
    adventurousness: float | None = None,
    diversity: float | None = None,
    explain: bool | None = None,
    seed: int | None = None,
    given_descriptions: Sequence[str] | None = None,
    filter: Mapping[str, Any] | None = None,
    priority: Priority | None = None,
    deadline_ms: int | None = None,
    release: str | None = None,
    request_id: str | None = None,
) -> Call[RecommendAnswer]:
    """Recommend items of the long tail to a user, or for a history.

    Args:
        user_id: A user whose interactions are stored.
        history: Interactions instead of a user, oldest first.
        k: Recommendations to return, 1 to 100.
        descriptions: Descriptions that the generator shall write, 0 to 16.
        steer: The user's wishes, oldest first.
        tail_only: Whether the most popular fifth of the catalogue is left out.
        adventurousness: How far from the popular, 0 to 1.
        diversity: How far the recommendations are from each other, 0 to 1.
        explain: Whether each recommendation says what found it.
        seed: Start of the generator's random numbers.
        given_descriptions: Descriptions to use instead of the generator's, as an answer carried them.
        filter: Exact conditions on attributes, as ``{"year": {"gte": 1950}, "not": {"country": "France"}}``.
        priority: Whether somebody waits for the answer.
        deadline_ms: Milliseconds that the answer may take, retries included.
        release: A release in service to ask; the default is the live one, or the user's canary.
        request_id: Names the call in the service's log.

    Raises:
        CallerError: The request cannot be answered as it is; its ``field`` names what is wrong.
        Unavailable: The service, or what it needs, does not answer, also not after retries.
        DeadlineExceeded: The time ran out.
    """
    fields = dict(locals())
    return _posted("Recommend", "/recommend", fields, lambda document: record_of(RecommendAnswer, document))


def _told_as_it_happens(make: Callable[P, Call[RecommendAnswer]]) -> Callable[P, Call[StreamEvent]]:
    """Recommend as `recommend` does, told as it happens: the release, tokens, the items, done.

    Leaving the iterator ends the work in the service. Errors are those of `recommend`, raised while iterating.
    """

    def recommend_stream(*args: P.args, **kwargs: P.kwargs) -> Call[StreamEvent]:
        whole = make(*args, **kwargs)
        return Call(
            "RecommendStream",
            "POST",
            "/recommend/stream",
            whole.document,
            _event,
            deadline_ms=whole.deadline_ms,
            request_id=whole.request_id,
        )

    recommend_stream.__doc__ = _told_as_it_happens.__doc__
    signature = inspect.signature(make).replace(return_annotation="Call[StreamEvent]")
    recommend_stream.__signature__ = signature  # type: ignore[attr-defined]
    return recommend_stream


recommend_stream = _told_as_it_happens(recommend)


def describe(
    *,
    user_id: str | None = None,
    history: Sequence[HistoryItem] | None = None,
    descriptions: int | None = None,
    steer: Sequence[str] | None = None,
    seed: int | None = None,
    priority: Priority | None = None,
    deadline_ms: int | None = None,
    release: str | None = None,
    request_id: str | None = None,
) -> Call[DescribeAnswer]:
    """Have the generator describe items that a user would like; the fields and errors are those of `recommend`."""
    fields = dict(locals())
    return _posted("Describe", "/describe", fields, lambda document: record_of(DescribeAnswer, document))


def encode(
    *,
    texts: Sequence[str],
    deadline_ms: int | None = None,
    release: str | None = None,
    request_id: str | None = None,
) -> Call[EncodeAnswer]:
    """Embed 1 to 256 texts with the live release's encoder."""
    fields = dict(locals())
    return _posted("Encode", "/encode", fields, lambda document: record_of(EncodeAnswer, document))


def search(
    *,
    text: str,
    k: int | None = None,
    filter: Mapping[str, Any] | None = None,
    tail_only: bool | None = None,
    deadline_ms: int | None = None,
    release: str | None = None,
    request_id: str | None = None,
) -> Call[SearchAnswer]:
    """Find the items nearest to a text; ``filter`` and ``deadline_ms`` are those of `recommend`."""
    fields = dict(locals())
    return _posted("Search", "/search", fields, lambda document: record_of(SearchAnswer, document))


def record_interactions(*, interactions: Sequence[Interaction], request_id: str | None = None) -> Call[RecordAnswer]:
    """Record up to 10,000 things that users did; the next answer reflects them. Said twice, they are stored once.

    One without a timestamp gets this machine's time here and not in the service, so that every try says the same.
    """
    fields = {"interactions": _dated(interactions), "request_id": request_id}
    return _posted("RecordInteractions", "/interactions", fields, lambda document: record_of(RecordAnswer, document))


def _dated(interactions: Any) -> Any:
    if not isinstance(interactions, list | tuple):
        return interactions  # the door says what is wrong with it
    now_s = int(time.time())
    return [
        {**each, "timestamp": now_s} if isinstance(each, Mapping) and each.get("timestamp") is None else each
        for each in interactions
    ]


def list_interactions(
    *, user_id: str, after: int | None = None, limit: int | None = None, request_id: str | None = None
) -> Call[InteractionsAnswer]:
    """Read a user's interactions, a page at a time; ``after`` is the ``next`` of the page before."""
    given = {name: each for name, each in (("after", after), ("limit", limit)) if each is not None}
    return Call(
        "ListInteractions",
        "GET",
        _OF_USER,
        {"user_id": user_id, **given},
        lambda document: record_of(InteractionsAnswer, document),
        request_id=request_id,
    )


def delete_interactions(*, user_id: str, request_id: str | None = None) -> Call[DeleteAnswer]:
    """Delete all of a user's interactions; they are then in no answer any more."""
    return Call(
        "DeleteInteractions",
        "DELETE",
        _OF_USER,
        {"user_id": user_id},
        lambda document: record_of(DeleteAnswer, document),
        request_id=request_id,
    )


def release(*, request_id: str | None = None) -> Call[ReleaseAnswer]:
    """Say what is serving: versions, hashes, fingerprints, and what releases on trial showed."""
    return Call(
        "GetRelease", "GET", "/release", {}, lambda document: record_of(ReleaseAnswer, document), request_id=request_id
    )


def _posted(grpc_method: str, path: str, fields: dict[str, Any], answer: Callable[[Any], T_co]) -> Call[T_co]:
    request_id = fields.pop("request_id")
    given = {name: value for name, value in fields.items() if value is not None}
    return Call(grpc_method, "POST", path, given, answer, fields.get("deadline_ms"), request_id)


def _event(document: Mapping[str, Any]) -> StreamEvent:
    ((name, fields),) = document.items()
    return record_of(EVENTS[name], fields)
