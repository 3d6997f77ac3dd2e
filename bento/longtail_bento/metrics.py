"""What the service counts, and how it tells."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from longtail_bento.wire import RecommendResponse

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0)

REQUESTS = Counter("longtail_requests_total", "Answered requests.", ["endpoint", "status"])
REQUEST_SECONDS = Histogram(
    "longtail_request_seconds", "Time from a request's first byte to its answer's last.", ["endpoint"], buckets=_SECONDS
)
STAGE_SECONDS = Histogram(
    "longtail_stage_seconds", "Time that a stage of a request took.", ["endpoint", "stage"], buckets=_SECONDS
)
DEGRADED = Counter("longtail_degraded_total", "Recommendations made without a stage.", ["stage"])
DESCRIPTIONS = Counter("longtail_descriptions_total", "Descriptions that were searched with, by source.", ["source"])
INTERACTIONS = Counter("longtail_interactions_total", "Interactions that were stored over the API.")
DESCRIPTION_CACHE = Counter(
    "longtail_description_cache_total",
    "Where descriptions came from: hit (kept for this seed), joined (being written for an equal request), written (by "
    "the generator), stale (kept for any seed, while the generator does not answer). The hit rate is hit over all.",
    ["outcome"],
)
ANSWERS = Counter(
    "longtail_release_answers_total",
    "Requests by the release that they were given to.",
    ["release", "place", "outcome"],
)
REFUSALS = Counter(
    "longtail_release_refusals_total", "Attempts to load a release that ended in a new reason.", ["release"]
)
FINGERPRINT_WORST_COSINE = Gauge(
    "longtail_fingerprint_worst_cosine",
    "Worst cosine of the probes to the vectors that the index was built with, when last compared.",
    ["release"],
    multiprocess_mode="livemin",
)


def observe_stages(endpoint: str, timings_ms: Mapping[str, float], degraded: Sequence[str] = ()) -> None:
    """Count one answer's stages."""
    for stage, milliseconds in timings_ms.items():
        STAGE_SECONDS.labels(endpoint, stage).observe(milliseconds / 1000)
    for stage in degraded:
        DEGRADED.labels(stage).inc()


def observe_recommendation(answer: RecommendResponse) -> None:
    """Count one recommendation's stages and descriptions."""
    observe_stages("recommend", answer.timings_ms.model_dump(), answer.degraded)
    for description in answer.descriptions:
        DESCRIPTIONS.labels(description.source).inc()


def exposition() -> bytes:
    """Write what all workers counted, in Prometheus' text format; BentoML gives its workers a folder to share."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
