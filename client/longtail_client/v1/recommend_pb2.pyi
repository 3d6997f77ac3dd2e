from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class HistoryItem(_message.Message):
    __slots__ = ("item_id", "weight", "timestamp")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    weight: float
    timestamp: int
    def __init__(self, item_id: _Optional[str] = ..., weight: _Optional[float] = ..., timestamp: _Optional[int] = ...) -> None: ...

class Texts(_message.Message):
    __slots__ = ("texts",)
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, texts: _Optional[_Iterable[str]] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ("user_id", "history", "descriptions", "steer", "seed", "deadline_ms", "release", "priority")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    STEER_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    history: _containers.RepeatedCompositeFieldContainer[HistoryItem]
    descriptions: int
    steer: _containers.RepeatedScalarFieldContainer[str]
    seed: int
    deadline_ms: int
    release: str
    priority: str
    def __init__(self, user_id: _Optional[str] = ..., history: _Optional[_Iterable[_Union[HistoryItem, _Mapping]]] = ..., descriptions: _Optional[int] = ..., steer: _Optional[_Iterable[str]] = ..., seed: _Optional[int] = ..., deadline_ms: _Optional[int] = ..., release: _Optional[str] = ..., priority: _Optional[str] = ...) -> None: ...

class RecommendRequest(_message.Message):
    __slots__ = ("user_id", "history", "descriptions", "steer", "seed", "deadline_ms", "release", "k", "tail_only", "adventurousness", "diversity", "explain", "given_descriptions", "filter", "priority")
    class FilterEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Value, _Mapping]] = ...) -> None: ...
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    STEER_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    TAIL_ONLY_FIELD_NUMBER: _ClassVar[int]
    ADVENTUROUSNESS_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    GIVEN_DESCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    history: _containers.RepeatedCompositeFieldContainer[HistoryItem]
    descriptions: int
    steer: _containers.RepeatedScalarFieldContainer[str]
    seed: int
    deadline_ms: int
    release: str
    k: int
    tail_only: bool
    adventurousness: float
    diversity: float
    explain: bool
    given_descriptions: Texts
    filter: _containers.MessageMap[str, Value]
    priority: str
    def __init__(self, user_id: _Optional[str] = ..., history: _Optional[_Iterable[_Union[HistoryItem, _Mapping]]] = ..., descriptions: _Optional[int] = ..., steer: _Optional[_Iterable[str]] = ..., seed: _Optional[int] = ..., deadline_ms: _Optional[int] = ..., release: _Optional[str] = ..., k: _Optional[int] = ..., tail_only: _Optional[bool] = ..., adventurousness: _Optional[float] = ..., diversity: _Optional[float] = ..., explain: _Optional[bool] = ..., given_descriptions: _Optional[_Union[Texts, _Mapping]] = ..., filter: _Optional[_Mapping[str, Value]] = ..., priority: _Optional[str] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("text", "k", "tail_only", "release", "filter", "deadline_ms")
    class FilterEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Value, _Mapping]] = ...) -> None: ...
    TEXT_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    TAIL_ONLY_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    text: str
    k: int
    tail_only: bool
    release: str
    filter: _containers.MessageMap[str, Value]
    deadline_ms: int
    def __init__(self, text: _Optional[str] = ..., k: _Optional[int] = ..., tail_only: _Optional[bool] = ..., release: _Optional[str] = ..., filter: _Optional[_Mapping[str, Value]] = ..., deadline_ms: _Optional[int] = ...) -> None: ...

class EncodeRequest(_message.Message):
    __slots__ = ("texts", "release", "deadline_ms")
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    release: str
    deadline_ms: int
    def __init__(self, texts: _Optional[_Iterable[str]] = ..., release: _Optional[str] = ..., deadline_ms: _Optional[int] = ...) -> None: ...

class Interaction(_message.Message):
    __slots__ = ("user_id", "item_id", "kind", "weight", "timestamp")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    item_id: str
    kind: str
    weight: float
    timestamp: int
    def __init__(self, user_id: _Optional[str] = ..., item_id: _Optional[str] = ..., kind: _Optional[str] = ..., weight: _Optional[float] = ..., timestamp: _Optional[int] = ...) -> None: ...

