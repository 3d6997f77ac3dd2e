"""`longtail recommend`: a request in options, the answer as a table, as JSON, or as it comes."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from longtail_client.answers import (
    ItemsEvent,
    RecommendAnswer,
    ReleaseEvent,
    StreamEvent,
    TokenEvent,
    document_of_record,
)
from longtail_client.calls import Priority
from longtail_client.cli import ApiKey, Json, Url, emit
from longtail_client.completion import release_names
from longtail_client.errors import InvalidRequest, Unavailable
from longtail_client.recommender import Recommender

_console = Console(highlight=False, markup=False)


def register(app: typer.Typer) -> None:
    """Add the command to `longtail`."""
    app.command()(recommend)


def recommend(
    *,
    user_id: Annotated[str | None, typer.Option(help="A user whose interactions are stored.")] = None,
    item: Annotated[
        list[str] | None, typer.Option(help="An item of a history instead, repeatable, oldest first.")
    ] = None,
    history: Annotated[
        str | None,
        typer.Option(help='The history as JSON instead, or @FILE: [{"item_id": "56", "weight": 5, "timestamp": 0}].'),
    ] = None,
    steer: Annotated[list[str] | None, typer.Option(help="A wish in a sentence, repeatable, oldest first.")] = None,
    filter_: Annotated[
        str | None,
        typer.Option("--filter", help='Conditions on attributes as JSON, or @FILE: {"year": {"gte": 1950}}.'),
    ] = None,
    k: Annotated[int, typer.Option(help="Recommendations to return, 1 to 100.")] = 10,
    descriptions: Annotated[int | None, typer.Option(help="Descriptions that the generator shall write.")] = None,
    given_description: Annotated[
        list[str] | None, typer.Option(help="A description to use instead of the generator's, repeatable.")
    ] = None,
    tail_only: Annotated[
        bool | None, typer.Option("--tail-only/--whole-catalogue", help="Whether the most popular fifth is left out.")
    ] = None,
    adventurousness: Annotated[float | None, typer.Option(help="How far from the popular, 0 to 1.")] = None,
    diversity: Annotated[float | None, typer.Option(help="How far from each other, 0 to 1.")] = None,
    explain: Annotated[bool, typer.Option(help="Say what found each item.")] = True,
    seed: Annotated[int | None, typer.Option(help="Start of the generator's random numbers.")] = None,
    deadline_ms: Annotated[int | None, typer.Option(help="Milliseconds that the answer may take.")] = None,
    priority: Annotated[
        Priority | None, typer.Option(help="bulk stands behind interactive; nobody waits for it.")
    ] = None,
    release: Annotated[
        str | None,
        typer.Option(help="A release in service to ask; the live one if none.", autocompletion=release_names),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Show descriptions as they are written; with --json, an event a line.")
    ] = False,
    url: Url = "http://127.0.0.1:3000",
    api_key: ApiKey = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the whole answer to this file, for `longtail replay` and programs.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Recommend items of the long tail and show them as a table.

    Example: longtail recommend --user-id 196 --steer "something gentle, please"

    For a history, from some years: longtail recommend --item 100 --item 56 --filter '{"year": {"lte": 1969}}'
    """
    if item and history is not None:
        raise InvalidRequest("--item, --history: give one of them, not both", field="history")
    fields = {
        "user_id": user_id,
        "history": [{"item_id": item_id} for item_id in item] if item else _parsed("--history", history, list),
        "steer": steer or None,
        "filter": _parsed("--filter", filter_, dict),
        "k": k,
        "descriptions": descriptions,
        "given_descriptions": given_description or None,
        "tail_only": tail_only,
        "adventurousness": adventurousness,
        "diversity": diversity,
        "explain": explain,
        "seed": seed,
        "deadline_ms": deadline_ms,
        "priority": priority,
        "release": release,
    }
    with Recommender(url, api_key, max_tries=1) as longtail:
        if stream:
            with closing(longtail.recommend_stream(**fields)) as events:
                answer = _streamed(events, as_json=as_json)
        else:
            answer = longtail.recommend(**fields)
    document = document_of_record(answer)
    if save is not None:
        save.parent.mkdir(parents=True, exist_ok=True)
        save.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    if as_json and not stream:
        emit(document)
    elif not as_json:
        _show(answer, f"user {user_id}" if user_id else "this history")


def _parsed(option: str, given: str | None, kind: type) -> Any:
    """Read JSON, or the file that ``@`` names.

    Raises:
        InvalidRequest: It is none, or of another kind.
    """
    if given is None:
        return None
    expected = f"{option}: expected a JSON {'list' if kind is list else 'object'}"
    try:
        text = Path(given[1:]).read_text() if given.startswith("@") else given
        document = json.loads(text)
    except OSError as error:
        raise InvalidRequest(f"{expected} in {given[1:]}, got {error.strerror}", field=option) from error
    except ValueError as error:
        raise InvalidRequest(f"{expected}, got {given[:80]!r}: {error}", field=option) from error
    if not isinstance(document, kind):
        raise InvalidRequest(f"{expected}, got {given[:80]!r}", field=option)
    return document


def _streamed(events: Generator[StreamEvent, None, None], *, as_json: bool) -> RecommendAnswer:
    """Show events as they come; return the answer.

    Raises:
        Unavailable: The stream broke off.
    """
    texts: dict[int, str] = {}
    answer: RecommendAnswer | None = None
    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        for event in events:
            if as_json:
                emit({"event": event.event} | document_of_record(event))
            if isinstance(event, ReleaseEvent):
                texts.clear()  # a canary that could not answer wrote what is void
            elif isinstance(event, TokenEvent):
                texts[event.description] = texts.get(event.description, "") + event.text
                if not as_json:
                    live.update(Text("\n".join(f"  {texts[each]}" for each in sorted(texts)), "dim"), refresh=True)
            elif isinstance(event, ItemsEvent):
                answer = event
    if answer is None:
        raise Unavailable("the stream ended without items; ask again")
    return answer


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
