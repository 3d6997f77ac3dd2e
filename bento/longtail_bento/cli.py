"""The online commands: `longtail up`, `down`, `probe`, `interactions load`, `interactions migrate`, `release diff`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console

from longtail_client.calls import Kind
from longtail_client.cli import Json, ReleaseName, Repository, Url, Var, emit, group
from longtail_client.errors import DeadlineExceeded, OperatorError, Unavailable
from longtail_client.room import room_for

_console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the online commands to `longtail`."""
    app.command(context_settings={"allow_interspersed_args": False})(up)
    app.command()(down)
    app.command()(probe)
    interactions = group(app, "interactions")
    interactions.command("load")(load_interactions)
    interactions.command("migrate")(migrate_interactions)
    group(app, "release").command("diff")(diff)


def up(
    command: Annotated[
        list[str] | None, typer.Argument(help="Run this, then end everything, with its exit code.")
    ] = None,
    *,
    triton_only: Annotated[
        bool, typer.Option("--triton-only", help="Only Triton with the encoder: enough for `export catalogue`.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output when everything is ready.")
    ] = False,
) -> None:
    """Start Triton and the service, watch both, and end both on Ctrl-C.

    Example: longtail up

    With a command, everything lives as long as it runs:  longtail up -- longtail recommend --user-id 196
    """
    from longtail_bento.processes import require_command, run_command, stack
    from longtail_bento.settings import ServiceSettings

    settings = ServiceSettings()
    if command:
        require_command(command[0])
    began_s = time.monotonic()
    with (
        _ended_by_signals(),
        _pid_file(settings.var / "run" / "longtail.pid"),
        stack(settings, triton_only=triton_only, say=_say) as look_after,
    ):
        ready_s = time.monotonic() - began_s
        _say(f"ready after {ready_s:.1f} s")
        http, grpc = settings.url, f"grpc://{settings.host}:{settings.grpc_port}"
        triton = f"127.0.0.1:{settings.triton_grpc_port}"
        if as_json:
            doors = {} if triton_only else {"http": http, "grpc": grpc}
            emit({"pid": os.getpid(), "ready_s": ready_s, **doors, "triton_grpc": triton})
        if command:
            code = run_command(command, settings)
        else:
            code = _watch(look_after, f"Triton on {triton} (gRPC)" if triton_only else f"{http} and {grpc}")
    raise typer.Exit(code)


def down(*, as_json: Json = False) -> None:
    """End a running `longtail up` of this folder.

    Example: longtail down
    """
    from longtail_bento.settings import ServiceSettings

    path = ServiceSettings().var / "run" / "longtail.pid"
    pid = _running_pid(path)
    if pid is None:
        path.unlink(missing_ok=True)
    else:
        os.kill(pid, signal.SIGTERM)
        while _running_pid(path) == pid:
            time.sleep(0.1)
    if as_json:
        emit({"ended": pid})
    else:
        _console.print("nothing was running" if pid is None else f"ended process {pid}")


def probe(
    *,
    url: Url = "http://127.0.0.1:3000",
    as_json: Json = False,
) -> None:
    """Exit with 0 only if an inference works: the health check for containers.

    Example: longtail probe --url http://127.0.0.1:3000
    """
    from longtail_client.recommender import Recommender

    try:
        with Recommender(url, timeout_s=15.0) as longtail:
            ready = longtail.ready()
    except (Unavailable, DeadlineExceeded):
        ready = False
    if as_json:
        emit({"ready": ready})
    else:
        _console.print("ready" if ready else f"{url} is not ready")
    raise typer.Exit(0 if ready else 4)


