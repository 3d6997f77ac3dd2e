"""The client's commands: `longtail recommend`, and the group `longtail release`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from longtail_client import pack_command, release_commands, report_command
from longtail_client.answers import RecommendAnswer, document_of_record
from longtail_client.calls import HistoryItem
from longtail_client.cli import Json, emit
from longtail_client.recommender import Recommender

_console = Console(highlight=False, markup=False)


def register(app: typer.Typer) -> None:
    """Add the client's commands to `longtail`."""
    app.command()(recommend)
    release_commands.register(app)
    pack_command.register(app)
    report_command.register(app)


def recommend(
    *,
    user_id: Annotated[str | None, typer.Option(help="A user whose interactions are stored.")] = None,
    item: Annotated[
        list[str] | None, typer.Option(help="An item of a history instead, repeatable, oldest first.")
    ] = None,
    steer: Annotated[list[str] | None, typer.Option(help="A wish in a sentence, repeatable.")] = None,
    k: Annotated[int, typer.Option(help="Recommendations to return.")] = 10,
    seed: Annotated[int | None, typer.Option(help="Start of the generator's random numbers.")] = None,
    url: Annotated[
        str, typer.Option(help="The service, as http://… or grpc://….", envvar="LONGTAIL_URL")
    ] = "http://127.0.0.1:3000",
    api_key: Annotated[
        str | None, typer.Option(help="The service's key, where it asks for one.", envvar="LONGTAIL_API_KEY")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Write the whole answer to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Recommend items of the long tail and show them as a table.

    Example: longtail recommend --user-id 196 --steer "something gentle, please"
    """
    history = [HistoryItem(item_id=item_id) for item_id in item] if item else None
    with Recommender(url, api_key, max_tries=1) as longtail:
        answer = longtail.recommend(user_id=user_id, history=history, steer=steer or None, k=k, seed=seed, explain=True)
    document = document_of_record(answer)
    if save is not None:
        save.parent.mkdir(parents=True, exist_ok=True)
        save.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    if as_json:
        emit(document)
    else:
        _show(answer, f"user {user_id}" if user_id else "this history")


def _show(answer: RecommendAnswer, whom: str) -> None:
    table = Table(title=f"For {whom}, from release {answer.release}", title_justify="left")
    table.add_column("#", justify="right")
    table.add_column("title", ratio=5)
    table.add_column("similarity", justify="right")
    table.add_column("popularity\npercentile", justify="right")
    table.add_column("found by", ratio=5)
    for item in answer.items:
        found_by = item.explanation
        table.add_row(
            str(item.rank),
            item.title,
            f"{item.similarity:.3f}",
            f"{item.popularity_percentile:.0f}",
            f"{found_by.found_by}: {found_by.text}" if found_by else "",
        )
    _console.print(table)
    timings = ", ".join(f"{name} {milliseconds:.0f}" for name, milliseconds in asdict(answer.timings_ms).items())
    _console.print(f"milliseconds: {timings}", style="dim")
    if answer.degraded:
        _console.print(f"made without: {', '.join(answer.degraded)}", style="yellow")
