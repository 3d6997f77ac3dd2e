"""A failed call in, the pause before the next try out; None where another try is not worth it.

Every row of the API may be called twice: what it stores, it stores once.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from longtail_client.calls import Call
from longtail_client.errors import DeadlineExceeded, LongtailError, Unavailable

_FIRST_BACKOFF_S = 0.1
_LONGEST_PAUSE_S = 30.0
_GRACE_S = 1.0
"""How much later than its deadline an answer is still waited for: by then the service has said why it is late."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often a caller tries.

    Attributes:
        timeout_s: Seconds that one try may take where the call has no deadline.
        max_tries: Tries of one call, the first included.
    """

    timeout_s: float
    max_tries: int


class Tries:
    """The tries of one call.

    Args:
        call: What is tried.
        patience: How often.
    """

    def __init__(self, call: Call[object], patience: Patience) -> None:
        self._call = call
        self._patience = patience
        self._start_s = time.monotonic()
        self._n_failed = 0

    def next(self) -> tuple[dict[str, object], float]:
        """Return the next try's fields, with the deadline that is left, and the seconds that it may take.

        Raises:
            DeadlineExceeded: Nothing is left.
        """
        fields = dict(self._call.document)
        left_s = self._left_s()
        if left_s is None:
            return fields, self._patience.timeout_s
        if self._n_failed:
            if left_s < 0.001:
                raise DeadlineExceeded(f"the answer was not there within {self._call.deadline_ms} ms")
            fields["deadline_ms"] = int(left_s * 1000)
        return fields, max(left_s, 0.0) + _GRACE_S

    def pause_s(self, error: LongtailError) -> float:
        """Say how long to wait before the next try: as long as the service asked for, and a random part more.

        Raises:
            LongtailError: The error itself, where no try follows: it is none that passes, or tries or time are used up.
        """
        self._n_failed += 1
        if not isinstance(error, Unavailable) or self._n_failed >= self._patience.max_tries:
            raise error
        backoff_s = _FIRST_BACKOFF_S * 2**self._n_failed
        pause_s = error.retry_after_s + random.uniform(0, backoff_s)  # noqa: S311, spreads callers, hides nothing
        left_s = self._left_s()
        if pause_s > _LONGEST_PAUSE_S or (left_s is not None and pause_s >= left_s):
            raise error
        return pause_s

    def _left_s(self) -> float | None:
        if self._call.deadline_ms is None or not isinstance(self._call.deadline_ms, int):
            return None
        return self._start_s + self._call.deadline_ms / 1000 - time.monotonic()
