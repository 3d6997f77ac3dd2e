"""Two encoders in, how many times as fast the second is out, measured in one interleaved run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from longtail_client.encoder import padded
from longtail_export.encoder_runtimes import Embed

BATCH = 32
ROUNDS = 9


def throughput_ratio(baseline: Embed, candidate: Embed, rows: Sequence[Sequence[int]]) -> tuple[float, float]:
    """Time both on the same batch, in turns, so that what else the machine does weighs on both.

    Args:
        baseline: The float32 graph.
        candidate: The version as served.
        rows: Token ids; the batch is the `BATCH` of middle length, padded to its bucket.

    Returns:
        Median time of the baseline over the candidate's, and the candidate's texts a second.
    """
    by_length = sorted(rows, key=len)
    middle = max(0, len(by_length) // 2 - BATCH // 2)
    batch = padded(by_length[middle : middle + BATCH])
    times_s: dict[str, list[float]] = {"baseline": [], "candidate": []}
    for turn in range(ROUNDS + 1):
        for name, embed in (("baseline", baseline), ("candidate", candidate)):
            began_s = time.perf_counter()
            embed(*batch)
            if turn:  # the first opens code paths
                times_s[name].append(time.perf_counter() - began_s)
    candidate_s = statistics.median(times_s["candidate"])
    return statistics.median(times_s["baseline"]) / candidate_s, len(batch[0]) / candidate_s
