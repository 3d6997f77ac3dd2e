"""The client's commands: `longtail recommend`, and the group `longtail release`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from longtail_client import pack_command, release_commands, report_command
from longtail_client.errors import InvalidRequest, LongtailError, Unavailable

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
    url: Annotated[str, typer.Option(help="The service.", envvar="LONGTAIL_URL")] = "http://127.0.0.1:3000",
    save: Annotated[Path | None, typer.Option(help="Write the whole answer to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON and nothing else.")] = False,
) -> None:
    """Recommend items of the long tail and show them as a table.

    Example: longtail recommend --user-id 196 --steer "something gentle, please"
    """
    request: dict[str, Any] = {"k": k, "steer": steer or [], "explain": True}
    if user_id is not None:
        request["user_id"] = user_id
    if item:
        request["history"] = [{"item_id": item_id} for item_id in item]
    if seed is not None:
        request["seed"] = seed
    answer = _post(f"{url}/recommend", request)
    if save is not None:
        save.parent.mkdir(parents=True, exist_ok=True)
        save.write_text(json.dumps(answer, indent=2, ensure_ascii=False) + "\n")
    if as_json:
        typer.echo(json.dumps(answer))
    else:
        _show(answer, f"user {user_id}" if user_id else "this history")


def _post(url: str, body: dict[str, Any]) -> Any:
    try:
        response = httpx.post(url, json=body, timeout=70.0)
    except httpx.TransportError as error:
        raise Unavailable(f"nothing answers at {url} ({error}); start it with `longtail up`") from error
    if response.is_success:
        return response.json()
    problem = {"detail": response.text[:300]}
    if "json" in response.headers.get("content-type", ""):
        problem |= response.json()
    if response.status_code in (400, 401, 404, 413, 415, 422):
        raise InvalidRequest(problem["detail"], field=problem.get("field"))
    if response.status_code in (429, 503):
        raise Unavailable(problem["detail"])
    raise LongtailError(f"{url} answered {response.status_code}: {problem['detail']}")


def _show(answer: dict[str, Any], whom: str) -> None:
    table = Table(title=f"For {whom}, from release {answer['release']}", title_justify="left")
    table.add_column("#", justify="right")
    table.add_column("title", ratio=5)
    table.add_column("similarity", justify="right")
    table.add_column("popularity\npercentile", justify="right")
    table.add_column("found by", ratio=5)
    for item in answer["items"]:
        explanation = item["explanation"]
        table.add_row(
            str(item["rank"]),
            item["title"],
            f"{item['similarity']:.3f}",
            f"{item['popularity_percentile']:.0f}",
            f"{explanation['found_by']}: {explanation['text']}",
        )
    _console.print(table)
    timings = ", ".join(f"{stage} {milliseconds:.0f}" for stage, milliseconds in answer["timings_ms"].items())
    _console.print(f"milliseconds: {timings}", style="dim")
    if answer["degraded"]:
        _console.print(f"made without: {', '.join(answer['degraded'])}", style="yellow")
