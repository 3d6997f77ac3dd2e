"""What callers send and get, in JSON. Unknown fields, other types, NaN and infinity are refused."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from longtail_bento.clock import LONGEST_DEADLINE_MS
from longtail_bento.domain import Interaction
from longtail_bento.flow.filtering import MAX_CONDITIONS, MAX_DEPTH, check_filter
from longtail_bento.json_exact import NO_NUL, NOT_BLANK, WHOLE
from longtail_bento.measured import Measured
from longtail_client.calls import Priority
from longtail_client.release_report import ReleaseReport

_Id = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_UserId = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL)]
_Sentence = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=NOT_BLANK)]
_Text = Annotated[str, StringConstraints(min_length=1, max_length=4000, pattern=NOT_BLANK)]


_Filter = Annotated[
    dict[str, Any],
    Field(
        description="Exact conditions on attributes, item_id and title, all of them holding: {attribute: value | "
        '[values] | {"gte": low, "lte": high}}; {"any": [filter, ...]} and {"not": filter} nest, '
        f"{MAX_DEPTH} deep, {MAX_CONDITIONS} values and bounds in all. "
        "A list passes if any of its values does. An empty filter passes everything.",
        examples=[{"genres": ["Drama", "Western"], "year": {"gte": 1950, "lte": 1969}, "not": {"country": "France"}}],
    ),
]

_DeadlineMs = Annotated[int, Field(ge=1, le=LONGEST_DEADLINE_MS), WHOLE]

_RELEASE = "A release in service to ask, staged ones too; the default is the live one, or the user's canary."


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class HistoryItem(_Request):
    """One thing that the user did."""

    item_id: _Id
    weight: float = Field(
        default=1.0, ge=-1e6, le=1e6, description="How strongly it speaks for the item: a rating, or 1."
    )
    timestamp: Annotated[int, Field(ge=0, le=2**53), WHOLE] = Field(
        default=0, description="Seconds since 1970; 0 keeps the order given."
    )

    def as_interaction(self) -> Interaction:
        """Hand it to the flow."""
        return Interaction(self.item_id, self.weight, self.timestamp)


def _taste_schema(*saying: str) -> dict[str, Any]:
    """Write in JSON Schema what `_whose_taste` checks: a user, or else one of these lists with something in it."""
    others = ("history", *saying)
    nobody = {"user_id": {"type": "null"}}
    return {
        "anyOf": [
            {
                "required": ["user_id"],
                "properties": {"user_id": {"type": "string"}, "history": {"type": ["array", "null"], "maxItems": 0}},
            },
            *({"required": [name], "properties": nobody | {name: {"type": "array", "minItems": 1}}} for name in others),
        ]
    }


class DescribeRequest(_Request):
    """Whose taste to describe: a stored user's, or that of a history in the request."""

    model_config = ConfigDict(json_schema_extra=_taste_schema("steer"))

    user_id: _UserId | None = Field(default=None, description="A user whose interactions are stored.")
    history: list[HistoryItem] | None = Field(
        default=None, max_length=1000, description="Interactions instead of a user, oldest first."
    )
    descriptions: Annotated[int, Field(ge=0, le=16), WHOLE] = Field(
        default=4, description="Descriptions that the generator shall write."
    )
    steer: list[_Sentence] = Field(default=[], max_length=8, description="The user's wishes, oldest first.")
    seed: Annotated[int, Field(ge=0, le=2**53), WHOLE] | None = Field(
        default=None, description="Start of the generator's random numbers."
    )
    deadline_ms: _DeadlineMs | None = Field(default=None, description="Milliseconds that the answer may take.")
    priority: Priority = Field(
        default="interactive",
        description="Whether somebody waits for the answer. Bulk requests stand behind interactive ones in Triton's "
        "queues, and few of them have the generator write at a time.",
    )
    release: _Id | None = Field(default=None, description=_RELEASE)

    @model_validator(mode="after")
    def _whose_taste(self) -> Self:
        if self.user_id is not None and self.history:  # an empty list and none are one thing on gRPC
            raise ValueError("user_id, history: give one of them, not both")
        if self.user_id is None and not self.history and not self._says_something_else():
            raise ValueError("history: give a user_id, a history that is not empty, or a steer sentence")
        return self

    def _says_something_else(self) -> bool:
        return bool(self.steer)


class RecommendRequest(DescribeRequest):
    """What to recommend, to whom, and how."""

    model_config = ConfigDict(json_schema_extra=_taste_schema("steer", "given_descriptions"))

    k: Annotated[int, Field(ge=1, le=100), WHOLE] = Field(default=10, description="Recommendations to return.")
    filter: _Filter | None = None
    tail_only: bool = Field(default=True, description="Whether the most popular fifth of the catalogue is left out.")
    adventurousness: float = Field(default=0.5, ge=0, le=1, description="How far from the popular.")
    diversity: float = Field(default=0.3, ge=0, le=1, description="How far the recommendations are from each other.")
    explain: bool = Field(default=False, description="Whether each recommendation says what found it.")
    given_descriptions: list[_Sentence] | None = Field(
        default=None,
        max_length=16,
        description="Descriptions to use instead of the generator's, as an answer carried them.",
    )

    @model_validator(mode="after")
    def _filter_is_one(self) -> Self:
        if self.filter:
            check_filter(self.filter)
        return self

    def _says_something_else(self) -> bool:
        return bool(self.steer or self.given_descriptions)


class SearchRequest(_Request):
    """A text to find items for."""

    text: _Text
    k: Annotated[int, Field(ge=1, le=100), WHOLE] = Field(default=10, description="Items to return.")
    filter: _Filter | None = None
    tail_only: bool = Field(default=True, description="Whether the most popular fifth of the catalogue is left out.")
    deadline_ms: _DeadlineMs | None = Field(default=None, description="Milliseconds that the answer may take.")
    release: _Id | None = Field(default=None, description="A release in service to ask; the default is the live one.")

    @model_validator(mode="after")
    def _filter_is_one(self) -> Self:
        if self.filter:
            check_filter(self.filter)
        return self


