"""What decides descriptions in, the descriptions that were written for it before out; bounded in number and in age."""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from longtail_bento.domain import Described, Description, History

Taste = str
"""Digest of a tidy history and the wishes: with the release, the count and the seed, it decides the descriptions."""


def taste_of(history: History, steer: Sequence[str]) -> Taste:
    """Digest what the prompt is made of; the cache keeps no history and no wish."""
    digest = hashlib.sha256()
    for part in (history.rows.tobytes(), history.preferences.tobytes(), *(wish.encode() for wish in steer)):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def digest_of_user(user_id: str) -> str:
    """Name a user to whoever must forget what was kept for them, without keeping the id itself."""
    return hashlib.sha256(user_id.encode("utf-8", "surrogatepass")).hexdigest()


_LONGEST_WRITING_S = 120.0


@dataclass(slots=True)
class _Entry:
    described: Described
    kept_at_s: float
    users: set[str]


class DescriptionCache:
    """Descriptions of one release, the least recently used forgotten first.

    A request that names a seed gets what was written for that seed. What was written last for a taste, whatever the
    seed, is kept beside it, for the time when the generator does not answer.

    Args:
        capacity: Entries that are kept; 0 keeps none.
        max_age_s: Seconds after which an entry is no longer used.
    """

    def __init__(self, *, capacity: int, max_age_s: float) -> None:
        self._capacity = capacity
        self._max_age_s = max_age_s
        self._entries: OrderedDict[tuple[Taste, int | None, int | None], _Entry] = OrderedDict()
        self._forgotten_at_s: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def of_seed(self, taste: Taste, n: int, seed: int, user_id: str | None = None) -> Described | None:
        """Find what was written for this taste, count and seed; from then on it is the user's too, for `forget`."""
        return self._find((taste, n, seed), user_id)

    def latest(self, taste: Taste, n: int, user_id: str | None = None) -> Described | None:
        """Find what was last written for this taste, at most ``n`` of it; from then on it is the user's too."""
        found = self._find((taste, None, None), user_id)
        return found and replace(found, descriptions=found.descriptions[:n])

    def keep(
        self, taste: Taste, n: int, described: Described, user_id: str | None = None, *, begun_at_s: float = math.inf
    ) -> None:
        """Remember descriptions.

        Args:
            taste: What they were written for.
            n: How many were asked for.
            described: The descriptions and their seed.
            user_id: Whom `forget` forgets them for.
            begun_at_s: When they were begun, by ``time.monotonic``; a user who was forgotten since stays forgotten.
        """
        theirs = {digest_of_user(user_id)} if user_id is not None else set()
        if any(self._forgotten_at_s.get(user, -math.inf) >= begun_at_s for user in theirs):
            return
        for key in ((taste, n, described.seed), (taste, None, None)):
            known = self._entries.pop(key, None)
            users = known.users if known is not None else set()
            self._entries[key] = _Entry(_remembered(described), time.monotonic(), users | theirs)
        while len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def forget(self, users: Iterable[str]) -> None:
        """Drop everything of each taste that a user was answered for, from any history that the user ever had.

        Args:
            users: Whom, as `digest_of_user` names them.
        """
        forgotten = set(users)
        now_s = time.monotonic()
        self._forgotten_at_s = {
            each: at_s for each, at_s in self._forgotten_at_s.items() if now_s - at_s < _LONGEST_WRITING_S
        } | dict.fromkeys(forgotten, now_s)
        theirs = {taste for (taste, _, _), entry in self._entries.items() if entry.users & forgotten}
        for key in [key for key in self._entries if key[0] in theirs]:
            del self._entries[key]

    def _find(self, key: tuple[Taste, int | None, int | None], user_id: str | None) -> Described | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if time.monotonic() - entry.kept_at_s > self._max_age_s:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        if user_id is not None:
            entry.users.add(digest_of_user(user_id))
        return entry.described


def _remembered(described: Described) -> Described:
    return replace(described, descriptions=tuple(Description(each.text, "cache") for each in described.descriptions))
