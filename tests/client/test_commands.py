"""`longtail recommend` against a small real HTTP server: what it asks, prints, saves, and how it fails."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from longtail_client import cli, commands, recommend_command

ANSWER: dict[str, Any] = {
    "request_id": "r1",
    "release": "demo-1",
    "seed": 3,
    "degraded": [],
    "descriptions": [{"text": "Drama, 1990s", "source": "generator"}],
    "items": [
        {
            "rank": 1,
            "item_id": "7",
            "title": "Rififi [restored] (1955)",
            "score": 1.5,
            "similarity": 0.75949,
            "popularity_percentile": 12.6,
            "attributes": {},
            "explanation": {
                "sentence": "It is near a description.",
                "found_by": "description",
                "text": "Crime, 1950s",
                "cosine": 0.75949,
            },
        },
        {
            "rank": 2,
            "item_id": "9",
            "title": "Amélie [/b]",
            "score": 1.0,
            "similarity": 0.5,
            "popularity_percentile": 3.0,
            "attributes": {},
            "explanation": {
                "sentence": "It is near what you liked.",
                "found_by": "interest",
                "text": "what you liked",
                "cosine": 0.5,
            },
        },
    ],
    "timings_ms": {"generate": 120.4, "encode": 7.1, "retrieve": 2.0, "rerank": 1.1, "total": 130.6},
}


@dataclass
class Service:
    """What the server answers, and what it was asked."""

    url: str
    status: int = 200
    media_type: str = "application/json"
    body: str = json.dumps(ANSWER)
    asked: list[tuple[str, Any]] = field(default_factory=list)


@pytest.fixture
def service() -> Iterator[Service]:
    """A server on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            state.asked.append((self.path, json.loads(body)))
            content = state.body.encode()
            self.send_response(state.status)
            self.send_header("content-type", state.media_type)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state = Service(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        server.shutdown()
        thread.join()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `longtail recommend` with arguments, on a wide console; return the exit code."""
    monkeypatch.setattr(recommend_command._console, "width", 160)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("LONGTAIL_URL", raising=False)

    class Commands:
        name = "client"

        def load(self) -> Callable[..., None]:
            def register(app: Any) -> None:
                commands.register(app)
                app.command("nothing")(lambda: None)

            return register

    monkeypatch.setattr(cli, "entry_points", lambda group: [Commands()])

    def run_main(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["longtail", "recommend", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    return run_main


def rows_of(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in table.splitlines() if "│" in line]


def test_the_answer_is_a_table(service: Service, run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--user-id", "196", "--url", service.url) == 0
    out = capsys.readouterr().out
    assert "For user 196, from release demo-1" in out
    assert rows_of(out) == [
        ["1", "Rififi [restored] (1955)", "0.759", "13", "description: Crime, 1950s"],
        ["2", "Amélie [/b]", "0.500", "3", "interest: what you liked"],
    ]
    assert "milliseconds: generate 120, encode 7, retrieve 2, rerank 1, total 131" in out
    assert "made without" not in out


def test_what_the_answer_was_made_without_is_said(
    service: Service, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    service.body = json.dumps({**ANSWER, "degraded": ["generator", "encoder"]})
    assert run("--item", "1", "--url", service.url) == 0
    out = capsys.readouterr().out
    assert "For this history, from release demo-1" in out
    assert "made without: generator, encoder" in out


def test_the_smallest_request_holds_only_the_defaults(service: Service, run: Callable[..., int]) -> None:
    run("--user-id", "196", "--url", service.url)
    assert service.asked == [("/recommend", {"k": 10, "explain": True, "user_id": "196"})]


def test_every_option_reaches_the_service(service: Service, run: Callable[..., int]) -> None:
    options = ("--item", "5", "--item", "3", "--steer", "gentle", "--steer", "old", "--k", "2", "--seed", "0")
    assert run(*options, "--url", service.url) == 0
    assert service.asked == [
        (
            "/recommend",
            {
                "k": 2,
                "steer": ["gentle", "old"],
                "explain": True,
                "history": [{"item_id": "5"}, {"item_id": "3"}],
                "seed": 0,
            },
        )
    ]


def test_the_service_can_be_named_in_the_environment(
    service: Service, run: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGTAIL_URL", service.url)
    assert run("--user-id", "196") == 0
    assert len(service.asked) == 1


def test_json_prints_the_answer_and_nothing_else(
    service: Service, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--user-id", "196", "--json", "--url", service.url) == 0
    written = capsys.readouterr()
    assert json.loads(written.out) == ANSWER
    assert written.out.count("\n") == 1
    assert written.err == ""


def test_save_writes_the_whole_answer_into_a_new_folder(
    service: Service, run: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    target = tmp_path / "new" / "demo.json"
    assert run("--user-id", "196", "--save", str(target), "--url", service.url) == 0
    assert json.loads(target.read_text()) == ANSWER
    assert "Amélie" in target.read_text()
    assert len(rows_of(capsys.readouterr().out)) == 2


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, 2), (404, 2), (413, 2), (415, 2), (422, 2), (429, 4), (503, 4), (500, 5), (504, 5)],
)
def test_a_problem_becomes_one_line_and_an_exit_code(
    service: Service,
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    status: int,
    code: int,
) -> None:
    service.status = status
    service.media_type = "application/problem+json"
    service.body = json.dumps({"title": "no", "status": status, "detail": "user 'x' has no interactions [yet]"})
    assert run("--user-id", "x", "--save", str(tmp_path / "demo.json"), "--url", service.url) == code
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("error: ")
    assert written.err.endswith("user 'x' has no interactions [yet]\n")
    assert written.err.count("\n") == 1
    assert not (tmp_path / "demo.json").exists()


def test_an_error_that_is_no_json_is_shown_as_it_came(
    service: Service, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    service.status, service.media_type, service.body = 502, "text/html", "<h1>Bad gateway</h1>"
    assert run("--user-id", "196", "--url", service.url) == 5
    assert capsys.readouterr().err == f"error: {service.url} answered 502: <h1>Bad gateway</h1>\n"


def test_nothing_listening_is_exit_code_4_with_what_to_do(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], free_port: int
) -> None:
    assert run("--user-id", "196", "--url", f"http://127.0.0.1:{free_port}") == 4
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.count("\n") == 1
    assert f"nothing answers at http://127.0.0.1:{free_port}" in written.err
    assert "start it with `longtail up`" in written.err
