"""The state file in, the releases that serve out: loaded in the background, verified before they serve, swapped whole.

A request takes one release at its start and keeps it to its end. A swap is one assignment between two requests, so no
request fails and no answer mixes releases. A release that cannot serve is reported, and what served goes on serving.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from longtail_bento import metrics
from longtail_bento.model_versions import ModelVersions
from longtail_bento.releases import LiveRelease, load_release
from longtail_bento.settings import ServiceSettings
from longtail_client.errors import LongtailError, OperatorError, ReleaseInvalid, UnknownRelease
from longtail_client.release import Release, releases_folder
from longtail_client.release_state import STATE_FILE, ReleaseState, names_in_service, read_state
from longtail_client.transport import Transport

_log = logging.getLogger("longtail")

_POLL_S = 0.1
_LOOK_AFTER_S = 1.0
_CONNECT_TIMEOUT_S = 5.0
_RETRY_UNAVAILABLE_S = 2.0
_RETRY_REFUSED_S = 60.0
_RETRY_MISMATCH_S = 10.0
_LOAD_IN_FLIGHT = 4
_OTHER_WORKERS_S = 60.0
"""The longest deadline of a request: another worker may hold a release for so long after this one let it go."""

_SHARES = 10_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a release is not loaded.

    Attributes:
        reason: What was expected, what came, what to do.
        revision: The state's revision when it was tried; a later one tries again at once.
        retry_at_s: When it is tried again, by the monotonic clock.
        release: What it pins, as far as that could be read: its model versions may be loaded.
    """

    reason: str
    revision: int
    retry_at_s: float
    release: Release | None


