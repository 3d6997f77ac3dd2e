"""`longtail replay`: a saved answer, asked again of a release, and what moved."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from longtail_client.cli import MOVED, ApiKey, Json, Url, emit
from longtail_client.completion import release_names
from longtail_client.errors import UnknownRelease
from longtail_client.recommender import Recommender
from longtail_client.replay import Replay, compare, fields_of, read_saved

_console = Console(highlight=False, markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the command to `longtail`."""
    app.command()(replay)


def replay(
    file: Annotated[Path, typer.Argument(help="An answer, as `longtail recommend --save` or any caller kept it.")],
    *,
    release: Annotated[
        str | None,
        typer.Option(
            help="A release in service to ask, staged ones too; the live one if none.", autocompletion=release_names
        ),
    ] = None,
    url: Url = "http://127.0.0.1:3000",
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Ask again what a saved answer was asked, with the descriptions that it carries, and show what moved.

    Exit code 0 if nothing did: the same items in the same order, their scores equal to 1e-4 (only items closer than
    that may have traded places). Exit code 6 if something did. A user's history is the one that is stored now.

    Example: longtail recommend --user-id 196 --save answer.json, then longtail replay answer.json --release demo-2
    """
    saved = read_saved(file)
    with Recommender(url, api_key, max_tries=1) as longtail:
        serving = longtail.release()
        try:
            now = longtail.recommend(**fields_of(saved), release=release or serving.release)
        except UnknownRelease as error:
            known = ", ".join(f"{each.release} ({each.place or each.status})" for each in serving.releases)
            raise UnknownRelease(f"{error}; in service are {known}", field="release") from error
    found = compare(saved, now)
    if as_json:
        counts = {name: getattr(found, name) for name in ("came", "went", "changed_rank", "largest_score_delta")}
        emit(asdict(found) | counts)
    else:
        _show(file, found)
    if not found.same:
        raise typer.Exit(MOVED)


def _show(file: Path, found: Replay) -> None:
    what = f"{file} of {found.saved_release}, replayed on {found.release}"
    if found.same:
        _console.print(f"{what}: the same {len(found.moves)} items", style="green")
    else:
        table = Table("#", "was", "title", "score", "similarity")
        for move in found.moves:
            table.add_row(
                _rank(move.rank),
                _rank(move.saved_rank),
                move.title,
                _delta(move.score_delta),
                _delta(move.similarity_delta),
            )
        _console.print(table)
        _console.print(
            f"{what}: {found.came} came, {found.went} went, {found.changed_rank} are elsewhere in the order; scores "
            f"moved by {found.largest_score_delta:.5f} at most",
            style="yellow",
        )
        if found.saved_release != found.release:
            _console.print(f"the release that it is from, while it is in service: --release {found.saved_release}")
    if found.degraded != found.saved_degraded:
        _console.print(f"made without: {_stages(found.degraded)}; saved: without {_stages(found.saved_degraded)}")


def _rank(rank: int | None) -> str:
    return "" if rank is None else str(rank)


def _delta(delta: float | None) -> str:
    return "" if delta is None else f"{delta:+.5f}"


def _stages(stages: tuple[str, ...]) -> str:
    return ", ".join(stages) or "nothing"
