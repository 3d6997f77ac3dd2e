"""`longtail replay` against a staged release: what would move is shown before anybody is served by it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.waiting import until

from longtail_bento.answering import Answering
from longtail_bento.interactions import Interactions
from longtail_bento.release_set import ReleaseSet
from longtail_bento.settings import ServiceSettings
from longtail_bento.trials import Trials
from longtail_client import AsyncRecommender
from longtail_client.answers import document_of_record
from longtail_client.contract import TEXT_ENCODER
from longtail_client.release import RELEASE_FILE, read_release, sealed
from longtail_client.release_state import changing_state, write_state
from longtail_client.testing import FakeTransport


@pytest.fixture
def settings(two_releases: Path, settings_for: Callable[[Path], ServiceSettings]) -> ServiceSettings:
    """Release ``first`` live, and staged a ``second`` that shuns the popular far more."""
    settings = settings_for(two_releases)
    second = read_release(settings.var, "second")
    weights = second.weights.model_copy(update={"popularity": 50.0})
    changed = sealed(second.model_copy(update={"weights": weights}))
    (settings.var / "releases" / "second" / RELEASE_FILE).write_text(changed.model_dump_json())
    with changing_state(settings.var) as state:
        write_state(settings.var, state.stage("second"))
    return settings


@pytest.fixture
def transport() -> FakeTransport:
    """A fake that serves the encoder's versions 1 and 2."""
    fake = FakeTransport()
    fake.served[TEXT_ENCODER.name] = fake.loadable[TEXT_ENCODER.name] = {"1", "2"}
    return fake


@pytest.fixture
async def answering(
    settings: ServiceSettings, transport: FakeTransport, interactions: Interactions
) -> AsyncIterator[Answering]:
    """Both releases, loaded."""
    releases = ReleaseSet(settings, transport)
    await releases.start()
    await until(lambda: releases.live.is_sound and "second" in releases.loaded)
    yield Answering(releases, interactions, Trials(settings, releases, interactions))
    await releases.stop()


async def replay(path: Path, *more: str) -> tuple[int, dict[str, Any]]:
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from longtail_client.cli import main; main()"),
        *("replay", str(path), "--json", *more),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
    )
    out, _ = await program.communicate()
    return program.returncode or 0, json.loads(out)


@pytest.mark.parametrize("door", ["http", "grpc"])
async def test_a_staged_release_shows_what_it_would_move(doors: Any, tmp_path: Path, door: str) -> None:
    url, path = getattr(doors, door), tmp_path / "answer.json"
    async with AsyncRecommender(url) as recommender:
        answer = await recommender.recommend(user_id="ada", k=5)
    path.write_text(json.dumps(document_of_record(answer)))
    code, told = await replay(path, "--url", url)
    assert (code, told["same"], told["largest_score_delta"]) == (0, True, 0.0)
    code, told = await replay(path, "--url", url, "--release", "second")
    assert (code, told["same"]) == (6, False)
    assert told["largest_score_delta"] > 1.0
    assert told["came"] + told["changed_rank"] > 0
    moved = {move["item_id"]: move for move in told["moves"]}
    assert {item.item_id for item in answer.items} <= set(moved)
