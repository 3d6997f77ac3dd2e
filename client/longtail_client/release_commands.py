"""`longtail release`: where each release is, what it pins, and the moves from place to place.

`create` stands in the export package, `diff` in the service's: they read tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from longtail_client import release_pack, release_unpack
from longtail_client.cli import Json, Repository, Var, emit, group
from longtail_client.contract import GENERATOR, TEXT_ENCODER
from longtail_client.errors import ReleaseInvalid
from longtail_client.manifest import read_manifest, sha256_of
from longtail_client.release import RELEASE_FILE, read_release, releases_folder
from longtail_client.release_state import ReleaseState, changing_state, names_in_service, read_state, write_state

Name = Annotated[str, typer.Argument(help="Name of the release.", show_default=False)]

_console = Console(highlight=False, markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the commands to `longtail`."""
    release = group(app, "release", purpose="Pin models, catalogue and prompt together; decide which release serves.")
    for name, command in (
        ("list", list_releases),
        ("show", show),
        ("stage", stage),
        ("shadow", shadow),
        ("canary", canary),
        ("promote", promote),
        ("rollback", rollback),
        ("retire", retire),
        ("pack", pack),
        ("unpack", unpack),
    ):
        release.command(name)(command)


def list_releases(*, var: Var = Path("var"), as_json: Json = False) -> None:
    """List all releases, those that serve first.

    Example: longtail release list
    """
    state = read_state(var)
    rows = [_row(var, state, name) for name in _known_releases(var, state)]
    if as_json:
        emit({"revision": state.revision, "releases": rows})
        return
    table = Table("release", "place", "encoder", "generator", "catalogue", "created")
    for row in rows:
        place = f"canary {row['percent']:g} %" if row["place"] == "canary" else row["place"] or "none"
        pinned = ("encoder", "generator", "catalogue", "created_at")
        cells = ["?"] * len(pinned) if row["problem"] else [row[key] for key in pinned]
        table.add_row(row["release"], place, *cells)
    if rows:
        _console.print(table)
        for row in rows:
            if row["problem"]:
                _console.print(row["problem"], style="red")
    else:
        _console.print("no release yet; make one with `longtail release create`")


def show(
    name: Annotated[str | None, typer.Argument(help="Name of the release; the live one where none is given.")] = None,
    *,
    model_repository: Repository = Path("model_repository"),
    var: Var = Path("var"),
    as_json: Json = False,
) -> None:
    """Show where a release is and what it pins: versions, hashes, size of the catalogue, prompt, weights.

    Example: longtail release show demo-1
    """
    state = read_state(var)
    name = name or state.live_name()
    release = read_release(var, name)
    folders = {
        "encoder": model_repository / TEXT_ENCODER.name / release.encoder.version,
        "generator": model_repository / GENERATOR.name / release.generator.version,
        "catalogue": var / "catalogues" / release.catalogue.name,
    }
    facts = {part: _facts(folder) for part, folder in folders.items()}
    document = {
        "place": state.place_of(name),
        "percent": state.canary.percent if state.canary and state.canary.name == name else None,
        "sha256": sha256_of(releases_folder(var) / name / RELEASE_FILE),
        **release.model_dump(mode="json"),
        "facts": facts,
    }
    if as_json:
        emit(document)
        return
    _console.print(f"{name}: {document['place'] or 'in no place'}, created {release.created_at}")
    _console.print(f"  sha256     {document['sha256']}")
    for part, pinned in (("encoder", release.encoder), ("generator", release.generator)):
        known = ", ".join(str(facts[part][key]) for key in ("source", "precision") if key in facts[part])
        _console.print(f"  {part:<10} version {pinned.version}" + (f": {known}" if known else ""))
        _show_files(pinned.files)
    size = facts["catalogue"].get("n_items", "an unknown number of")
    _console.print(f"  catalogue  {release.catalogue.name}: {size} items")
    _show_files(release.catalogue.files)
    _console.print(f"  prompt     {release.prompt_sha256}")
    weights = ", ".join(f"{reason} {weight:g}" for reason, weight in release.weights.model_dump().items())
    _console.print(f"  weights    {weights}")


def stage(name: Name, *, var: Var = Path("var"), as_json: Json = False) -> None:
    """Load a release and serve it to who asks for it by name; also the way back out of shadow, canary and retirement.

    Example: longtail release stage demo-2
    """
    _move(var, name, lambda state: state.stage(name), as_json=as_json)


