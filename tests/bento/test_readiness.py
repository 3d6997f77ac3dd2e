"""Who asks whether the service is ready costs the models one inference a second."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from tests.waiting import until

from longtail_bento.readiness import Readiness, infers
from longtail_client.contract import TEXT_ENCODER


class Probe:
    """Counts, and passes when told to."""

    def __init__(self) -> None:
        self.n_calls = 0
        self.passes = True
        self.go_on = asyncio.Event()

    async def __call__(self) -> bool:
        self.n_calls += 1
        await self.go_on.wait()
        return self.passes


async def test_many_who_ask_at_once_share_one_inference() -> None:
    probe = Probe()
    ready = Readiness(probe)
    asking = [asyncio.create_task(ready()) for _ in range(50)]
    await until(lambda: probe.n_calls > 0)
    asking[0].cancel()
    await asyncio.sleep(0)
    probe.go_on.set()
    assert await asyncio.gather(*asking[1:]) == [True] * 49
    assert probe.n_calls == 1


async def test_an_outcome_holds_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr("longtail_bento.readiness.time", SimpleNamespace(monotonic=lambda: now_s))
    probe = Probe()
    probe.go_on.set()
    ready = Readiness(probe)
    assert await ready()
    probe.passes = False
    now_s += 1.0
    assert await ready()
    now_s += 0.1
    assert not await ready()
    assert probe.n_calls == 2


async def test_a_probe_that_breaks_is_told_and_tried_again() -> None:
    async def broken() -> bool:
        raise OSError("no more files")

    ready = Readiness(broken)
    for _ in range(2):
        with pytest.raises(OSError, match="files"):
            await ready()


async def test_a_release_infers_while_its_encoder_answers(stage: Any) -> None:
    assert await infers(stage.live)
    assert stage.calls_of(TEXT_ENCODER.name) == 1
    stage.transport.down = True
    assert not await infers(stage.live)