class ReleaseSet:
    """The releases of one process.

    Args:
        settings: Where everything is; a fixed ``release`` is served alone, whatever the state file says.
        transport: The way to Triton.
    """

    def __init__(self, settings: ServiceSettings, transport: Transport) -> None:
        self._settings = settings
        self._transport = transport
        self._versions = ModelVersions(
            transport, model_repository=settings.model_repository, load_timeout_s=settings.start_timeout_s
        )
        self._state_path = releases_folder(settings.var) / STATE_FILE
        self._state_seen: tuple[int, int] | None = None
        self._state = ReleaseState()
        self._releases: dict[str, LiveRelease] = {}
        self._refusals: dict[str, Refusal] = {}
        self._left_at_s: dict[str, float] = {}
        self._compare_at_s: dict[str, float] = {}
        self._away: set[str] = set()
        self._complaints: dict[str, str] = {}
        self._live: LiveRelease | None = None
        self._loading: tuple[str, asyncio.Task[None]] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Load the live release and begin to follow the state file. Triton may be away meanwhile.

        Raises:
            ReleaseInvalid: No release is live, or a file of the live one is missing or changed.
        """
        self._state = self._read()
        name = self._state.live_name()
        self._live = await asyncio.to_thread(load_release, self._settings, self._transport, name)
        self._releases[name] = self._live
        for loop in (self._follow(), self._look_after()):
            self._spawn(loop)

    async def stop(self) -> None:
        """Stop following."""
        tasks = [*self._tasks, *([self._loading[1]] if self._loading else [])]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    @property
    def live(self) -> LiveRelease:
        """The release that serves the users now."""
        if self._live is None:
            raise RuntimeError("a release was asked for before the set has started")
        return self._live

    @property
    def state(self) -> ReleaseState:
        """The places of all releases, as the state file has them."""
        return self._state

    @property
    def loaded(self) -> Mapping[str, LiveRelease]:
        """Releases in memory, by name."""
        return self._releases

    @property
    def refusals(self) -> Mapping[str, Refusal]:
        """Releases that should be in service and are not."""
        return self._refusals

    @property
    def loading(self) -> str | None:
        """The release that is being loaded now."""
        return self._loading[0] if self._loading and not self._loading[1].done() else None

    @contextmanager
    def taken(self, name: str | None = None, *, sticky: str | None = None) -> Iterator[LiveRelease]:
        """Hold one release for the length of a request; it stays loaded until the block ends.

        Args:
            name: A release to address; None takes the live one, or the canary for its share of the users.
            sticky: Who asks: the same words get the same release, as long as the state is the same.

        Raises:
            UnknownRelease: The named release is not loaded.
        """
        release = self._named(name) if name is not None else self._of(sticky)
        release.in_flight += 1
        try:
            yield release
        finally:
            release.in_flight -= 1

    def is_canary(self, release: LiveRelease) -> bool:
        """Tell whether a release serves a share of the users now."""
        return release is not self._live and self._state.canary is not None and self._state.canary.name == release.name

    def serving(self, name: str | None) -> LiveRelease | None:
        """Find a release that is loaded and whose vectors are those of its index."""
        release = self._releases.get(name) if name is not None else None
        return release if release is not None and release.is_sound else None

    def _named(self, name: str) -> LiveRelease:
        release = self._releases.get(name)
        if release is not None and (release is self._live or name in names_in_service(self._state)):
            return release
        why = "it is not in service; stage it with `longtail release stage`"
        if name in self._refusals:
            why = self._refusals[name].reason
        elif name in names_in_service(self._state):
            why = "it is being loaded; try again"
        raise UnknownRelease(f"release '{name[:80]}' cannot be asked: {why}", field="release")

    def _of(self, sticky: str | None) -> LiveRelease:
        canary = self._state.canary
        if canary is not None and sticky is not None and in_share(sticky, canary.name, canary.percent):
            return self.serving(canary.name) or self.live
        return self.live

    def _read(self) -> ReleaseState:
        if self._settings.release is not None:
            return ReleaseState(live=self._settings.release)
        with suppress(FileNotFoundError):
            status = self._state_path.stat()
            self._state_seen = (status.st_mtime_ns, status.st_ino)
        return read_state(self._settings.var)

    def _state_moved(self) -> bool:
        try:
            status = self._state_path.stat()
        except FileNotFoundError:
            return False
        return self._settings.release is None and (status.st_mtime_ns, status.st_ino) != self._state_seen

    async def _follow(self) -> None:
        while True:
            try:
                if self._state_moved():
                    self._state = self._read()
                    _log.info("releases: revision %d: %s", self._state.revision, self._state.model_dump(mode="json"))
                self._take_places()
                self._load_next()
                self._let_go()
            except ReleaseInvalid as error:
                _log.error("the state of the releases cannot be read, what served goes on serving: %s", error)
            except Exception:
                _log.exception("the state of the releases could not be followed; what served goes on serving")
            await asyncio.sleep(_POLL_S)

    def _take_places(self) -> None:
        wanted = self.serving(self._state.live)
        if wanted is not None and wanted is not self._live:
            _log.info("release %s serves from now on, in the place of %s", wanted.name, self.live.name)
            self._live = wanted
        in_service = names_in_service(self._state)
        for name, refusal in list(self._refusals.items()):
            if name not in in_service:
                del self._refusals[name]
                if refusal.release is not None:
                    self._spawn(self._drop_versions(refusal.release))

    def _load_next(self) -> None:
        """Load one release at a time, in the order of their places: the live one first."""
        if self.loading is not None:
            return
        for name in names_in_service(self._state):
            refusal = self._refusals.get(name)
            is_due = refusal is None or refusal.revision < self._state.revision or time.monotonic() > refusal.retry_at_s
            if name not in self._releases and is_due:
                self._loading = name, asyncio.create_task(self._load(name, self._state.revision))
                return

    async def _load(self, name: str, revision: int) -> None:
        retry_s = _RETRY_REFUSED_S
        release = None
        try:
            release = await asyncio.to_thread(load_release, self._settings, self._transport, name)
            await self._versions.ensure(release.release)
            await release.generator(timeout_s=_CONNECT_TIMEOUT_S)
            await self._compare(release, in_flight=_LOAD_IN_FLIGHT)
        except OperatorError as error:
            reason = str(error)
        except LongtailError as error:
            reason, retry_s = str(error), _RETRY_UNAVAILABLE_S
        except Exception as error:
            _log.exception("release %s could not be loaded", name)
            reason = f"{type(error).__name__}: {error}"
        else:
            self._refusals.pop(name, None)
            self._releases[name] = release
            _log.info("release %s is loaded", name)
            return
        before = self._refusals.get(name)
        if before is None or before.reason != reason:
            _log.error("release %s is not in service, %s goes on serving: %s", name, self.live.name, reason)
            metrics.REFUSALS.labels(name).inc()
        pinned = release.release if release is not None else None
        self._refusals[name] = Refusal(reason, revision, time.monotonic() + retry_s, pinned)

    def _let_go(self) -> None:
        """Unload what left service, once its last request has ended, here and in other workers."""
        wanted = {*names_in_service(self._state), self.live.name}
        now_s = time.monotonic()
        grace_s = _OTHER_WORKERS_S if self._settings.workers > 1 else 0.0
        for name in wanted:
            self._left_at_s.pop(name, None)
        for name, release in list(self._releases.items()):
            if name in wanted or release.in_flight:
                continue
            if now_s - self._left_at_s.setdefault(name, now_s) >= grace_s:
                del self._releases[name], self._left_at_s[name]
                self._compare_at_s.pop(name, None)
                _log.info("release %s is unloaded", name)
                self._spawn(self._drop_versions(release.release))

    async def _drop_versions(self, release: Release) -> None:
        try:
            await self._versions.drop(release, lambda: [each.release for each in self._releases.values()])
        except LongtailError as error:
            _log.warning("release %s: its model versions stay loaded: %s", release.name, error)

    async def _look_after(self) -> None:
        """Keep model versions loaded, also by a Triton that was started anew, and compare fingerprints on a timer."""
        while True:
            for name, release in list(self._releases.items()):
                try:
                    loaded = await self._versions.ensure(release.release)
                    back = name in self._away
                    self._away.discard(name)
                    if loaded or back or time.monotonic() >= self._compare_at_s.get(name, 0.0):
                        await self._compare(release)
                    self._complaints.pop(name, None)
                except OperatorError as error:
                    self._complain(name, str(error))
                    retry_s = min(_RETRY_MISMATCH_S, self._settings.fingerprint_every_s)
                    self._compare_at_s[name] = time.monotonic() + retry_s
                except LongtailError as error:
                    self._complain(name, str(error))
                    self._away.add(name)
                except Exception:
                    _log.exception("release %s could not be looked after", name)
            await asyncio.sleep(_LOOK_AFTER_S)

    def _complain(self, name: str, reason: str) -> None:
        """Log a reason once, and not each time that it is met again."""
        if self._complaints.get(name) != reason:
            _log.error("release %s: %s", name, reason)
        self._complaints[name] = reason

    async def _compare(self, release: LiveRelease, *, in_flight: int = 1) -> None:
        try:
            await release.compare(timeout_s=_CONNECT_TIMEOUT_S, in_flight=in_flight)
        finally:
            if release.comparison is not None:
                metrics.FINGERPRINT_WORST_COSINE.labels(release.name).set(release.comparison.worst_cosine)
        self._compare_at_s[release.name] = time.monotonic() + self._settings.fingerprint_every_s

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def in_share(sticky: str, canary: str, percent: float) -> bool:
    """Tell whether somebody belongs to the users of a canary; a larger share keeps those of a smaller one.

    Args:
        sticky: Who asks.
        canary: Name of the release, so that the next canary has other users.
        percent: Share of the users, in ``(0, 100]``.
    """
    digest = hashlib.sha256(f"{canary}\0{sticky}".encode()).digest()
    return int.from_bytes(digest[:8]) % _SHARES < percent * _SHARES / 100
