"""Who comes in."""

from __future__ import annotations

from typing import Any

import pytest

from longtail_bento.gate import Gate, is_loopback
from longtail_bento.settings import ServiceSettings
from longtail_client.errors import Overloaded, SettingsInvalid, Unauthenticated

FIRST, SECOND = "first-key-of-the-shop", "second-key-of-the-shop"


def gate(**settings: Any) -> Gate:
    return Gate(ServiceSettings(**settings))


@pytest.mark.parametrize("shown", [FIRST, SECOND])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
def test_every_key_is_good(shown: str, scheme: str) -> None:
    gate(api_keys=f"{FIRST}, {SECOND},").require_key(f"{scheme} {shown}")


@pytest.mark.parametrize(
    ("authorization", "given"),
    [
        (None, False),
        ("", False),
        ("Bearer", False),
        ("Bearer ", False),
        (f"Basic {FIRST}", False),
        (FIRST, False),
        (f"Bearer {FIRST}x", True),
        (f"Bearer {FIRST[:-1]}", True),
        (f"Bearer {FIRST},{SECOND}", True),
        (f"Bearer {FIRST.upper()}", True),
        ("Bearer ключ", True),
        ("Bearer \udcff", True),
    ],
)
def test_anything_else_is_not(authorization: str | None, given: bool) -> None:
    with pytest.raises(Unauthenticated) as refused:
        gate(api_keys=f"{FIRST},{SECOND}").require_key(authorization)
    assert refused.value.given is given
    assert FIRST not in str(refused.value)


def test_every_key_is_compared_whichever_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []

    def counting(first: bytes, second: bytes) -> bool:
        compared.append(len(first) - len(second))
        return first == second

    monkeypatch.setattr("longtail_bento.gate.hmac.compare_digest", counting)
    opened = gate(api_keys=f"{FIRST},{SECOND}")
    opened.require_key(f"Bearer {FIRST}")
    with pytest.raises(Unauthenticated):
        opened.require_key("Bearer x")
    assert compared == [0, 0, 0, 0]


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.7", "::", "shop.example", ""])
def test_to_be_open_to_others_takes_keys(host: str) -> None:
    with pytest.raises(SettingsInvalid, match="LONGTAIL_API_KEYS"):
        gate(host=host)
    with pytest.raises(SettingsInvalid, match="LONGTAIL_API_KEYS"):
        gate(host=host, api_keys=" , ")
    assert gate(host=host, api_keys=FIRST).asks_for_keys


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    assert is_loopback(host)
    opened = gate(host=host)
    assert not opened.asks_for_keys
    opened.require_key(None, reached_at=host)
    opened.require_key(None)
    with pytest.raises(Unauthenticated, match="LONGTAIL_API_KEYS"):
        opened.require_key(None, reached_at="192.168.1.5")


@pytest.mark.parametrize("key", ["short", "with spaces in it, too", "schlüssel-mit-umlaut", "tab\tin-a-long-key-xxx"])
def test_a_weak_key_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(SettingsInvalid, match="at least 16") as refused:
        gate(api_keys=key)
    assert key[:5] not in str(refused.value).partition("got")[2]


def test_keys_are_in_no_representation() -> None:
    assert FIRST not in repr(ServiceSettings(api_keys=FIRST))


def test_bodies_together_are_bounded_and_given_back() -> None:
    opened = gate(max_in_flight=2, max_body_bytes=1024, max_interactions_bytes=2048)
    for _ in range(2):
        with opened.holding() as first, opened.holding() as second:
            first(2048)
            second(2048)
            with pytest.raises(Overloaded):
                first(1)


def test_places_are_given_back_whatever_happens() -> None:
    opened = gate(max_in_flight=1)
    for _ in range(3):
        with pytest.raises(OSError, match="x"), opened.in_flight():
            raise OSError("x")
    with opened.in_flight(), pytest.raises(Overloaded) as full, opened.in_flight():
        pass
    assert full.value.retry_after_s >= 1
