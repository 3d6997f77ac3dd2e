"""`longtail replay` of answers that the tiny deployment gave, through either door, as a program of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

ASKED: dict[str, Any] = {
    "history": [{"item_id": "5", "weight": 3.0}, {"item_id": "9"}],
    "k": 4,
    "steer": ["a quiet drama", "no horror"],
    "filter": {"year": {"gte": 1955}, "not": {"genres": "comedy"}},
    "diversity": 0.6,
    "adventurousness": 0.1,
}


@dataclass(frozen=True)
class Done:
    """What a program left."""

    code: int
    out: str
    err: str


Run = Callable[..., Awaitable[Done]]


@pytest.fixture
def longtail(tmp_path: Path) -> Run:
    """Run `longtail` beside the doors that this process holds open."""

    async def run(*arguments: object) -> Done:
        program = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from longtail_client.cli import main; main()",
            *map(str, arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "NO_PROXY": "127.0.0.1", "COLUMNS": "160", "LONGTAIL_VAR": str(tmp_path)},
        )
        out, err = await program.communicate()
        return Done(program.returncode or 0, out.decode(), err.decode())

    return run


async def saved_by_curl(doors: Any, path: Path, **fields: Any) -> dict[str, Any]:
    """Keep the bytes that the HTTP door answers."""
    async with httpx.AsyncClient(base_url=doors.http, trust_env=False) as client:
        response = await client.post("/recommend", json=ASKED | fields)
    assert response.status_code == 200, response.text
    await asyncio.to_thread(path.write_bytes, response.content)
    return dict(response.json())


@pytest.mark.parametrize("door", ["http", "grpc"])
async def test_an_answer_that_any_caller_kept_replays(doors: Any, longtail: Run, tmp_path: Path, door: str) -> None:
    path = tmp_path / "answer.json"
    answer = await saved_by_curl(doors, path, descriptions=3, deadline_ms=9000)
    assert answer["request"]["history"][1] == {"item_id": "9", "weight": 1.0, "timestamp": 0}
    assert {name: answer["request"][name] for name in ASKED if name != "history"} == {
        name: value for name, value in ASKED.items() if name != "history"
    }
    done = await longtail("replay", path, "--url", getattr(doors, door), "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["same"] is True
    assert [move["item_id"] for move in told["moves"]] == [item["item_id"] for item in answer["items"]]
    assert told["largest_score_delta"] <= 1e-4
    assert (told["came"], told["went"], told["changed_rank"]) == (0, 0, 0)


@pytest.mark.parametrize("door", ["http", "grpc"])
async def test_what_recommend_saves_of_a_stored_user_replays(
    doors: Any, longtail: Run, tmp_path: Path, door: str
) -> None:
    path, url = tmp_path / "answer.json", getattr(doors, door)
    saved = await longtail("recommend", "--user-id", "ada", "--k", "5", "--save", path, "--url", url)
    assert saved.code == 0, saved.err
    done = await longtail("replay", path, "--url", url)
    assert done.code == 0, done.err
    assert done.out == f"{path} of first, replayed on first: the same 5 items\n"


async def test_what_moved_is_shown_and_has_its_exit_code(doors: Any, longtail: Run, tmp_path: Path) -> None:
    path = tmp_path / "answer.json"
    answer = await saved_by_curl(doors, path)
    first, second = answer["items"][0], answer["items"][1]
    first["rank"], second["rank"] = 2, 1
    answer["items"][:2] = [second, first]
    answer["items"][-1] |= {"item_id": "gone", "title": "film that went"}
    answer["release"] = "zero"
    path.write_text(json.dumps(answer))
    done = await longtail("replay", path, "--url", doors.http)
    assert done.code == 6
    assert "1 came, 1 went, 2 are elsewhere in the order" in done.out
    assert "film that went" in done.out
    assert f"{path} of zero, replayed on first" in done.out
    assert "--release zero" in done.out
    asked = await longtail("replay", path, "--url", doors.http, "--release", "zero")
    assert asked.code == 2
    assert asked.err.startswith("error: release 'zero' cannot be asked")
    assert "first (live)" in asked.err
    assert asked.err.count("\n") == 1


async def test_a_saved_answer_of_an_item_that_is_gone_says_which(doors: Any, longtail: Run, tmp_path: Path) -> None:
    path = tmp_path / "answer.json"
    answer = await saved_by_curl(doors, path)
    answer["request"]["history"][0]["item_id"] = "no such film"
    path.write_text(json.dumps(answer))
    done = await longtail("replay", path, "--url", doors.http)
    assert done.code == 2
    assert "no such film" in done.err
    assert done.err.count("\n") == 1


async def test_a_file_that_is_no_answer_is_an_operators_mistake(doors: Any, longtail: Run, tmp_path: Path) -> None:
    path = tmp_path / "answer.json"
    path.write_text("{}")
    done = await longtail("replay", path, "--url", doors.http)
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith(f"error: {path}: expected an answer of /recommend")
    assert done.err.count("\n") == 1
