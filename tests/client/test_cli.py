"""The command line: what a wrong command and a longtail error look like from a shell, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from pydantic import ValidationError

from longtail_client import cli
from longtail_client.errors import (
    ContractMismatch,
    DeadlineExceeded,
    InvalidRequest,
    LongtailError,
    ModelUnavailable,
    OperatorError,
)
from longtail_client.settings import ClientSettings

BIN = Path(sys.executable).parent
HEAVY = ("torch", "transformers", "onnx", "onnxruntime", "bentoml", "openvino_genai", "pyarrow", "scipy")


class FakeEntryPoint:
    """One package's commands: one command, which raises an error."""

    def __init__(self, name: str, error: Exception) -> None:
        self.name = name
        self._error = error

    def load(self) -> Callable[[typer.Typer], None]:
        def fail() -> None:
            raise self._error

        return lambda app: app.command(self.name)(fail)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `main` with commands ``done`` and one that fails with a given error; return the exit code."""

    def run_main(*arguments: str, error: Exception) -> int:
        entries = [FakeEntryPoint("export", error), FakeEntryPoint("other", OperatorError("other"))]
        monkeypatch.setattr(cli, "entry_points", lambda group: entries)
        monkeypatch.setattr(sys, "argv", ["longtail", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    return run_main


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidRequest("k must be at most 100", field="k"), 2),
        (ContractMismatch("expected FP32, got INT64"), 3),
        (ModelUnavailable("nothing answers"), 4),
        (DeadlineExceeded("too late"), 5),
        (LongtailError("something else"), 5),
    ],
)
def test_an_error_becomes_one_line_and_its_exit_code(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], error: LongtailError, code: int
) -> None:
    assert run("export", error=error) == code
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err == f"error: {error}\n"


@pytest.mark.parametrize(
    "message", ["expected [a], got [/b]", "run `pip install longtail[export]`", "/some/where " * 30, "C:\\[x]"]
)
def test_a_message_is_printed_as_it_is(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], message: str
) -> None:
    assert run("export", error=OperatorError(message)) == 3
    assert capsys.readouterr().err == f"error: {message}\n"


def test_a_file_that_may_not_be_touched_is_one_line(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("export", error=PermissionError(13, "Permission denied", "var/releases/.lock")) == 3
    assert capsys.readouterr().err == "error: var/releases/.lock: Permission denied\n"
    with pytest.raises(OSError, match="of no file"):
        run("export", error=OSError("of no file"))


def test_what_is_no_longtail_error_is_not_hidden(run: Callable[..., int]) -> None:
    with pytest.raises(ZeroDivisionError):
        run("export", error=ZeroDivisionError("a bug"))


def test_an_unknown_command_is_a_wrong_request(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("recomend", error=OperatorError("not reached")) == 2
    assert "No such command 'recomend'" in capsys.readouterr().err


def test_a_command_whose_package_is_not_installed_says_how_to_get_it(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("export", error=ModuleNotFoundError("No module named 'torch'", name="torch")) == 3
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("error: this command needs torch, which is not installed; run `pip install ")
    assert "longtail[export," in written.err
    assert written.err.count("\n") == 1


def test_the_installed_command_has_every_packages_commands() -> None:
    done = subprocess.run([BIN / "longtail", "--help"], capture_output=True, text=True, check=True)
    for command in ("recommend", "export", "release"):
        assert f" {command} " in done.stdout
    assert "Not installed" not in done.stdout


def test_the_installed_command_refuses_a_wrong_option_with_code_2() -> None:
    done = subprocess.run([BIN / "longtail", "recommend", "--no-such"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--no-such" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_client_imports_nothing_heavy() -> None:
    program = (
        "import importlib, pkgutil, sys, longtail_client\n"
        "for module in pkgutil.iter_modules(longtail_client.__path__):\n"
        "    if module.name != 'testing':\n"
        "        importlib.import_module(f'longtail_client.{module.name}')\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), 'longtail_client.encoder' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[] True\n"


def test_the_installed_command_starts_without_anything_heavy() -> None:
    program = (
        "import sys\nfrom longtail_client.cli import main\nsys.argv = ['longtail', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_a_setting_that_cannot_be_read_is_one_line(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONGTAIL_ENCODE_TIMEOUT_S", "soon")
    with pytest.raises(ValidationError) as invalid:
        ClientSettings()
    assert run("export", error=invalid.value) == 2
    written = capsys.readouterr().err
    assert written.startswith("error: LONGTAIL_ENCODE_TIMEOUT_S: ")
    assert written.endswith("got 'soon'\n")
    assert written.count("\n") == 1


def test_packages_add_to_one_group() -> None:
    app = typer.Typer()
    made = cli.group(app, "release", purpose="First.")
    assert cli.group(app, "release") is made
    assert cli.group(app, "export", purpose="Other.") is not made
    done = subprocess.run([BIN / "longtail", "release", "--help"], capture_output=True, text=True, check=True)
    assert " create " in done.stdout
    assert " rollback " in done.stdout
