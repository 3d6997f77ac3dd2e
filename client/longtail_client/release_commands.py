"""`longtail release`: where each release is, what it pins, and the moves from place to place.

`create` stands in the export package, `diff` in the service's: they read tables. `pack_command.py` has `pack` and
`unpack`, `report_command.py` has `report`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from longtail_client.cli import Json, ReleaseName, ReleaseOrLive, Repository, Var, emit, group
from longtail_client.errors import ReleaseInvalid, TransitionRefused
from longtail_client.manifest import read_manifest, sha256_of
from longtail_client.release import RELEASE_FILE, read_release, releases_folder
from longtail_client.release_state import ReleaseState, changing_state, names_in_service, read_state, write_state

_errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
_console = Console(highlight=False, markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the commands to `longtail`."""
    release = group(app, "release", purpose="Pin models, catalogue and prompt together; decide which release serves.")
    for name, command in (
        ("list", list_releases),
        ("show", show),
        ("verify", verify),
        ("stage", stage),
        ("shadow", shadow),
        ("canary", canary),
        ("promote", promote),
        ("rollback", rollback),
        ("retire", retire),
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
    name: ReleaseOrLive = None,
    *,
    model_repository: Repository = Path("model_repository"),
    var: Var = Path("var"),
    as_json: Json = False,
) -> None:
    """Show where a release is and what it pins: versions, hashes, size of the catalogue, prompt, weights.

    Example: longtail release show demo-1
    """
    from longtail_client.contract import GENERATOR, TEXT_ENCODER

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


def verify(
    name: ReleaseOrLive = None,
    *,
    model_repository: Repository = Path("model_repository"),
    var: Var = Path("var"),
    as_json: Json = False,
) -> None:
    """Hash everything that a release pins, and name each part that is missing or changed; exit with 3 if one is.

    Example: longtail release verify demo-1
    """
    from longtail_client.parts import damages

    name = name or read_state(var).live_name()
    try:
        release = read_release(var, name)
    except ReleaseInvalid as error:
        if not (releases_folder(var) / name / RELEASE_FILE).exists():
            raise
        found = [str(error)]
    else:
        found = list(damages(release, var=var, model_repository=model_repository))
    if as_json:
        emit({"release": name, "whole": not found, "damages": found})
    else:
        for damage in found:
            _errors.print(damage, style="red")
        _console.print(f"{name} differs from what was released" if found else f"{name} is what was released")
    if found:
        raise typer.Exit(3)


def stage(
    name: ReleaseName,
    *,
    model_repository: Repository = Path("model_repository"),
    var: Var = Path("var"),
    as_json: Json = False,
) -> None:
    """Load a release and serve it to who asks for it by name; also the way back out of shadow, canary and retirement.

    Example: longtail release stage demo-2
    """
    from longtail_client.parts import verify_parts

    verify_parts(read_release(var, name), var=var, model_repository=model_repository)
    _move(var, name, lambda state: state.stage(name), as_json=as_json)


def shadow(name: ReleaseName, *, var: Var = Path("var"), as_json: Json = False) -> None:
    """Let a staged release answer copies of requests, and compare its answers with those of the live one.

    Example: longtail release shadow demo-2
    """
    _move(var, name, lambda state: state.to_shadow(name), as_json=as_json)


def canary(
    name: ReleaseName,
    *,
    percent: Annotated[float, typer.Option(min=0.01, max=100, help="Share of the users that it serves.")] = 5.0,
    var: Var = Path("var"),
    as_json: Json = False,
) -> None:
    """Let a staged or shadow release serve a share of the users; the same users all the time.

    Example: longtail release canary demo-2 --percent 5
    """
    _move(var, name, lambda state: state.to_canary(name, percent), as_json=as_json)


def promote(
    name: ReleaseName,
    *,
    force: Annotated[bool, typer.Option("--force", help="Whatever it showed in shadow and on canary.")] = False,
    model_repository: Repository = Path("model_repository"),
    var: Var = Path("var"),
    as_json: Json = False,
) -> None:
    """Make a staged, shadow or canary release the live one. The live one stays loaded, so that you can roll back.

    One that was in shadow or on canary must have shown there what LONGTAIL_PROMOTE_* ask for.

    Example: longtail release promote demo-2
    """
    from longtail_client.parts import verify_parts

    verify_parts(read_release(var, name), var=var, model_repository=model_repository)

    def gated(state: ReleaseState) -> ReleaseState:
        after = state.promote(name)
        against = _objections(var, state, name)
        if against and not force:
            listed = "".join(f"\n  {each}" for each in against)
            raise TransitionRefused(
                f"{name} to live: expected no objection, got {len(against)}:{listed}\n"
                "Let it answer more requests, or promote it with --force"
            )
        return after

    _move(var, name, gated, as_json=as_json)


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
    name: ReleaseName,
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


def _objections(var: Path, state: ReleaseState, name: str) -> list[str]:
    """Say what speaks against promoting a release.

    One that was never tried may go live: that is what a first release and a fix in haste do. What it showed is not
    forgotten when it is staged again.
    """
    from longtail_client.release_report import Thresholds, objections
    from longtail_client.release_report_merge import read_report

    known = read_report(var, name)
    is_tried = state.place_of(name) in ("shadow", "canary")
    if known is not None and known.compared_with != state.live:
        known_with = f"it was compared with {known.compared_with}, and live is {state.live or 'none'}"
        return [known_with] if is_tried else []
    return objections(known, Thresholds()) if is_tried or known is not None else []


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
