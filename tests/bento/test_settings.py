"""Settings travel to other processes through the environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from longtail_bento.processes import run_command
from longtail_bento.settings import ServiceSettings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("LONGTAIL_"):
            monkeypatch.delenv(name)


def through_environment(settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch) -> ServiceSettings:
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    return ServiceSettings()


def test_settings_come_out_of_the_environment_as_they_went_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ServiceSettings(
        var=tmp_path / "var with space",
        model_repository=tmp_path / "models",
        database_url="postgresql://longtail@db/longtail?x=1",
        release="shop-2",
        host="0.0.0.0",
        port=3100,
        grpc_port=3101,
        workers=3,
        triton_http_port=8100,
        triton_grpc_port=8101,
        triton_grpc="127.0.0.1:8101",
        triton_metrics_port=8102,
        profile="gpu",
        start_timeout_s=12.5,
        max_body_bytes=2048,
        body_timeout_s=3.5,
        max_in_flight=7,
        access_log=False,
        api_keys=SecretStr("a-key-of-25-characters-xx,another-one-of-length"),
        cors_origins="https://shop.example",
        max_interactions_bytes=4096,
        default_deadline_ms=777,
        encode_timeout_s=1.25,
        generate_timeout_s=2.5,
        fingerprint_every_s=7.5,
        shadow_share=0.5,
        description_cache_size=7,
        description_cache_age_s=8.5,
        bulk_generations=3,
        triton_admin_key=SecretStr("k3y"),
    )
    defaults = ServiceSettings()
    unchanged = [name for name in type(settings).model_fields if getattr(settings, name) == getattr(defaults, name)]
    assert unchanged == []
    assert through_environment(settings, monkeypatch) == settings


def test_relative_folders_become_absolute_for_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ServiceSettings(var=Path("somewhere"), model_repository=Path("models"))
    read = through_environment(settings, monkeypatch)
    assert read.var == Path.cwd() / "somewhere"
    assert read.model_repository == Path.cwd() / "models"


def test_another_process_finds_triton_on_its_grpc_port() -> None:
    environment = ServiceSettings(triton_grpc_port=8555).as_environment()
    assert environment["LONGTAIL_TRITON_GRPC"] == "127.0.0.1:8555"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:3555"),
        ("0.0.0.0", "http://127.0.0.1:3555"),
        ("::", "http://[::1]:3555"),
        ("::1", "http://[::1]:3555"),
        ("longtail.example", "http://longtail.example:3555"),
    ],
)
def test_another_process_finds_the_service_on_its_port(host: str, url: str) -> None:
    assert ServiceSettings(host=host, port=3555).as_environment()["LONGTAIL_URL"] == url


def test_a_command_beside_the_service_recommends_through_it(unused_tcp_port: int, tmp_path: Path) -> None:
    """`longtail up -- longtail recommend` on a port of its own; here nothing answers there, which it says."""
    script = "from longtail_client.cli import main; main()"
    told = tmp_path / "told.txt"
    command = f'"{sys.executable}" -c "{script}" recommend --user-id 1 2> "{told}"'
    assert run_command(["sh", "-c", command], ServiceSettings(port=unused_tcp_port)) == 4
    assert f"http://127.0.0.1:{unused_tcp_port}" in told.read_text()


def test_an_argument_outweighs_the_environment_and_that_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ServiceSettings().port == 3000
    monkeypatch.setenv("LONGTAIL_PORT", "3001")
    assert ServiceSettings().port == 3001
    assert ServiceSettings(port=3002).port == 3002


def test_interactions_are_beside_the_rest_unless_a_database_is_named(tmp_path: Path) -> None:
    assert ServiceSettings(var=tmp_path).interactions_url == f"sqlite:///{tmp_path}/longtail.db"
    assert ServiceSettings(database_url="postgresql://db/x").interactions_url == "postgresql://db/x"
    assert "LONGTAIL_DATABASE_URL" not in ServiceSettings().as_environment()


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "0"), ("PORT", "x"), ("WORKERS", "0"), ("PROFILE", "tpu"), ("DEFAULT_DEADLINE_MS", "60001")],
)
def test_a_value_out_of_range_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"LONGTAIL_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        ServiceSettings()


def test_every_field_says_what_it_trades() -> None:
    assert [name for name, field in ServiceSettings.model_fields.items() if not field.description] == []


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        ServiceSettings().port = 1  # type: ignore[misc]


def test_the_admin_key_is_handed_on_and_never_shown() -> None:
    settings = ServiceSettings(triton_admin_key=SecretStr("k3y"))
    assert "k3y" not in repr(settings)
    assert settings.as_environment()["LONGTAIL_TRITON_ADMIN_KEY"] == "k3y"
    assert "LONGTAIL_TRITON_ADMIN_KEY" not in ServiceSettings().as_environment()


def test_a_command_beside_the_service_gets_a_key_to_show() -> None:
    keys = SecretStr("first-key-of-the-shop, second-key-of-the-shop")
    assert ServiceSettings(api_keys=keys).as_environment()["LONGTAIL_API_KEY"] == "first-key-of-the-shop"
    assert "LONGTAIL_API_KEY" not in ServiceSettings().as_environment()
