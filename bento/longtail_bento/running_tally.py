"""Answers in, one at a time; what they look like together out."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from longtail_bento.wire import RecommendResponse
from longtail_client.release_report import Tally

_LATEST = 1000
TAIL_BELOW_PERCENTILE = 80.0


class RunningTally:
    """Counts the answers of one release."""

    def __init__(self) -> None:
        self.n_answers = 0
        self.n_errors = 0
        self._n_degraded = 0
        self._n_items = 0
        self._n_tail = 0
        self._similarities = 0.0
        self._served: set[str] = set()
        self._latencies_ms: deque[float] = deque(maxlen=_LATEST)

    def add(self, answer: RecommendResponse, *, latency_ms: float, degraded: Sequence[str]) -> None:
        """Count an answer.

        Args:
            answer: The answer.
            latency_ms: What it took, as far as it is to be compared.
            degraded: The stages that it did without, as far as they are to be compared.
        """
        self.n_answers += 1
        self._n_degraded += bool(degraded)
        self._n_items += len(answer.items)
        self._n_tail += sum(item.popularity_percentile < TAIL_BELOW_PERCENTILE for item in answer.items)
        self._similarities += sum(item.similarity for item in answer.items)
        self._served.update(item.item_id for item in answer.items)
        self._latencies_ms.append(latency_ms)

    def fail(self) -> None:
        """Count a request that was not answered."""
        self.n_errors += 1

    def tally(self, n_catalogue: int) -> Tally:
        """Say what the answers look like.

        Args:
            n_catalogue: Items of the release's catalogue.
        """
        p50, p95 = np.percentile(self._latencies_ms, [50, 95]).tolist() if self._latencies_ms else (None, None)
        return Tally(
            n_answers=self.n_answers,
            n_errors=self.n_errors,
            n_degraded=self._n_degraded,
            tail_share=self._n_tail / self._n_items if self._n_items else None,
            coverage=len(self._served) / n_catalogue if self._n_items else None,
            mean_similarity=self._similarities / self._n_items if self._n_items else None,
            latency_p50_ms=p50,
            latency_p95_ms=p95,
        )