def load_interactions(
    path: Annotated[Path, typer.Argument(help="Parquet: user_id, item_id, weight, timestamp, as a catalogue has it.")],
    *,
    kind: Annotated[Kind, typer.Option(help="What they are.")] = "rating",
    as_json: Json = False,
) -> None:
    """Store interactions; those that are stored already are left as they are.

    Example: longtail interactions load var/catalogues/demo/interactions.parquet
    """
    from longtail_bento.domain import Interaction
    from longtail_bento.interaction_table import read_interactions
    from longtail_bento.interactions import Interactions
    from longtail_bento.settings import ServiceSettings

    table = read_interactions(path)
    url = ServiceSettings().interactions_url

    async def load() -> int:
        store = Interactions(url)
        try:
            await store.prepare()
            columns = (table[name].to_pylist() for name in ("user_id", "item_id", "weight", "timestamp"))
            return await store.record(
                (user_id, Interaction(item_id, weight, timestamp, kind))
                for user_id, item_id, weight, timestamp in zip(*columns, strict=True)
            )
        finally:
            await store.close()

    with _room_in(url):
        n_new = asyncio.run(load())
    if as_json:
        emit({"interactions": table.num_rows, "new": n_new})
    else:
        _console.print(f"stored {table.num_rows} interactions, {n_new} of them new")


def migrate_interactions(*, as_json: Json = False) -> None:
    """Bring the database of interactions to the shape that this version needs; the service does it too when it starts.

    Example: longtail interactions migrate
    """
    from longtail_bento.database import migrate, url_of
    from longtail_bento.settings import ServiceSettings

    before, after = migrate(url_of(ServiceSettings().interactions_url))
    if as_json:
        emit({"from": before, "to": after})
    else:
        _console.print(f"the database is at migration {after}" + (f", it was at {before}" if before != after else ""))


def _room_in(url: str) -> AbstractContextManager[None]:
    """Say so, in a block that writes to a database, if the disk under it is full."""
    if not url.startswith("sqlite"):
        return nullcontext()
    path = Path(url.partition(":///")[2])
    return room_for(path, path.with_name(f"{path.name}-wal"))


def diff(
    first: ReleaseName,
    second: ReleaseName,
    *,
    model_repository: Repository = Path("model_repository"),
    var: Var = Path("var"),
    as_json: Json = False,
) -> None:
    """Say which parts of two releases differ, and how.

    Example: longtail release diff demo-1 demo-2
    """
    from rich.table import Table

    from longtail_bento.release_diff import differences
    from longtail_client.release import read_release

    found = differences(read_release(var, first), read_release(var, second), var=var, model_repository=model_repository)
    if as_json:
        emit({"first": first, "second": second, "differences": [asdict(each) for each in found]})
    elif not found:
        typer.echo(f"{first} and {second} pin the same")
    else:
        table = Table("part", "what", first, second)
        for each in found:
            table.add_row(each.part, each.what, _short(each.first), _short(each.second))
        Console(highlight=False, markup=False).print(table)


def _short(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict) and "item_ids" in value:
        return f"{value['count']}: {', '.join(value['item_ids'])}" + (
            " …" if value["count"] > len(value["item_ids"]) else ""
        )
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _say(text: str) -> None:
    _console.print(f"  {text} …", style="dim")


def _watch(look_after: Callable[[], None], what: str) -> int:
    _console.print(f"serving {what}; Ctrl-C ends it")
    try:
        while True:
            look_after()
            time.sleep(1.0)
    except KeyboardInterrupt:
        _console.print("ending")
    return 0


@contextmanager
def _pid_file(path: Path) -> Iterator[None]:
    """Say, for `longtail down`, which process to end; the file goes when everything that it started has ended.

    Raises:
        OperatorError: A process that wrote it before still runs.
    """
    pid = _running_pid(path)
    if pid is not None:
        raise OperatorError(f"longtail runs here already, as process {pid}; end it with `longtail down`")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{os.getpid()}\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _running_pid(path: Path) -> int | None:
    """Read which `longtail up` wrote a pid file; None when that process is gone, or is somebody else by now."""
    try:
        pid = int(path.read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if b"up" in words and any(b"longtail" in word for word in words) else None


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Turn SIGTERM and a closed terminal into what Ctrl-C is, so that each ends the processes that were started."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