def shadow(name: Name, *, var: Var = Path("var"), as_json: Json = False) -> None:
    """Let a staged release answer copies of requests, and compare its answers with those of the live one.

    Example: longtail release shadow demo-2
    """
    _move(var, name, lambda state: state.to_shadow(name), as_json=as_json)


def canary(
    name: Name,
    *,
    percent: Annotated[float, typer.Option(min=0.01, max=100, help="Share of the users that it serves.")] = 5.0,
    var: Var = Path("var"),
    as_json: Json = False,
) -> None:
    """Let a staged or shadow release serve a share of the users; the same users all the time.

    Example: longtail release canary demo-2 --percent 5
    """
    _move(var, name, lambda state: state.to_canary(name, percent), as_json=as_json)


def promote(name: Name, *, var: Var = Path("var"), as_json: Json = False) -> None:
    """Make a staged, shadow or canary release the live one. The live one stays loaded, so that you can roll back.

    Example: longtail release promote demo-2
    """
    _move(var, name, lambda state: state.promote(name), as_json=as_json)


def rollback(*, var: Var = Path("var"), as_json: Json = False) -> None:
    """Take back the last step that reached users: the canary where there is one, else the promotion.

    A canary goes back to staged. Where there is none, the live and the previous release trade places.

    Example: longtail release rollback
    """
    with changing_state(var) as state:
        after = write_state(var, state.rollback())
    name = state.canary.name if state.canary else after.live_name()
    _say_place(name, after, as_json=as_json)


def retire(
    name: Name,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Also the previous one; nothing to roll back to then.")
    ] = False,
    var: Var = Path("var"),
    as_json: Json = False,
) -> None:
    """Stop to load a release. Its files stay.

    Example: longtail release retire demo-1
    """
    with changing_state(var) as state:
        if state.place_of(name) is None:
            read_release(var, name)
        after = write_state(var, state.retire(name, force=force))
    _say_place(name, after, as_json=as_json)


def pack(
    name: Name,
    *,
    output: Annotated[Path | None, typer.Option(help="File to write; the default is <name>.tar here.")] = None,
    model_repository: Repository = Path("model_repository"),
    var: Var = Path("var"),
    as_json: Json = False,
) -> None:
    """Write a release, its models and its catalogue to one file, to deploy it on another machine.

    Example: longtail release pack demo-2 --output demo-2.tar
    """
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
    _console.print(f"{done.release} is {done.place}; `longtail export config` names its versions for Triton")


@contextmanager
def _bytes_bar(what: str, n_bytes: int | None) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("  {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=n_bytes)
        yield lambda done: progress.advance(task, done)


def _move(var: Path, name: str, transition: Callable[[ReleaseState], ReleaseState], *, as_json: bool) -> None:
    read_release(var, name)
    with changing_state(var) as state:
        after = write_state(var, transition(state))
    _say_place(name, after, as_json=as_json)


def _say_place(name: str, state: ReleaseState, *, as_json: bool) -> None:
    place = state.place_of(name)
    if as_json:
        emit({"release": name, "place": place, "state": state.model_dump(mode="json")})
    else:
        _console.print(f"{name} is {place}" + ("" if place == "live" else f"; live is {state.live or 'none'}"))


def _known_releases(var: Path, state: ReleaseState) -> list[str]:
    placed = (*names_in_service(state), *state.retired)
    created = {path.parent.name for path in releases_folder(var).glob(f"[!.]*/{RELEASE_FILE}")}
    return [*placed, *sorted(created.difference(placed))]


def _row(var: Path, state: ReleaseState, name: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "release": name,
        "place": state.place_of(name),
        "percent": state.canary.percent if state.canary and state.canary.name == name else None,
        "problem": None,
    }
    try:
        release = read_release(var, name)
    except ReleaseInvalid as error:
        return row | {"problem": str(error)}
    return row | {
        "encoder": release.encoder.version,
        "generator": release.generator.version,
        "catalogue": release.catalogue.name,
        "created_at": release.created_at,
    }


def _facts(folder: Path) -> dict[str, Any]:
    """Read what a part's manifest says of it, but for its files' hashes, which the release has."""
    try:
        return {key: value for key, value in read_manifest(folder).items() if key != "files"}
    except ReleaseInvalid:
        return {}


def _show_files(files: Mapping[str, str]) -> None:
    for file, sha256 in files.items():
        _console.print(f"    {sha256}  {file}", style="dim")