class RecordInteractionsRequest(_message.Message):
    __slots__ = ("interactions",)
    INTERACTIONS_FIELD_NUMBER: _ClassVar[int]
    interactions: _containers.RepeatedCompositeFieldContainer[Interaction]
    def __init__(self, interactions: _Optional[_Iterable[_Union[Interaction, _Mapping]]] = ...) -> None: ...

class RecordInteractionsResponse(_message.Message):
    __slots__ = ("received", "new")
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    NEW_FIELD_NUMBER: _ClassVar[int]
    received: int
    new: int
    def __init__(self, received: _Optional[int] = ..., new: _Optional[int] = ...) -> None: ...

class ListInteractionsRequest(_message.Message):
    __slots__ = ("user_id", "after", "limit")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    after: int
    limit: int
    def __init__(self, user_id: _Optional[str] = ..., after: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

class StoredInteraction(_message.Message):
    __slots__ = ("item_id", "kind", "weight", "timestamp")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    kind: str
    weight: float
    timestamp: int
    def __init__(self, item_id: _Optional[str] = ..., kind: _Optional[str] = ..., weight: _Optional[float] = ..., timestamp: _Optional[int] = ...) -> None: ...

class ListInteractionsResponse(_message.Message):
    __slots__ = ("user_id", "interactions", "next")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    INTERACTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    interactions: _containers.RepeatedCompositeFieldContainer[StoredInteraction]
    next: int
    def __init__(self, user_id: _Optional[str] = ..., interactions: _Optional[_Iterable[_Union[StoredInteraction, _Mapping]]] = ..., next: _Optional[int] = ...) -> None: ...

class DeleteInteractionsRequest(_message.Message):
    __slots__ = ("user_id",)
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    def __init__(self, user_id: _Optional[str] = ...) -> None: ...

class DeleteInteractionsResponse(_message.Message):
    __slots__ = ("deleted",)
    DELETED_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    def __init__(self, deleted: _Optional[int] = ...) -> None: ...

class GetReleaseRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Description(_message.Message):
    __slots__ = ("text", "source")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    text: str
    source: str
    def __init__(self, text: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("sentence", "found_by", "text", "cosine")
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    FOUND_BY_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    COSINE_FIELD_NUMBER: _ClassVar[int]
    sentence: str
    found_by: str
    text: str
    cosine: float
    def __init__(self, sentence: _Optional[str] = ..., found_by: _Optional[str] = ..., text: _Optional[str] = ..., cosine: _Optional[float] = ...) -> None: ...

class Value(_message.Message):
    __slots__ = ("text", "integer", "number", "flag", "list", "fields")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    FLAG_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    text: str
    integer: int
    number: float
    flag: bool
    list: Values
    fields: Fields
    def __init__(self, text: _Optional[str] = ..., integer: _Optional[int] = ..., number: _Optional[float] = ..., flag: _Optional[bool] = ..., list: _Optional[_Union[Values, _Mapping]] = ..., fields: _Optional[_Union[Fields, _Mapping]] = ...) -> None: ...

class Fields(_message.Message):
    __slots__ = ("fields",)
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Value, _Mapping]] = ...) -> None: ...
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    fields: _containers.MessageMap[str, Value]
    def __init__(self, fields: _Optional[_Mapping[str, Value]] = ...) -> None: ...

