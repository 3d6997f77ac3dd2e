"""The real service as a process, on a tiny release and without Triton: what survives its death, and what it logs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from tests.conftest import free_port

from longtail_bento.processes import ServiceDied, ServiceProcess
from longtail_bento.settings import ServiceSettings

KEY = "a-key-for-the-service-process"


@pytest.fixture
def make_settings(house: Path, database_url: str) -> Callable[..., ServiceSettings]:
    def make(**more: object) -> ServiceSettings:
        given = {
            "var": house / "var",
            "model_repository": house / "model_repository",
            "database_url": database_url,
            "port": free_port(),
            "grpc_port": free_port(),
            "triton_grpc": f"127.0.0.1:{free_port()}",
            "api_keys": KEY,
        }
        return ServiceSettings(**{**given, **more})  # type: ignore[arg-type]

    return make


@pytest.fixture
def service(make_settings: Callable[..., ServiceSettings]) -> Iterator[ServiceProcess]:
    process = ServiceProcess(make_settings())
    process.start()
    yield process
    process.stop()


def caller(process: ServiceProcess) -> httpx.Client:
    return httpx.Client(base_url=process.url, timeout=30.0, headers={"authorization": f"Bearer {KEY}"})


def test_what_was_acknowledged_survives_a_kill(service: ServiceProcess) -> None:
    acknowledged: list[list[str]] = [[], [], []]
    pid = service.pid
    assert pid is not None

    def record(writer: int) -> None:
        with caller(service) as client:
            for index in range(1000):
                events = [
                    {"user_id": f"user-{writer}", "item_id": f"{index}-{n}", "kind": "view", "timestamp": 1}
                    for n in range(7)
                ]
                try:
                    client.post("/interactions", json={"interactions": events}).raise_for_status()
                except httpx.TransportError:
                    return
                acknowledged[writer].extend(event["item_id"] for event in events)

    writers = [threading.Thread(target=record, args=(writer,)) for writer in range(3)]
    for thread in writers:
        thread.start()
    while min(len(each) for each in acknowledged) < 70:
        threading.Event().wait(0.01)
    for each in (*psutil.Process(pid).children(recursive=True), psutil.Process(pid)):  # workers lead their own sessions
        each.kill()
    for thread in writers:
        thread.join()
    service.stop()
    service.start()
    with caller(service) as client:
        for writer, expected in enumerate(acknowledged):
            page = client.get(f"/users/user-{writer}/interactions", params={"limit": 10_000}).json()
            found = [each["item_id"] for each in page["interactions"]]
            assert found[: len(expected)] == expected
            assert len(found) - len(expected) in (0, 7)  # stored, and killed before it could say so


def test_logs_and_metrics_name_paths_and_nobody(service: ServiceProcess) -> None:
    with caller(service) as client:
        events = [{"user_id": "eve-the-user", "item_id": "1", "kind": "like"}]
        client.post("/interactions", json={"interactions": events}, headers={"x-request-id": "mine"})
        client.get("/users/eve-the-user/interactions")
        client.get("/nowhere/eve-the-user")
        metrics = client.get("/metrics").text
    httpx.get(f"{service.url}/users/eve-the-user/interactions")
    assert httpx.get(f"{service.url}/livez").status_code == 200
    away = httpx.get(f"{service.url}/readyz", timeout=30.0)
    assert (away.status_code, away.headers["content-type"]) == (503, "application/problem+json")
    assert away.headers["retry-after"]
    assert away.json()["request_id"] == away.headers["x-request-id"]
    for path in ("healthz", "schema.json", "static_content/"):
        assert httpx.get(f"{service.url}/{path}").status_code == 401
    text = service.log_path.read_text()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert [(line["method"], line["path"], line["status"]) for line in lines] == [
        ("POST", "/interactions", 200),
        ("GET", "/users/{user_id}/interactions", 200),
        ("GET", "other", 404),
        ("GET", "other", 200),
        ("GET", "/users/{user_id}/interactions", 401),
        *[("GET", "other", 401)] * 3,
    ]
    assert lines[0]["request_id"] == "mine"
    for said in (text, metrics):
        assert "eve-the-user" not in said
        assert KEY not in said
    assert 'longtail_requests_total{endpoint="/users/{user_id}/interactions",status="200"}' in metrics


def test_a_service_that_others_could_reach_does_not_start_without_keys(
    make_settings: Callable[..., ServiceSettings],
) -> None:
    with pytest.raises(ServiceDied, match="LONGTAIL_API_KEYS"):
        ServiceProcess(make_settings(host="0.0.0.0", api_keys=None)).start()


def test_a_release_that_cannot_be_loaded_is_said_at_once_and_not_waited_for(
    house: Path, make_settings: Callable[..., ServiceSettings]
) -> None:
    path = house / "var" / "releases" / "first" / "release.json"
    path.write_text(path.read_text().replace("first", "other"))
    with pytest.raises(ServiceDied, match=r"(?s)the service could not start.*release\.json"):
        ServiceProcess(make_settings()).start()


def test_workers_do_not_outlive_a_parent_that_was_killed(service: ServiceProcess) -> None:
    assert service.pid is not None
    parent = psutil.Process(service.pid)
    workers = [each for each in parent.children(recursive=True) if "_bentoml_impl" in " ".join(each.cmdline())]
    assert workers
    parent.kill()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []
