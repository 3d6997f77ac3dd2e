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

from longtail_client.errors import CallerError, LongtailError, OperatorError, Unavailable

_EXIT_CODES: tuple[tuple[type[LongtailError], int], ...] = (
    (CallerError, 2),
    (OperatorError, 3),
    (Unavailable, 4),
    (LongtailError, 5),
)

_console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else.")]
"""The option that every command has."""

Repository = Annotated[Path, typer.Option(help="Triton's model repository.", envvar="LONGTAIL_MODEL_REPOSITORY")]
Var = Annotated[Path, typer.Option(help="Folder of downloads, catalogues and releases.", envvar="LONGTAIL_VAR")]


def main() -> None:
    """Run the command line.

    Exit codes: 0 done, 2 the request is wrong, 3 what is deployed or given is wrong, 4 something does not answer,
    5 the time ran out.
    """
    app = typer.Typer(
        name="longtail",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        help="Recommendations from the long tail of a catalogue, found with a language model.\n\n"
        "A first run:  [bold]make demo[/bold].  Then:  [bold]longtail up[/bold]  and, in another shell,  "
        "[bold]longtail recommend --user-id 196[/bold].",
    )
    for entry in sorted(entry_points(group="longtail.commands"), key=lambda entry: entry.name):
        entry.load()(app)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what is half done is taken back
    try:
        app()
    except ModuleNotFoundError as error:
        _console.print(
            f"error: this command needs {error.name}, which is not installed; run "
            "`pip install 'longtail[export,serve,triton,cpu]'`, or leave out what you do not use"
        )
        sys.exit(3)
    except ValidationError as error:
        first = error.errors()[0]
        name = f"LONGTAIL_{'_'.join(str(part) for part in first['loc'])}".upper()
        _console.print(f"error: {name}: {first['msg']}, got {first['input']!r}")
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        _console.print(f"error: {error.filename}: {error.strerror}")
        sys.exit(3)
    except LongtailError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]error:[/red] {escape(str(error))}")
        sys.exit(next(code for kind, code in _EXIT_CODES if isinstance(error, kind)))


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
