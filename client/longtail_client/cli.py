"""The `longtail` command: gathers the commands of every longtail package that is installed."""

from __future__ import annotations

import json
import signal
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from longtail_client.completion import release_names
from longtail_client.errors import CallerError, LongtailError, OperatorError, Unavailable

_EXIT_CODES: tuple[tuple[type[LongtailError], int], ...] = (
    (CallerError, 2),
    (OperatorError, 3),
    (Unavailable, 4),
    (LongtailError, 5),
)

MOVED = 6
"""Exit code of a replay whose items or scores are other ones."""

_INTERRUPTED = 130
_ENDED = 143

_EXIT_CODES_SAID = (
    "Exit codes: 0 done; 2 the request is wrong; 3 what is deployed or given is wrong; 4 something does not answer; "
    f"5 the time ran out, or something else failed; {MOVED} a replay moved; {_INTERRUPTED} interrupted."
)

_UsageError: Any = typer.BadParameter.__base__
"""What typer raises when a command line is not one; it exports only what is made from it."""

_console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else.")]
"""The option that every command has."""

Url = Annotated[str, typer.Option(help="The service, as http://… or grpc://….", envvar="LONGTAIL_URL")]
ApiKey = Annotated[
    str | None, typer.Option(help="The service's key, where it asks for one.", envvar="LONGTAIL_API_KEY")
]
ReleaseName = Annotated[
    str, typer.Argument(help="Name of the release.", show_default=False, autocompletion=release_names)
]
ReleaseOrLive = Annotated[
    str | None,
    typer.Argument(help="Name of the release; the live one where none is given.", autocompletion=release_names),
]
Repository = Annotated[Path, typer.Option(help="Triton's model repository.", envvar="LONGTAIL_MODEL_REPOSITORY")]
Var = Annotated[Path, typer.Option(help="Folder of downloads, catalogues and releases.", envvar="LONGTAIL_VAR")]


def main() -> None:
    """Run the command line; the exit codes are those that `longtail --help` lists."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_ENDED))  # so that what is half done is taken back
    try:
        code = command_line()(standalone_mode=False)
    except _UsageError as error:
        code = _refuse(error)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except ModuleNotFoundError as error:
        code = _fail(
            3,
            f"this command needs {error.name}, which is not installed; run "
            "`pip install 'longtail[export,serve,triton,cpu]'`, or leave out what you do not use",
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = f"LONGTAIL_{'_'.join(str(part) for part in first['loc'])}".upper()
        code = _fail(2, f"{name}: {first['msg']}, got {first['input']!r}")
    except LongtailError as error:
        code = _fail(next(code for kind, code in _EXIT_CODES if isinstance(error, kind)), str(error))
    except OSError as error:
        if error.filename is None:
            raise
        code = _fail(3, f"{error.filename}: {error.strerror}")
    if code == _INTERRUPTED:
        _console.print("interrupted")
    sys.exit(code or 0)


def command_line() -> typer.Typer:
    """Gather the commands of every package that is installed."""
    app = typer.Typer(
        name="longtail",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        help="Recommendations from the long tail of a catalogue, found with a language model.\n\n"
        "A first run:  [bold]make demo[/bold].  Then:  [bold]longtail up[/bold]  and, in another shell,  "
        "[bold]longtail recommend --user-id 196[/bold].",
        epilog=_EXIT_CODES_SAID,
    )
    for entry in sorted(entry_points(group="longtail.commands"), key=lambda entry: entry.name):
        entry.load()(app)
    return app


def _refuse(error: Any) -> int:
    """Say in one line what is wrong with a command; show the help of a group where no command was given."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        path = error.ctx.command_path if error.ctx else "longtail"
        _fail(2, f"{error.format_message().rstrip('.').replace(chr(10), ' ')}; see `{path} --help`")
    return 2


def _fail(code: int, message: str) -> int:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error:[/red] {escape(message)}")
    return code


def group(app: typer.Typer, name: str, *, purpose: str | None = None) -> typer.Typer:
    """Return a group of commands, such as `longtail release`, which more than one package may add to.

    Args:
        app: The whole command line.
        name: Name of the group.
        purpose: Its help, from the package that makes the group.
    """
    for known in app.registered_groups:
        if known.name == name and known.typer_instance is not None:
            return known.typer_instance
    made = typer.Typer(no_args_is_help=True, help=purpose)
    app.add_typer(made, name=name)
    return made


def emit(document: Any) -> None:
    """Print a command's result for programs."""
    typer.echo(json.dumps(document))