class EncodeRequest(_Request):
    """Texts to embed."""

    texts: list[_Text] = Field(min_length=1, max_length=256)
    deadline_ms: _DeadlineMs | None = Field(default=None, description="Milliseconds that the answer may take.")
    release: _Id | None = Field(default=None, description="A release in service to ask; the default is the live one.")


class DescriptionOut(BaseModel):
    """A description and where it came from."""

    text: str
    source: Literal["generator", "given", "cache", "attributes"] = Field(
        description="generator: written for this request, or for an equal one at the same time. given: by the caller. "
        "cache: written earlier for the same history and wishes. attributes: what the liked items are, while the "
        "generator does not answer."
    )


FoundBy = Literal["description", "steer", "interest"]


class Explanation(BaseModel):
    """What found an item."""

    sentence: str
    found_by: FoundBy
    text: str = Field(description="The description or the wish; for an interest, a title of the history.")
    cosine: float = Field(description="Cosine of the item to what found it.")


class RecommendationOut(BaseModel):
    """One item as served."""

    rank: int = Field(ge=1)
    item_id: str
    title: str
    score: float
    similarity: float = Field(description="Cosine to what found it, from -1 to 1.")
    popularity_percentile: float = Field(description="0 to 100, the most popular; the tail is below 80.")
    attributes: dict[str, Any]
    explanation: Explanation | None = None


class Timings(BaseModel):
    """Milliseconds that each stage took."""

    generate: float
    encode: float
    retrieve: float
    rerank: float
    total: float


class RecommendResponse(BaseModel):
    """The answer, and all that is needed to make it again."""

    request_id: str
    release: str
    seed: int
    degraded: list[str] = Field(description="Stages that the answer does without: generate, encode.")
    descriptions: list[DescriptionOut]
    items: list[RecommendationOut]
    timings_ms: Timings
    request: RecommendRequest = Field(
        description="What was asked, defaults included. Asked again with the answer's descriptions as "
        "given_descriptions, the same release gives the same items."
    )


class DescribeResponse(BaseModel):
    """Descriptions alone."""

    request_id: str
    release: str
    seed: int
    descriptions: list[DescriptionOut]
    timings_ms: dict[str, float]


class SearchResponse(BaseModel):
    """The items nearest to a text, best first."""

    request_id: str
    release: str
    items: list[RecommendationOut]
    timings_ms: dict[str, float]


class EncodeResponse(BaseModel):
    """One unit vector a text, in order."""

    vectors: list[list[float]]
    release: str


class FingerprintOut(BaseModel):
    """How Triton's vectors of the probes compare with those that the index was built with."""

    worst_cosine: float
    mean_cosine: float
    compared_at: str
    mismatch: str | None = Field(description="What moved; none while they agree.")


class ReleaseOut(BaseModel):
    """One release: where it is, what it pins, how it fares."""

    release: str
    place: str | None = Field(description="live, previous, canary, shadow or staged.")
    percent: float | None = Field(description="Share of the users that a canary serves.")
    status: Literal["serving", "loaded", "loading", "refused", "waiting", "leaving"]
    reason: str | None = Field(description="Why it is refused.")
    encoder_version: str | None = None
    encoder_sha256: str | None = None
    tokenizer_sha256: str | None = None
    generator_version: str | None = None
    catalogue: str | None = None
    n_items: int | None = None
    dim: int | None = None
    index_sha256: str | None = None
    prompt_sha256: str | None = None
    in_flight: int | None = Field(default=None, description="Requests that hold it now.")
    fingerprint: FingerprintOut | None = None
    measured: Measured | None = Field(default=None, description="What its parts measured when they were exported.")
    quality: dict[str, float] | None = Field(
        default=None, description="What evaluations of the release measured, by the figure's name; none so far."
    )
    report: ReleaseReport | None = Field(default=None, description="What it showed in shadow and on canary.")
    objections: list[str] | None = Field(default=None, description="What speaks against promoting it.")


class ReleasesResponse(BaseModel):
    """What is serving."""

    release: str = Field(description="The release that serves the users.")
    revision: int = Field(description="Revision of the state file that is followed.")
    releases: list[ReleaseOut]


class Problem(BaseModel):
    """What went wrong, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    field: str | None = Field(default=None, description="The request's field at fault, dotted.")
    retry_after_s: float | None = Field(default=None, description="Seconds after which a new try makes sense.")


class ReleaseEvent(BaseModel):
    """Who answers. Where a canary cannot, this comes again with the live release, and what came before is void."""

    event: ClassVar[str] = "release"

    request_id: str
    release: str


class TokenEvent(BaseModel):
    """A piece of a text as the generator writes it; joined by their number, pieces are the texts before tidying."""

    event: ClassVar[str] = "token"

    description: int = Field(ge=0, description="Number of the text that grows, from 0.")
    text: str


class ItemsEvent(RecommendResponse):
    """The whole answer, as the plain call gives it."""

    event: ClassVar[str] = "items"


class DoneEvent(BaseModel):
    """Nothing follows, and nothing is missing."""

    event: ClassVar[str] = "done"

    request_id: str


class ErrorEvent(Problem):
    """Nothing follows, and what came is incomplete."""

    event: ClassVar[str] = "error"


StreamEvent = ReleaseEvent | TokenEvent | ItemsEvent | DoneEvent | ErrorEvent
"""What a streamed recommendation is made of, in this order: a release, tokens, items, done; or an error at any time."""
