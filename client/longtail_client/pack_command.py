"""`longtail release pack` and `unpack`: a release into one file, and out of it on another machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from longtail_client.cli import Json, ReleaseName, Repository, Var, emit, group

_console = Console(highlight=False, markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the commands to `longtail release`."""
    release = group(app, "release")
    release.command("pack")(pack)
    release.command("unpack")(unpack)


def pack(
    name: ReleaseName,
    *,
    output: Annotated[Path | None, typer.Option(help="File to write; the default is <name>.tar here.")] = None,
    model_repository: Repository = Path("model_repository"),
    var: Var = Path("var"),
    as_json: Json = False,
) -> None:
    """Write a release, its models and its catalogue to one file, to deploy it on another machine.

    Example: longtail release pack demo-2 --output demo-2.tar
    """
    from longtail_client import release_pack

    target = output or Path(f"{name}.tar")
    with _bytes_bar(f"packing {name}", None) as advance:
        listed = release_pack.pack(name, target, var=var, model_repository=model_repository, advance=advance)
    n_bytes = sum(member.size for member in listed.members.values())
    if as_json:
        emit({"release": name, "path": str(target), "members": len(listed.members), "bytes": n_bytes})
    else:
        _console.print(f"packed {name} into {target}: {len(listed.members)} files, {n_bytes / 2**20:.1f} MiB")


def unpack(
    path: Annotated[Path, typer.Argument(help="File that `longtail release pack` wrote.", show_default=False)],
    *,
    model_repository: Repository = Path("model_repository"),
    var: Var = Path("var"),
    as_json: Json = False,
) -> None:
    """Check a packed release, publish its models and its catalogue here, and stage it.

    Example: longtail release unpack demo-2.tar
    """
    from longtail_client import release_unpack

    n_bytes = path.stat().st_size if path.is_file() else None
    with _bytes_bar(f"unpacking {path.name}", n_bytes) as advance:
        done = release_unpack.unpack(path, var=var, model_repository=model_repository, advance=advance)
    if as_json:
        emit(asdict(done))
        return
    for folder in done.published:
        _console.print(f"published {folder}")
    for folder in done.reused:
        _console.print(f"found the same at {folder}")
    _console.print(f"{done.release} is {done.place}; `longtail export config` makes Triton serve its versions")


@contextmanager
def _bytes_bar(what: str, n_bytes: int | None) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("  {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=n_bytes)
        yield lambda done: progress.advance(task, done)
