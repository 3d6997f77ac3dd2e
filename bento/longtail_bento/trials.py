"""Live answers in, evidence of the releases in shadow and on canary out, in memory and under ``var/reports``.

A release in shadow answers copies of requests in the background, with the descriptions that the live answer carried, so
that the generator writes once. When it is busy, requests are not copied; users never wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from datetime import UTC, datetime

from longtail_bento import metrics, pipeline
from longtail_bento.clock import Clock
from longtail_bento.interactions import Interactions
from longtail_bento.release_set import ReleaseSet
from longtail_bento.releases import LiveRelease
from longtail_bento.running_tally import RunningTally
from longtail_bento.settings import ServiceSettings
from longtail_bento.wire import RecommendRequest, RecommendResponse
from longtail_client.errors import CallerError, LongtailError
from longtail_client.release_report import CanaryEvidence, ReleaseReport, ShadowEvidence, forget_workers, write_report

_log = logging.getLogger("longtail")

_WAITING = 32
_WRITE_EVERY_S = 1.0


class Trial:
    """One release against the live one, for as long as it is in shadow or on canary.

    Args:
        name: The release on trial.
        live: The release that was live meanwhile.
    """

    def __init__(self, name: str, live: str) -> None:
        self.name = name
        self.live = live
        self.changed = False
        self.shadow, self.shadow_live = RunningTally(), RunningTally()
        self.canary, self.canary_live = RunningTally(), RunningTally()
        self.percent = 0.0
        self.n_compared = 0
        self.n_dropped = 0
        self._overlaps = 0.0
        self._shifts = 0.0

    def compare(self, live: RecommendResponse, mine: RecommendResponse) -> None:
        """Count one request that both answered; what the generator took and did is the same for both."""
        for tally, answer in ((self.shadow_live, live), (self.shadow, mine)):
            latency_ms = answer.timings_ms.total - answer.timings_ms.generate
            degraded = [stage for stage in answer.degraded if stage != "generate"]
            tally.add(answer, latency_ms=latency_ms, degraded=degraded)
        self.n_compared += 1
        self.changed = True
        theirs = {item.item_id for item in live.items}
        self._overlaps += len(theirs & {item.item_id for item in mine.items}) / max(1, len(theirs))
        self._shifts += _mean_similarity(mine) - _mean_similarity(live)

    def report(self, n_mine: int, n_live: int) -> ReleaseReport:
        """Say what the release showed.

        Args:
            n_mine: Items of its catalogue.
            n_live: Items of the live release's catalogue.
        """
        shadow = canary = None
        if self.n_compared or self.shadow.n_errors:
            shadow = ShadowEvidence(
                n_compared=self.n_compared,
                n_dropped=self.n_dropped,
                overlap_at_k=self._overlaps / self.n_compared if self.n_compared else None,
                score_shift=self._shifts / self.n_compared if self.n_compared else None,
                candidate=self.shadow.tally(n_mine),
                live=self.shadow_live.tally(n_live),
            )
        if self.canary.n_answers or self.canary.n_errors:
            canary = CanaryEvidence(
                percent=self.percent, candidate=self.canary.tally(n_mine), live=self.canary_live.tally(n_live)
            )
        return ReleaseReport(
            release=self.name,
            compared_with=self.live,
            written_at=datetime.now(UTC).isoformat(timespec="seconds"),
            shadow=shadow,
            canary=canary,
        )


class Trials:
    """The trials of one process.

    Args:
        settings: Where reports go, and how many requests are copied.
        releases: Where releases are.
        interactions: Where histories are.
        worker: Number of the process among the workers of its service, from 1; its reports are named by it.
    """

    def __init__(
        self, settings: ServiceSettings, releases: ReleaseSet, interactions: Interactions, *, worker: int = 1
    ) -> None:
        self._settings = settings
        self._worker = worker
        self._releases = releases
        self._interactions = interactions
        self._trials: dict[str, Trial] = {}
        self._waiting: asyncio.Queue[tuple[str, RecommendRequest, RecommendResponse]] = asyncio.Queue(_WAITING)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to answer copies and to write reports."""
        forget_workers(self._settings.var, beyond=self._settings.workers)
        self._tasks = [asyncio.create_task(loop) for loop in (self._answer_copies(), self._keep_writing())]

    async def stop(self) -> None:
        """Stop, and write what is known."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._write()

    def answered(self, release: LiveRelease, request: RecommendRequest, answer: RecommendResponse) -> None:
        """Note an answer to a user, and have the shadow release answer a copy."""
        for tally in self._tallies(release):
            tally.add(answer, latency_ms=answer.timings_ms.total, degraded=answer.degraded)
        shadow = self._releases.serving(self._releases.state.shadow)
        if shadow is None or release is not self._releases.live or random.random() >= self._settings.shadow_share:  # noqa: S311
            return
        try:
            self._waiting.put_nowait((shadow.name, request, answer))
        except asyncio.QueueFull:
            self._trial(shadow.name).n_dropped += 1

    def failed(self, release: LiveRelease) -> None:
        """Note a request of a user that a release could not answer."""
        for tally in self._tallies(release):
            tally.fail()

    def report(self, name: str) -> ReleaseReport | None:
        """Say what a release on trial showed; None where it is on none."""
        trial = self._trials.get(name)
        loaded = self._releases.loaded
        if trial is None or name not in loaded or trial.live not in loaded:
            return None
        return trial.report(len(loaded[name].catalogue.item_ids), len(loaded[trial.live].catalogue.item_ids))

    def _tallies(self, release: LiveRelease) -> list[RunningTally]:
        canary = self._releases.state.canary
        if canary is None:
            return []
        trial = self._trial(canary.name)
        trial.percent = canary.percent
        trial.changed = True
        if self._releases.is_canary(release):
            return [trial.canary]
        return [trial.canary_live] if release is self._releases.live else []

    def _trial(self, name: str) -> Trial:
        """Find a release's trial; it begins anew when another release became live."""
        trial = self._trials.get(name)
        if trial is None or trial.live != self._releases.live.name:
            trial = self._trials[name] = Trial(name, self._releases.live.name)
        return trial

    async def _answer_copies(self) -> None:
        while True:
            name, request, live_answer = await self._waiting.get()
            try:
                await self._answer_copy(name, request, live_answer)
            except Exception:
                _log.exception("a copy of request %s could not be answered by %s", live_answer.request_id, name)

    async def _answer_copy(self, name: str, request: RecommendRequest, live_answer: RecommendResponse) -> None:
        if name != self._releases.state.shadow or live_answer.release != self._releases.live.name:
            return  # it moved on while the copy waited
        trial = self._trial(name)
        texts = [description.text for description in live_answer.descriptions]
        copied = request.model_copy(update={"given_descriptions": texts, "seed": live_answer.seed, "explain": False})
        clock = Clock(self._settings.default_deadline_ms)
        try:
            with self._releases.taken(name) as release:
                answer = await pipeline.recommend(
                    copied, release, self._interactions, clock, request_id=live_answer.request_id
                )
        except LongtailError as error:
            # A caller's error is one too: the live release answered the same request.
            outcome = "refused" if isinstance(error, CallerError) else "failed"
            metrics.ANSWERS.labels(name, "shadow", outcome).inc()
            trial.shadow.fail()
            trial.changed = True
            _log.warning("request %s: release %s in shadow: %s", live_answer.request_id, name, error)
            return
        metrics.ANSWERS.labels(name, "shadow", "answered").inc()
        trial.compare(live_answer, answer)

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(_WRITE_EVERY_S)
            try:
                await self._write()
            except Exception:
                _log.exception("reports could not be written")

    async def _write(self) -> None:
        state = self._releases.state
        on_trial = {name for name in (state.shadow, state.canary.name if state.canary else None) if name}
        for name in on_trial - self._trials.keys():
            # A worker that nobody asks must not leave what it saw in an earlier trial beside what others see in this.
            self._trial(name).changed = True
        for name, trial in list(self._trials.items()):
            report = self.report(name)
            if trial.changed and report is not None:
                trial.changed = False
                await asyncio.to_thread(write_report, self._settings.var, report, worker=self._worker)
            if name not in on_trial:
                self._trials.pop(name, None)


def _mean_similarity(answer: RecommendResponse) -> float:
    return sum(item.similarity for item in answer.items) / max(1, len(answer.items))
