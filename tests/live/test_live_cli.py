"""The command line against the running service, and `longtail up` holding a stack for one command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from longtail_bento.processes import ServiceProcess
from longtail_bento.settings import ServiceSettings

LONGTAIL = [sys.executable, "-c", "from longtail_client.cli import main; main()"]


def run(*arguments: str, settings: ServiceSettings, timeout_s: float = 600.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LONGTAIL, *arguments],
        env=dict(os.environ) | settings.as_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def test_recommend_prints_a_table_and_saves_the_answer(
    service: ServiceProcess, settings: ServiceSettings, tmp_path: Path
) -> None:
    saved = tmp_path / "answer.json"
    done = run("recommend", "--user-id", "196", "--url", service.url, "--save", str(saved), settings=settings)
    assert done.returncode == 0, done.stderr
    answer = json.loads(saved.read_text())
    assert len(answer["items"]) == 10
    for heading in ("title", "similarity", "popularity", "found by"):
        assert heading in done.stdout


def test_a_saved_answer_replays_through_either_door(
    service: ServiceProcess, settings: ServiceSettings, tmp_path: Path
) -> None:
    saved = tmp_path / "answer.json"
    asked = ("--user-id", "196", "--steer", "something French", "--filter", '{"year": {"gte": 1990}}', "--stream")
    made = run("recommend", *asked, "--url", service.url, "--save", str(saved), settings=settings)
    assert made.returncode == 0, made.stderr
    for url in (service.url, f"grpc://127.0.0.1:{settings.grpc_port}"):
        done = run("replay", str(saved), "--url", url, "--json", settings=settings)
        assert done.returncode == 0, done.stdout + done.stderr
        told = json.loads(done.stdout)
        assert (told["same"], len(told["moves"])) == (True, 10)
    answer = json.loads(saved.read_text())
    answer["items"] = answer["items"][1:]
    saved.write_text(json.dumps(answer))
    assert run("replay", str(saved), "--url", service.url, settings=settings).returncode == 6


def test_recommend_says_who_must_act(service: ServiceProcess, settings: ServiceSettings) -> None:
    done = run("recommend", "--user-id", "nobody", "--url", service.url, settings=settings)
    assert done.returncode == 2
    assert done.stderr.strip() == "error: no interaction of user 'nobody' is stored"


def test_probe_tells_by_its_exit_code(service: ServiceProcess, settings: ServiceSettings, free_port: int) -> None:
    assert run("probe", "--url", service.url, settings=settings).returncode == 0
    assert run("probe", "--url", f"http://127.0.0.1:{free_port}", settings=settings).returncode == 4


def test_up_holds_triton_for_a_command_and_ends_it(
    settings: ServiceSettings, fresh_ports: dict[str, int], tmp_path: Path
) -> None:
    apart = settings.model_copy(update={**fresh_ports, "var": tmp_path})
    report = tmp_path / "report"
    script = (
        "import json, os, urllib.request as u; port = os.environ['LONGTAIL_TRITON_HTTP_PORT'];"
        "status = u.urlopen(f'http://127.0.0.1:{port}/v2/health/ready').status;"
        f"open({str(report)!r}, 'w').write(str(status)); raise SystemExit(7)"
    )
    done = run("up", "--triton-only", "--", sys.executable, "-c", script, settings=apart)
    assert done.returncode == 7, done.stderr
    assert report.read_text() == "200"
    listening = subprocess.run(["pgrep", "-f", f"http-port={apart.triton_http_port}"], check=False, capture_output=True)
    assert listening.returncode == 1, "Triton still runs"
    assert not (tmp_path / "run" / "longtail.pid").exists()


def test_a_stranger_in_the_pid_file_is_left_alone(settings: ServiceSettings, tmp_path: Path) -> None:
    apart = settings.model_copy(update={"var": tmp_path})
    stranger = subprocess.Popen(["sleep", "60"])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "longtail.pid").write_text(f"{stranger.pid}\n")
    try:
        done = run("down", "--json", settings=apart)
        assert json.loads(done.stdout) == {"ended": None}
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_closed_terminal_ends_everything(
    settings: ServiceSettings, fresh_ports: dict[str, int], tmp_path: Path
) -> None:
    apart = settings.model_copy(update={**fresh_ports, "var": tmp_path})
    process = subprocess.Popen(
        [*LONGTAIL, "up", "--triton-only"],
        env=dict(os.environ) | apart.as_environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "serving" in line:
            break
    process.send_signal(signal.SIGHUP)
    process.wait(60)
    process.stderr.close()
    listening = subprocess.run(["pgrep", "-f", f"http-port={apart.triton_http_port}"], check=False, capture_output=True)
    assert listening.returncode == 1, "Triton still runs"
    assert not (tmp_path / "run" / "longtail.pid").exists()


def test_up_refuses_a_port_that_is_taken(service: ServiceProcess, settings: ServiceSettings, tmp_path: Path) -> None:
    apart = settings.model_copy(update={"var": tmp_path})
    done = run("up", "--", "true", settings=apart)
    assert done.returncode == 3
    assert f"port {settings.triton_http_port}" in done.stderr


def test_a_catalogue_is_embedded_through_the_live_triton(
    service: ServiceProcess, settings: ServiceSettings, tmp_path: Path
) -> None:
    items, interactions = tmp_path / "items.csv", tmp_path / "interactions.csv"
    items.write_text(
        "item_id,title,topic\n" + "".join(f"i{n},Book {n},{'sea|war' if n % 2 else 'love'}\n" for n in range(10))
    )
    interactions.write_text("user_id,item_id,rating\n" + "".join(f"u{n % 3},i{n % 4},{n % 5 + 1}\n" for n in range(12)))
    apart = settings.model_copy(update={"var": tmp_path / "var"})
    given = ("--items", str(items), "--interactions", str(interactions), "--name", "books", "--json")
    done = run("export", "catalogue", *given, settings=apart)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["n_items"], report["n_tail"], report["n_users"], report["dim"]) == (10, 8, 3, 384)
    again = run("export", "catalogue", *given, settings=apart)
    assert again.returncode == 3
    assert "never overwritten" in again.stderr
    created = run("release", "create", "--name", "books-1", "--catalogue", "books", "--json", settings=apart)
    assert created.returncode == 0, created.stderr
    assert json.loads(created.stdout)["place"] == "live"


def test_a_command_that_is_not_there_is_one_line(
    settings: ServiceSettings, fresh_ports: dict[str, int], tmp_path: Path
) -> None:
    apart = settings.model_copy(update={**fresh_ports, "var": tmp_path})
    done = run("up", "--triton-only", "--", "no-such-command", settings=apart)
    assert done.returncode == 3
    assert "expected a command to run, got 'no-such-command'" in done.stderr
    assert "starting" not in done.stderr
