"""`longtail interactions record`, `list`, `delete`: what users did, told to a running service, read and deleted."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from longtail_client.answers import StoredInteraction, document_of_record
from longtail_client.calls import Kind
from longtail_client.cli import ApiKey, Json, Url, emit, group
from longtail_client.errors import InvalidRequest
from longtail_client.recommender import Recommender

_PAGE = 10_000

UserId = Annotated[str, typer.Argument(help="The user.", show_default=False)]

_console = Console(highlight=False, markup=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the commands to `longtail interactions`."""
    interactions = group(app, "interactions", purpose="What users did: recorded, read, deleted, loaded in bulk.")
    interactions.command("record")(record)
    interactions.command("list")(list_interactions)
    interactions.command("delete")(delete)


def record(
    user_id: UserId,
    item: Annotated[list[str], typer.Argument(help="The items, one or more.", show_default=False)],
    *,
    kind: Annotated[Kind, typer.Option(help="What the user did with them.")] = "like",
    weight: Annotated[float | None, typer.Option(help="The rating, on any scale; of --kind rating alone.")] = None,
    timestamp: Annotated[int | None, typer.Option(help="When, in seconds since 1970; now if not given.")] = None,
    url: Url = "http://127.0.0.1:3000",
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Record what a user did; the next answer reflects it. What is stored already is left as it is.

    Example: longtail interactions record ada 56 100 --kind like
    """
    more = {name: value for name, value in (("weight", weight), ("timestamp", timestamp)) if value is not None}
    done: Any = [{"user_id": user_id, "item_id": item_id, "kind": kind, **more} for item_id in item]
    with Recommender(url, api_key, max_tries=1) as longtail:
        answer = longtail.record_interactions(interactions=done)
    if as_json:
        emit(document_of_record(answer))
    else:
        _console.print(f"recorded {answer.received} interactions of {user_id}, {answer.new} of them new")


def list_interactions(
    user_id: UserId,
    *,
    url: Url = "http://127.0.0.1:3000",
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Show all that is stored of a user, in the order in which it was recorded.

    Example: longtail interactions list 196 --json
    """
    found: list[StoredInteraction] = []
    with Recommender(url, api_key, max_tries=1) as longtail:
        after: int | None = 0
        while after is not None:
            page = longtail.list_interactions(user_id=user_id, after=after, limit=_PAGE)
            found += page.interactions
            after = page.next
    if as_json:
        emit({"user_id": user_id, "interactions": [document_of_record(each) for each in found]})
        return
    table = Table("item", "kind", "weight", "timestamp")
    for each in found:
        weight = "" if each.weight is None else f"{each.weight:g}"
        table.add_row(each.item_id, each.kind, weight, str(each.timestamp))
    _console.print(table)
    _console.print(f"{len(found)} interactions of {user_id}")


def delete(
    user_id: UserId,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether to.")] = False,
    url: Url = "http://127.0.0.1:3000",
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Delete all that is stored of a user, for good.

    Example: longtail interactions delete 196 --yes
    """
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise InvalidRequest("expected --yes, since there is nobody at a terminal to ask", field="yes")
        typer.confirm(f"Delete all interactions of {user_id}?", abort=True, err=True)
    with Recommender(url, api_key, max_tries=1) as longtail:
        answer = longtail.delete_interactions(user_id=user_id)
    if as_json:
        emit(document_of_record(answer))
    else:
        _console.print(f"deleted {answer.deleted} interactions of {user_id}")
