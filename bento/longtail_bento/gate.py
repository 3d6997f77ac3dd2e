"""Who may come in, and how many at a time: a caller's key and the requests in flight in, a refusal or nothing out.

Both doors ask the same gate.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256

from longtail_bento.settings import ServiceSettings
from longtail_client.errors import Overloaded, SettingsInvalid, Unauthenticated

MIN_KEY_CHARACTERS = 16
_RETRY_AFTER_S = 1.0
_SET_KEYS = "set LONGTAIL_API_KEYS to one or more keys, separated by commas"


class Gate:
    """The keys that are good, and the bound on requests in flight, of one process.

    Args:
        settings: Keys, bound, and the address that the service listens on.

    Raises:
        SettingsInvalid: A key is no key, or there is none and the service listens on more than loopback.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        keys = settings.api_keys.get_secret_value() if settings.api_keys is not None else ""
        self._digests = [_digest(_checked(key.strip())) for key in keys.split(",") if key.strip()]
        if not self._digests and not is_loopback(settings.host):
            raise SettingsInvalid(
                f"expected keys to listen on {settings.host}, got none; {_SET_KEYS}, or listen on 127.0.0.1"
            )
        self._max_in_flight = settings.max_in_flight
        self._n_in_flight = 0
        self._max_held_bytes = settings.max_in_flight * max(settings.max_body_bytes, settings.max_interactions_bytes)
        self._n_held_bytes = 0

    @property
    def asks_for_keys(self) -> bool:
        """Whether callers need a key; without, only those on loopback are answered."""
        return bool(self._digests)

    def require_key(self, authorization: str | None, *, reached_at: str | None = None) -> None:
        """Let nobody in without a good key.

        Args:
            authorization: ``Bearer <key>``, as the caller sent it.
            reached_at: The address of ours that the caller reached, where that is known. Without keys it must be
                loopback, however the service was started.

        Raises:
            Unauthenticated: The key is missing or wrong.
        """
        if not self._digests:
            if reached_at is not None and _is_address(reached_at) and not is_loopback(reached_at):
                raise Unauthenticated(f"this service has no keys and answers on loopback alone; {_SET_KEYS}")
            return
        scheme, _, key = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Unauthenticated("expected the header 'Authorization: Bearer <key>', got none")
        given = _digest(key.strip())
        # Every key is compared, and digests are of one length: the time taken says nothing of the keys.
        if not sum(hmac.compare_digest(given, digest) for digest in self._digests):
            raise Unauthenticated("expected a key that this service knows, got another", given=True)

    @contextmanager
    def holding(self) -> Iterator[Callable[[int], None]]:
        """Count the bytes of a body while it comes and is answered; a slow sender takes these, and no place.

        Yields:
            Told of each piece's bytes. It raises Overloaded where all bodies together have more than is held.
        """
        held_bytes = 0

        def hold(n_bytes: int) -> None:
            nonlocal held_bytes
            if self._n_held_bytes + n_bytes > self._max_held_bytes:
                raise Overloaded(
                    "more is being sent than is held at one time; try again later", retry_after_s=_RETRY_AFTER_S
                )
            held_bytes += n_bytes
            self._n_held_bytes += n_bytes

        try:
            yield hold
        finally:
            self._n_held_bytes -= held_bytes

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Hold a place for the length of a request.

        Raises:
            Overloaded: All places are taken.
        """
        if self._n_in_flight >= self._max_in_flight:
            raise Overloaded(
                f"{self._n_in_flight} requests are being answered, as many as are at one time; try again later",
                retry_after_s=_RETRY_AFTER_S,
            )
        self._n_in_flight += 1
        try:
            yield
        finally:
            self._n_in_flight -= 1


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _checked(key: str) -> str:
    if len(key) < MIN_KEY_CHARACTERS or not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsInvalid(
            f"LONGTAIL_API_KEYS: expected keys of at least {MIN_KEY_CHARACTERS} printable ASCII characters without "
            f"spaces, got one of {len(key)} characters that is not; `openssl rand -hex 24` makes one"
        )
    return key


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogatepass")).digest()
