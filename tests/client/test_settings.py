"""Settings: the explicit argument, then the environment, then the default."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from longtail_client.settings import ClientSettings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the settings' variables out of the environment."""
    for field in ClientSettings.model_fields:
        monkeypatch.delenv(f"LONGTAIL_{field.upper()}", raising=False)


def test_without_a_word_the_defaults_hold() -> None:
    settings = ClientSettings()
    assert (settings.triton_grpc, settings.encode_timeout_s, settings.generate_timeout_s) == (
        "127.0.0.1:8001",
        10.0,
        8.0,
    )


def test_the_environment_beats_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGTAIL_TRITON_GRPC", "triton:9001")
    monkeypatch.setenv("LONGTAIL_ENCODE_TIMEOUT_S", "2.5")
    settings = ClientSettings()
    assert (settings.triton_grpc, settings.encode_timeout_s) == ("triton:9001", 2.5)


def test_the_explicit_argument_beats_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGTAIL_TRITON_GRPC", "triton:9001")
    monkeypatch.setenv("LONGTAIL_ENCODE_TIMEOUT_S", "2.5")
    settings = ClientSettings(triton_grpc="127.0.0.1:9")
    assert (settings.triton_grpc, settings.encode_timeout_s) == ("127.0.0.1:9", 2.5)


@pytest.mark.parametrize("value", ["0", "-1", "soon"])
def test_a_timeout_that_is_none_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LONGTAIL_GENERATE_TIMEOUT_S", value)
    with pytest.raises(ValidationError, match="generate_timeout_s"):
        ClientSettings()


def test_settings_do_not_change_after_they_are_read() -> None:
    settings = ClientSettings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.triton_grpc = "other:1"  # type: ignore[misc]


def test_every_field_says_what_it_trades() -> None:
    for name, field in ClientSettings.model_fields.items():
        assert (field.description or "").count(".") >= 2, name
