"""Which release is in which place: `state.json` in and out, and the moves from one place to another.

Every release is in at most one place. A move gives a new state, or says which command comes first.

    created ──> staged <──> shadow
                  │  ^         │
                  │  └──> canary <┘       staged, shadow and canary ── promote ──> live
                  └──> retired            live ──> previous ──> retired, by the promotions that follow
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from longtail_client.durable import replace_file
from longtail_client.errors import ReleaseInvalid, TransitionRefused
from longtail_client.release import releases_folder

STATE_FILE = "state.json"
_LOCK_FILE = ".lock"

Place = Literal["live", "previous", "canary", "shadow", "staged", "retired"]

_COMES_FROM: dict[Place, tuple[Place | None, ...]] = {
    "staged": (None, "shadow", "canary", "retired"),
    "shadow": ("staged",),
    "canary": ("staged", "shadow"),
    "live": ("staged", "shadow", "canary"),
    "retired": (None, "staged", "shadow"),
}
"""From where a release may come to a place; None stands for a release that was created and is in no place."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Canary(_Frozen):
    """The release that serves some of the users."""

    name: str
    percent: float = Field(gt=0, le=100, description="Share of the users that it serves.")


class ReleaseState(_Frozen):
    """The place of every release."""

    revision: int = Field(default=0, ge=0, description="Grows by one with each write.")
    live: str | None = Field(default=None, description="Serves the users.")
    previous: str | None = Field(default=None, description="Was live before; kept loaded, so that rollback is quick.")
    canary: Canary | None = Field(default=None, description="Serves a share of the users.")
    shadow: str | None = Field(default=None, description="Answers copies of requests; nobody sees the answers.")
    staged: tuple[str, ...] = Field(default=(), description="Loaded, and served to who asks for them by name.")
    retired: tuple[str, ...] = Field(
        default=(), description="No longer served; files stay until somebody removes them."
    )

    @model_validator(mode="after")
    def _each_release_is_in_one_place(self) -> Self:
        names = [*names_in_service(self), *self.retired]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"expected each release in one place, got {', '.join(twice)} in more than one")
        return self

    def place_of(self, name: str) -> Place | None:
        """Say where a release is; None where it is in no place."""
        canary = self.canary.name if self.canary else None
        places: dict[Place, tuple[str | None, ...]] = {
            "live": (self.live,),
            "previous": (self.previous,),
            "canary": (canary,),
            "shadow": (self.shadow,),
            "staged": self.staged,
            "retired": self.retired,
        }
        return next((place for place, names in places.items() if name in names), None)

    def live_name(self) -> str:
        """Name the live release.

        Raises:
            ReleaseInvalid: None is live.
        """
        if self.live is None:
            raise ReleaseInvalid(
                "expected a live release, found none; run `longtail release create`, or `longtail release list` and "
                "`longtail release promote`"
            )
        return self.live

    def stage(self, name: str) -> ReleaseState:
        """Load a release without users: a new one, a retired one, or one that is taken out of shadow or canary.

        Raises:
            TransitionRefused: It is live or previous.
        """
        if self.place_of(name) == "staged":
            return self
        self._check(name, "staged")
        free = self._without(name)
        return free._with(staged=(*free.staged, name))

    def to_shadow(self, name: str) -> ReleaseState:
        """Let a staged release answer copies of requests.

        Raises:
            TransitionRefused: It is not staged, nothing is live, or another release is in shadow.
        """
        if self.shadow == name:
            return self
        self._check(name, "shadow", occupant=self.shadow)
        return self._without(name)._with(shadow=name)

    def to_canary(self, name: str, percent: float) -> ReleaseState:
        """Let a staged or shadow release serve a share of the users, or change the canary's share.

        Args:
            name: The release.
            percent: Share of the users, in (0, 100].

        Raises:
            TransitionRefused: It is neither staged nor in shadow, nothing is live, or another release is canary.
        """
        canary = Canary(name=name, percent=percent)
        if self.place_of(name) != "canary":
            self._check(name, "canary", occupant=self.canary.name if self.canary else None)
        return self._without(name)._with(canary=canary)

    def promote(self, name: str) -> ReleaseState:
        """Make a staged, shadow or canary release live; the live one becomes previous, the previous one retired.

        Raises:
            TransitionRefused: It is in no such place.
        """
        if self.live == name:
            return self
        self._check(name, "live")
        free = self._without(name)
        retired = free.retired if free.previous is None else (*free.retired, free.previous)
        return free._with(live=name, previous=free.live, retired=retired)

    def rollback(self) -> ReleaseState:
        """Take back the last step that reached users.

        A canary goes back to staged and the live release serves everybody. Where there is no canary, the live and the
        previous release trade places.

        Raises:
            TransitionRefused: There is neither a canary nor a previous release.
        """
        if self.canary is not None:
            return self.stage(self.canary.name)
        if self.previous is None:
            raise TransitionRefused(
                f"expected a canary or a previous release to roll back from, got live {self.live or 'none'} alone; "
                "promote a staged release instead: `longtail release list` names them"
            )
        return self._with(live=self.previous, previous=self.live)

    def retire(self, name: str, *, force: bool = False) -> ReleaseState:
        """Stop to load a release.

        Args:
            name: The release.
            force: Also where it is previous; nothing is left to roll back to then.

        Raises:
            TransitionRefused: It is live, canary, or previous without ``force``.
        """
        place = self.place_of(name)
        if place == "retired":
            return self
        if not (force and place == "previous"):
            self._check(name, "retired")
        free = self._without(name)
        return free._with(retired=(*free.retired, name))

    def _check(self, name: str, to: Place, *, occupant: str | None = None) -> None:
        place = self.place_of(name)
        if place not in _COMES_FROM[to]:
            allowed = " or ".join(each or "created" for each in _COMES_FROM[to])
            raise TransitionRefused(
                f"{name} to {to}: expected a release that is {allowed}, got one that is {place or 'created'}; "
                f"first {_first_step(name, place, to)}"
            )
        if occupant is not None:
            raise TransitionRefused(
                f"{name} to {to}: expected no other release there, got {occupant}; "
                f"first `longtail release stage {occupant}`"
            )
        if to in ("shadow", "canary") and self.live is None:
            raise TransitionRefused(
                f"{name} to {to}: expected a live release to compare with, got none; "
                f"first `longtail release promote {name}`"
            )

    def _without(self, name: str) -> ReleaseState:
        return self._with(
            live=None if self.live == name else self.live,
            previous=None if self.previous == name else self.previous,
            canary=None if self.canary and self.canary.name == name else self.canary,
            shadow=None if self.shadow == name else self.shadow,
            staged=tuple(each for each in self.staged if each != name),
            retired=tuple(each for each in self.retired if each != name),
        )

    def _with(self, **changes: Any) -> ReleaseState:
        return ReleaseState.model_validate(dict(self) | changes)