class Values(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[Value]
    def __init__(self, values: _Optional[_Iterable[_Union[Value, _Mapping]]] = ...) -> None: ...

class Recommendation(_message.Message):
    __slots__ = ("rank", "item_id", "title", "score", "similarity", "popularity_percentile", "attributes", "explanation")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Value, _Mapping]] = ...) -> None: ...
    RANK_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    POPULARITY_PERCENTILE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    rank: int
    item_id: str
    title: str
    score: float
    similarity: float
    popularity_percentile: float
    attributes: _containers.MessageMap[str, Value]
    explanation: Explanation
    def __init__(self, rank: _Optional[int] = ..., item_id: _Optional[str] = ..., title: _Optional[str] = ..., score: _Optional[float] = ..., similarity: _Optional[float] = ..., popularity_percentile: _Optional[float] = ..., attributes: _Optional[_Mapping[str, Value]] = ..., explanation: _Optional[_Union[Explanation, _Mapping]] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("generate", "encode", "retrieve", "rerank", "total")
    GENERATE_FIELD_NUMBER: _ClassVar[int]
    ENCODE_FIELD_NUMBER: _ClassVar[int]
    RETRIEVE_FIELD_NUMBER: _ClassVar[int]
    RERANK_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    generate: float
    encode: float
    retrieve: float
    rerank: float
    total: float
    def __init__(self, generate: _Optional[float] = ..., encode: _Optional[float] = ..., retrieve: _Optional[float] = ..., rerank: _Optional[float] = ..., total: _Optional[float] = ...) -> None: ...

class RecommendResponse(_message.Message):
    __slots__ = ("request_id", "release", "seed", "degraded", "descriptions", "items", "timings_ms", "request")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_MS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    release: str
    seed: int
    degraded: _containers.RepeatedScalarFieldContainer[str]
    descriptions: _containers.RepeatedCompositeFieldContainer[Description]
    items: _containers.RepeatedCompositeFieldContainer[Recommendation]
    timings_ms: Timings
    request: RecommendRequest
    def __init__(self, request_id: _Optional[str] = ..., release: _Optional[str] = ..., seed: _Optional[int] = ..., degraded: _Optional[_Iterable[str]] = ..., descriptions: _Optional[_Iterable[_Union[Description, _Mapping]]] = ..., items: _Optional[_Iterable[_Union[Recommendation, _Mapping]]] = ..., timings_ms: _Optional[_Union[Timings, _Mapping]] = ..., request: _Optional[_Union[RecommendRequest, _Mapping]] = ...) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("request_id", "release", "seed", "descriptions", "timings_ms")
    class TimingsMsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTIONS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_MS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    release: str
    seed: int
    descriptions: _containers.RepeatedCompositeFieldContainer[Description]
    timings_ms: _containers.ScalarMap[str, float]
    def __init__(self, request_id: _Optional[str] = ..., release: _Optional[str] = ..., seed: _Optional[int] = ..., descriptions: _Optional[_Iterable[_Union[Description, _Mapping]]] = ..., timings_ms: _Optional[_Mapping[str, float]] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("request_id", "release", "items", "timings_ms")
    class TimingsMsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_MS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    release: str
    items: _containers.RepeatedCompositeFieldContainer[Recommendation]
    timings_ms: _containers.ScalarMap[str, float]
    def __init__(self, request_id: _Optional[str] = ..., release: _Optional[str] = ..., items: _Optional[_Iterable[_Union[Recommendation, _Mapping]]] = ..., timings_ms: _Optional[_Mapping[str, float]] = ...) -> None: ...

class Vector(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...

class EncodeResponse(_message.Message):
    __slots__ = ("vectors", "release")
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    vectors: _containers.RepeatedCompositeFieldContainer[Vector]
    release: str
    def __init__(self, vectors: _Optional[_Iterable[_Union[Vector, _Mapping]]] = ..., release: _Optional[str] = ...) -> None: ...

class StreamEvent(_message.Message):
    __slots__ = ("release", "token", "items", "done", "error")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    release: ReleaseEvent
    token: TokenEvent
    items: RecommendResponse
    done: DoneEvent
    error: Problem
    def __init__(self, release: _Optional[_Union[ReleaseEvent, _Mapping]] = ..., token: _Optional[_Union[TokenEvent, _Mapping]] = ..., items: _Optional[_Union[RecommendResponse, _Mapping]] = ..., done: _Optional[_Union[DoneEvent, _Mapping]] = ..., error: _Optional[_Union[Problem, _Mapping]] = ...) -> None: ...

class ReleaseEvent(_message.Message):
    __slots__ = ("request_id", "release")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    release: str
    def __init__(self, request_id: _Optional[str] = ..., release: _Optional[str] = ...) -> None: ...

class TokenEvent(_message.Message):
    __slots__ = ("description", "text")
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    description: int
    text: str
    def __init__(self, description: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class DoneEvent(_message.Message):
    __slots__ = ("request_id",)
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    def __init__(self, request_id: _Optional[str] = ...) -> None: ...

class Problem(_message.Message):
    __slots__ = ("type", "title", "status", "detail", "request_id", "field", "retry_after_s")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    type: str
    title: str
    status: int
    detail: str
    request_id: str
    field: str
    retry_after_s: float
    def __init__(self, type: _Optional[str] = ..., title: _Optional[str] = ..., status: _Optional[int] = ..., detail: _Optional[str] = ..., request_id: _Optional[str] = ..., field: _Optional[str] = ..., retry_after_s: _Optional[float] = ...) -> None: ...

class Fingerprint(_message.Message):
    __slots__ = ("worst_cosine", "mean_cosine", "compared_at", "mismatch")
    WORST_COSINE_FIELD_NUMBER: _ClassVar[int]
    MEAN_COSINE_FIELD_NUMBER: _ClassVar[int]
    COMPARED_AT_FIELD_NUMBER: _ClassVar[int]
    MISMATCH_FIELD_NUMBER: _ClassVar[int]
    worst_cosine: float
    mean_cosine: float
    compared_at: str
    mismatch: str
    def __init__(self, worst_cosine: _Optional[float] = ..., mean_cosine: _Optional[float] = ..., compared_at: _Optional[str] = ..., mismatch: _Optional[str] = ...) -> None: ...

class Tally(_message.Message):
    __slots__ = ("n_answers", "n_errors", "n_degraded", "tail_share", "coverage", "mean_similarity", "latency_p50_ms", "latency_p95_ms")
    N_ANSWERS_FIELD_NUMBER: _ClassVar[int]
    N_ERRORS_FIELD_NUMBER: _ClassVar[int]
    N_DEGRADED_FIELD_NUMBER: _ClassVar[int]
    TAIL_SHARE_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    MEAN_SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    LATENCY_P50_MS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_P95_MS_FIELD_NUMBER: _ClassVar[int]
    n_answers: int
    n_errors: int
    n_degraded: int
    tail_share: float
    coverage: float
    mean_similarity: float
    latency_p50_ms: float
    latency_p95_ms: float
    def __init__(self, n_answers: _Optional[int] = ..., n_errors: _Optional[int] = ..., n_degraded: _Optional[int] = ..., tail_share: _Optional[float] = ..., coverage: _Optional[float] = ..., mean_similarity: _Optional[float] = ..., latency_p50_ms: _Optional[float] = ..., latency_p95_ms: _Optional[float] = ...) -> None: ...

class ShadowEvidence(_message.Message):
    __slots__ = ("n_compared", "n_dropped", "overlap_at_k", "score_shift", "candidate", "live")
    N_COMPARED_FIELD_NUMBER: _ClassVar[int]
    N_DROPPED_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_AT_K_FIELD_NUMBER: _ClassVar[int]
    SCORE_SHIFT_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    n_compared: int
    n_dropped: int
    overlap_at_k: float
    score_shift: float
    candidate: Tally
    live: Tally
    def __init__(self, n_compared: _Optional[int] = ..., n_dropped: _Optional[int] = ..., overlap_at_k: _Optional[float] = ..., score_shift: _Optional[float] = ..., candidate: _Optional[_Union[Tally, _Mapping]] = ..., live: _Optional[_Union[Tally, _Mapping]] = ...) -> None: ...

class CanaryEvidence(_message.Message):
    __slots__ = ("percent", "candidate", "live")
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    percent: float
    candidate: Tally
    live: Tally
    def __init__(self, percent: _Optional[float] = ..., candidate: _Optional[_Union[Tally, _Mapping]] = ..., live: _Optional[_Union[Tally, _Mapping]] = ...) -> None: ...

class ReleaseReport(_message.Message):
    __slots__ = ("release", "compared_with", "written_at", "shadow", "canary")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    COMPARED_WITH_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_AT_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    CANARY_FIELD_NUMBER: _ClassVar[int]
    release: str
    compared_with: str
    written_at: str
    shadow: ShadowEvidence
    canary: CanaryEvidence
    def __init__(self, release: _Optional[str] = ..., compared_with: _Optional[str] = ..., written_at: _Optional[str] = ..., shadow: _Optional[_Union[ShadowEvidence, _Mapping]] = ..., canary: _Optional[_Union[CanaryEvidence, _Mapping]] = ...) -> None: ...

class EncoderMeasured(_message.Message):
    __slots__ = ("mean_cosine", "worst_cosine", "neighbour_overlap", "batch_invariance", "padding_invariance", "throughput_ratio")
    MEAN_COSINE_FIELD_NUMBER: _ClassVar[int]
    WORST_COSINE_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOUR_OVERLAP_FIELD_NUMBER: _ClassVar[int]
    BATCH_INVARIANCE_FIELD_NUMBER: _ClassVar[int]
    PADDING_INVARIANCE_FIELD_NUMBER: _ClassVar[int]
    THROUGHPUT_RATIO_FIELD_NUMBER: _ClassVar[int]
    mean_cosine: float
    worst_cosine: float
    neighbour_overlap: float
    batch_invariance: float
    padding_invariance: float
    throughput_ratio: float
    def __init__(self, mean_cosine: _Optional[float] = ..., worst_cosine: _Optional[float] = ..., neighbour_overlap: _Optional[float] = ..., batch_invariance: _Optional[float] = ..., padding_invariance: _Optional[float] = ..., throughput_ratio: _Optional[float] = ...) -> None: ...

class Measured(_message.Message):
    __slots__ = ("encoder",)
    ENCODER_FIELD_NUMBER: _ClassVar[int]
    encoder: EncoderMeasured
    def __init__(self, encoder: _Optional[_Union[EncoderMeasured, _Mapping]] = ...) -> None: ...

class Release(_message.Message):
    __slots__ = ("release", "place", "percent", "status", "reason", "encoder_version", "encoder_sha256", "tokenizer_sha256", "generator_version", "catalogue", "n_items", "dim", "index_sha256", "prompt_sha256", "in_flight", "fingerprint", "report", "objections", "measured", "quality")
    class QualityEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ENCODER_VERSION_FIELD_NUMBER: _ClassVar[int]
    ENCODER_SHA256_FIELD_NUMBER: _ClassVar[int]
    TOKENIZER_SHA256_FIELD_NUMBER: _ClassVar[int]
    GENERATOR_VERSION_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_FIELD_NUMBER: _ClassVar[int]
    N_ITEMS_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    INDEX_SHA256_FIELD_NUMBER: _ClassVar[int]
    PROMPT_SHA256_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    OBJECTIONS_FIELD_NUMBER: _ClassVar[int]
    MEASURED_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    release: str
    place: str
    percent: float
    status: str
    reason: str
    encoder_version: str
    encoder_sha256: str
    tokenizer_sha256: str
    generator_version: str
    catalogue: str
    n_items: int
    dim: int
    index_sha256: str
    prompt_sha256: str
    in_flight: int
    fingerprint: Fingerprint
    report: ReleaseReport
    objections: Texts
    measured: Measured
    quality: _containers.ScalarMap[str, float]
    def __init__(self, release: _Optional[str] = ..., place: _Optional[str] = ..., percent: _Optional[float] = ..., status: _Optional[str] = ..., reason: _Optional[str] = ..., encoder_version: _Optional[str] = ..., encoder_sha256: _Optional[str] = ..., tokenizer_sha256: _Optional[str] = ..., generator_version: _Optional[str] = ..., catalogue: _Optional[str] = ..., n_items: _Optional[int] = ..., dim: _Optional[int] = ..., index_sha256: _Optional[str] = ..., prompt_sha256: _Optional[str] = ..., in_flight: _Optional[int] = ..., fingerprint: _Optional[_Union[Fingerprint, _Mapping]] = ..., report: _Optional[_Union[ReleaseReport, _Mapping]] = ..., objections: _Optional[_Union[Texts, _Mapping]] = ..., measured: _Optional[_Union[Measured, _Mapping]] = ..., quality: _Optional[_Mapping[str, float]] = ...) -> None: ...

class ReleasesResponse(_message.Message):
    __slots__ = ("release", "revision", "releases")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    RELEASES_FIELD_NUMBER: _ClassVar[int]
    release: str
    revision: int
    releases: _containers.RepeatedCompositeFieldContainer[Release]
    def __init__(self, release: _Optional[str] = ..., revision: _Optional[int] = ..., releases: _Optional[_Iterable[_Union[Release, _Mapping]]] = ...) -> None: ...
