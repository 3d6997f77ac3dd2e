"""Every command of the installed `longtail`: what each has, what its help teaches, how it ends when it cannot go on."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from longtail_client.cli import command_line

LONGTAIL = [sys.executable, "-c", "from longtail_client.cli import main; main()"]
ROOT: Any = typer.main.get_command(command_line())


def leaves(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if hasattr(command, "commands"):
        for name, each in command.commands.items():
            yield from leaves(each, (*path, name))
    else:
        yield path, command


COMMANDS = [pytest.param(path, command, id=" ".join(path)) for path, command in leaves(ROOT, ())]
OF_THE_DESIGN = {
    *(f"export {name}" for name in ("encoder", "generator", "catalogue", "config")),
    *(f"release {name}" for name in ("create", "list", "show", "verify", "stage", "shadow", "canary", "promote")),
    *(f"release {name}" for name in ("rollback", "retire", "diff", "pack", "unpack", "report")),
    *(f"interactions {name}" for name in ("load", "migrate", "record", "list", "delete")),
    *("up", "down", "recommend", "replay", "probe", "doctor"),
}


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LONGTAIL, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, "COLUMNS": "200", **environment},
    )


def test_every_command_of_the_design_is_there() -> None:
    assert {str(each.id) for each in COMMANDS} >= OF_THE_DESIGN


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_a_command_prints_json_for_programs(path: tuple[str, ...], command: Any) -> None:
    assert "--json" in {name for parameter in command.params for name in parameter.opts}, path


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_a_commands_help_teaches_by_an_example_that_parses(path: tuple[str, ...], command: Any) -> None:
    examples = re.findall(rf"\blongtail {' '.join(path)}\b([^\n]*?)(?=$|\n|, then )", command.help)
    assert "Example: " in command.help
    assert examples, f"no example in {command.help!r}"
    for example in examples:
        command.make_context(path[-1], shlex.split(example), resilient_parsing=False)


@pytest.mark.parametrize(("path", "command"), COMMANDS)
def test_every_option_says_what_it_is(path: tuple[str, ...], command: Any) -> None:
    assert [parameter.name for parameter in command.params if not (parameter.help or "").endswith((".", "…"))] == []


def test_every_group_says_what_it_is_for() -> None:
    assert [name for name, each in ROOT.commands.items() if hasattr(each, "commands") and not each.help] == []


def test_the_help_lists_the_exit_codes() -> None:
    shown = run("--help").stdout
    for code, meaning in ((0, "done"), (2, "the request"), (3, "what is"), (4, "something"), (5, "the time"), (6, "a")):
        assert f"{code} {meaning}" in shown
    assert "130 interrupted" in shown


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("recomend", 2),
        ("recommend --no-such", 2),
        ("recommend --k many", 2),
        ("recommend --user-id 1 --filter {", 2),
        ("recommend --user-id 1 --filter []", 2),
        ("recommend --history @{0}/none.json", 2),
        ("recommend --item 1 --history []", 2),
        ("recommend --user-id 1 --url ftp://x", 2),
        ("interactions delete ada --json", 2),
        ("export catalogue --dataset ml-100k --items x.csv", 2),
        ("replay {0}/none.json", 3),
        ("replay {0}", 3),
        ("interactions load {0}/none.parquet", 3),
        ("doctor --model-repository {0}/none", 3),
        ("release show", 3),
        ("release rollback", 3),
        ("release diff one two", 3),
        ("release create", 3),
        ("release unpack {0}/none.tar", 3),
        ("release unpack {0}", 3),
        ("release list --var {0}/a-file", 3),
        ("release promote none --var {0}/a-file", 3),
        ("interactions migrate", 3),
    ],
)
def test_a_mistake_is_one_line_and_its_exit_code(tmp_path: Path, arguments: str, code: int) -> None:
    (tmp_path / "a-file").write_text("no folder")
    done = run(*shlex.split(arguments.replace("{0}", str(tmp_path))), LONGTAIL_VAR=str(tmp_path / "a-file" / "var"))
    errors = [line for line in done.stderr.splitlines() if not line.startswith("  ")]  # steps and bars are indented
    assert (done.returncode, done.stdout) == (code, "")
    assert len(errors) == 1, done.stderr
    assert errors[0].startswith("error: ")
    assert len(errors[0]) > 30


def test_an_interrupted_command_says_so_and_ends_with_130(free_port_listener: socket.socket) -> None:
    port = free_port_listener.getsockname()[1]
    program = subprocess.Popen(
        [*LONGTAIL, "probe", "--url", f"http://127.0.0.1:{port}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
    )
    connection, _ = free_port_listener.accept()  # it waits for an answer now
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=300)
    connection.close()
    assert (program.returncode, out, err) == (130, "", "interrupted\n")


@pytest.fixture
def free_port_listener() -> Iterator[socket.socket]:
    """Something that listens, takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        yield listener


@pytest.mark.parametrize("arguments", ["doctor --explain", "doctor --explain --json", "recommend --help"])
def test_a_reader_who_leaves_is_no_error(arguments: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*LONGTAIL, *arguments.split()], stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=300
    )
    os.close(writing)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("longtail release show ", ["one", "two"]),
        ("longtail release diff o", ["one"]),
        ("longtail replay answer.json --release t", ["two"]),
        ("longtail recommend --release ", ["one", "two"]),
        ("longtail release create --encoder-version ", ["1", "12"]),
        ("longtail release create --catalogue f", ["films"]),
        ("longtail rep", ["replay"]),
    ],
)
def test_a_shell_completes_names(tmp_path: Path, words: str, expected: list[str]) -> None:
    for folder in ("var/releases/one", "var/releases/two", "var/releases/.half", "var/catalogues/films"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("1", "12", "configs"):
        (tmp_path / "models" / "text_encoder" / folder).mkdir(parents=True)
    done = subprocess.run(
        [Path(sys.executable).parent / "longtail"],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "_LONGTAIL_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
            "LONGTAIL_VAR": str(tmp_path / "var"),
            "LONGTAIL_MODEL_REPOSITORY": str(tmp_path / "models"),
        },
    )
    assert done.stdout.split() == expected, done.stderr