def _first_step(name: str, place: Place | None, to: Place) -> str:
    if place == "live":
        return "`longtail release promote` another one, or `longtail release rollback`"
    if place == "previous":
        return "`longtail release rollback`" if to == "live" else f"`longtail release retire {name} --force`"
    return f"`longtail release stage {name}`"


def names_in_service(state: ReleaseState) -> tuple[str, ...]:
    """Name the releases that must be loaded: live, previous, canary, shadow and staged, in this order."""
    canary = state.canary.name if state.canary else None
    placed = (state.live, state.previous, canary, state.shadow)
    return (*(name for name in placed if name is not None), *state.staged)


def read_state(var: Path) -> ReleaseState:
    """Read where each release is; a state without any release where nothing was written yet.

    Raises:
        ReleaseInvalid: The file is malformed.
    """
    path = releases_folder(var) / STATE_FILE
    try:
        return ReleaseState.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return ReleaseState()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ReleaseInvalid(
            f"{path}: {place}: {first['msg']}; only `longtail release` writes this file: remove it, then stage and "
            "promote the release that shall be live"
        ) from error


@contextmanager
def changing_state(var: Path) -> Iterator[ReleaseState]:
    """Keep every other writer out while a state is read, changed and written.

    Yields:
        The state as it is; hand the changed one to `write_state` before the block ends.
    """
    folder = releases_folder(var)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel gives it back when the process dies
        yield read_state(var)


def write_state(var: Path, state: ReleaseState) -> ReleaseState:
    """Put a state in the place of the one on disk, in one atomic step. Call it inside `changing_state`.

    Returns:
        What is on disk now: with the next revision, or the old one where nothing changed.
    """
    before = read_state(var)
    if state.model_copy(update={"revision": before.revision}) == before:
        return before
    after = state.model_copy(update={"revision": before.revision + 1})
    replace_file(releases_folder(var) / STATE_FILE, after.model_dump_json(indent=2).encode() + b"\n")
    return after
