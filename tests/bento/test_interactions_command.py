"""`longtail interactions record`, `list` and `delete` as programs, through either door of the tiny deployment."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import pytest


async def longtail(*arguments: str, url: str) -> tuple[int, str, str]:
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from longtail_client.cli import main; main()", "interactions", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "LONGTAIL_URL": url, "COLUMNS": "160", "NO_PROXY": "127.0.0.1"},
    )
    out, err = await program.communicate()
    assert program.returncode is not None
    return program.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("door", ["http", "grpc"])
async def test_what_a_user_did_is_recorded_listed_and_deleted_for_programs(doors: Any, door: str) -> None:
    url = getattr(doors, door)

    async def told(*arguments: str) -> Any:
        code, out, err = await longtail(*arguments, "--json", url=url)
        assert (code, err) == (0, "")
        return json.loads(out)

    rated = ("record", "zoe", "5", "9", "--kind", "rating", "--weight", "4", "--timestamp", "7")
    assert await told(*rated) == {"received": 2, "new": 2}
    assert await told(*rated) == {"received": 2, "new": 0}
    assert await told("list", "zoe") == {
        "user_id": "zoe",
        "interactions": [
            {"item_id": item_id, "kind": "rating", "weight": 4.0, "timestamp": 7} for item_id in ("5", "9")
        ],
    }
    assert await told("delete", "zoe", "--yes") == {"deleted": 2}
    code, out, err = await longtail("list", "zoe", "--json", url=url)
    assert (code, out) == (2, "")
    assert "no interaction of this user is stored" in err


async def test_what_a_user_did_is_recorded_listed_and_deleted_for_people(doors: Any) -> None:
    code, out, _ = await longtail("record", "zoe", "5", url=doors.http)
    assert (code, out) == (0, "recorded 1 interactions of zoe, 1 of them new\n")
    code, out, _ = await longtail("list", "zoe", url=doors.http)
    assert (code, out.splitlines()[-1]) == (0, "1 interactions of zoe")
    assert "like" in out
    code, out, _ = await longtail("delete", "zoe", "--yes", url=doors.http)
    assert (code, out) == (0, "deleted 1 interactions of zoe\n")


async def test_a_weight_of_what_is_no_rating_is_refused(doors: Any) -> None:
    code, out, err = await longtail("record", "zoe", "5", "--kind", "view", "--weight", "4", url=doors.http)
    assert (code, out) == (2, "")
    assert err.startswith("error: interactions.0")
