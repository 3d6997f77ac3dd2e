"""What the service answers, as frozen records with the field names of the API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, get_args

from longtail_client.errors import LongtailError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Description:
    """A description and where it came from."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What found an item: a description, a steer sentence, or an interest."""

    sentence: str
    found_by: str
    text: str
    cosine: float


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One item as served.

    Attributes:
        rank: From 1.
        item_id: The item.
        title: Its title.
        score: What it was ordered by.
        similarity: Cosine to what found it, from -1 to 1.
        popularity_percentile: 0 to 100, the most popular; the tail is below 80.
        attributes: What the catalogue knows of it.
        explanation: What found it, where that was asked for.
    """

    rank: int
    item_id: str
    title: str
    score: float
    similarity: float
    popularity_percentile: float
    attributes: Mapping[str, Any] = field(default_factory=dict)
    explanation: Explanation | None = None


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds that each stage took."""

    generate: float
    encode: float
    retrieve: float
    rerank: float
    total: float


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One thing of the history that was asked with."""

    item_id: str
    weight: float = 1.0
    timestamp: int = 0


@dataclass(frozen=True, slots=True)
class RecommendQuestion:
    """What was asked: the fields of `recommend`, defaults included."""

    user_id: str | None = None
    history: tuple[HistoryEntry, ...] = ()
    k: int = 10
    descriptions: int = 4
    steer: tuple[str, ...] = ()
    tail_only: bool = True
    adventurousness: float = 0.5
    diversity: float = 0.3
    explain: bool = False
    seed: int | None = None
    given_descriptions: tuple[str, ...] | None = None
    filter: Mapping[str, Any] | None = None
    priority: str = "interactive"
    deadline_ms: int | None = None
    release: str | None = None


@dataclass(frozen=True, slots=True)
class RecommendAnswer:
    """The items, and all that is needed to make the answer again.

    Attributes:
        request_id: Names the request in the service's log.
        release: What answered.
        seed: What the generator's random numbers started from.
        timings_ms: Where the time went.
        degraded: Stages that the answer does without.
        descriptions: What was searched with; handed back as ``given_descriptions``, they replace the generator.
        items: Best first.
        request: What was asked; None from a service that does not say it yet.
    """

    request_id: str
    release: str
    seed: int
    timings_ms: Timings
    degraded: tuple[str, ...] = ()
    descriptions: tuple[Description, ...] = ()
    items: tuple[Recommendation, ...] = ()
    request: RecommendQuestion | None = None


@dataclass(frozen=True, slots=True)
class DescribeAnswer:
    """Descriptions alone."""

    request_id: str
    release: str
    seed: int
    timings_ms: Mapping[str, float]
    descriptions: tuple[Description, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """The items nearest to a text, best first."""

    request_id: str
    release: str
    timings_ms: Mapping[str, float]
    items: tuple[Recommendation, ...] = ()


@dataclass(frozen=True, slots=True)
class EncodeAnswer:
    """One unit vector a text, in order."""

    release: str
    vectors: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class RecordAnswer:
    """What was stored: of the interactions received, those that were new."""

    received: int
    new: int


@dataclass(frozen=True, slots=True)
class StoredInteraction:
    """One thing that a user did, as it can be recorded again; only a rating has a weight."""

    item_id: str
    kind: str
    timestamp: int
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class InteractionsAnswer:
    """A page of a user's interactions, in the order they were recorded; ``next`` is where the next page begins."""

    user_id: str
    interactions: tuple[StoredInteraction, ...] = ()
    next: int | None = None


@dataclass(frozen=True, slots=True)
class DeleteAnswer:
    """How many interactions were deleted."""

    deleted: int


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """How Triton's vectors of the probes compare with those that the index was built with."""

    worst_cosine: float
    mean_cosine: float
    compared_at: str
    mismatch: str | None = None


@dataclass(frozen=True, slots=True)
class EncoderMeasured:
    """How the encoder as served compares with its float32 source, measured before it was published."""

    mean_cosine: float | None = None
    worst_cosine: float | None = None
    neighbour_overlap: float | None = None
    batch_invariance: float | None = None
    padding_invariance: float | None = None
    throughput_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of a release's parts when they were exported."""

    encoder: EncoderMeasured | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """One release: where it is, what it pins, how it fares.

    ``report`` is what it showed in shadow and on canary, ``quality`` what evaluations of it measured.
    """

    release: str
    status: str
    place: str | None = None
    percent: float | None = None
    reason: str | None = None
    encoder_version: str | None = None
    encoder_sha256: str | None = None
    tokenizer_sha256: str | None = None
    generator_version: str | None = None
    catalogue: str | None = None
    n_items: int | None = None
    dim: int | None = None
    index_sha256: str | None = None
    prompt_sha256: str | None = None
    in_flight: int | None = None
    fingerprint: Fingerprint | None = None
    measured: Measured | None = None
    quality: Mapping[str, float] | None = None
    report: Mapping[str, Any] | None = None
    objections: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ReleaseAnswer:
    """What is serving."""

    release: str
    revision: int
    releases: tuple[Release, ...] = ()


@dataclass(frozen=True, slots=True)
class ReleaseEvent:
    """Who answers. Where this comes again, a canary could not, and what came before is void."""

    event: ClassVar[str] = "release"

    request_id: str
    release: str


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """A piece of description number ``description``, as the generator writes it."""

    event: ClassVar[str] = "token"

    description: int
    text: str


@dataclass(frozen=True, slots=True)
class ItemsEvent(RecommendAnswer):
    """The whole answer, as `recommend` gives it."""

    event: ClassVar[str] = "items"


@dataclass(frozen=True, slots=True)
class DoneEvent:
    """Nothing follows, and nothing is missing."""

    event: ClassVar[str] = "done"

    request_id: str


StreamEvent = ReleaseEvent | TokenEvent | ItemsEvent | DoneEvent
"""What a streamed recommendation is made of, in this order. What fails is raised."""

EVENTS: dict[str, type[StreamEvent]] = {each.event: each for each in get_args(StreamEvent)}


def record_of(kind: type[T], document: Mapping[str, Any]) -> T:
    """Make a record from JSON; fields that this version does not know are left out.

    Raises:
        LongtailError: A field is missing, or is not what it should be.
    """
    from pydantic import ValidationError

    try:
        record: T = _adapter(kind).validate_python(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise LongtailError(
            f"expected an answer that makes a {kind.__name__}, got one that does not: {place}: {first['msg']}"
        ) from error
    return record


def document_of_record(record: Any) -> Any:
    """Write a record as the JSON that it was made from; what is None is left out."""
    return _adapter(type(record)).dump_python(record, mode="json", exclude_none=True)


def _made_adapter(kind: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # takes a third of the import of the client

    return TypeAdapter(kind)


_adapter: Callable[[Any], TypeAdapter[Any]] = cache(_made_adapter)
