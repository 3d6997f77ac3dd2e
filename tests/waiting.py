"""Waiting for what another task or thread brings about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, 30 s at most."""
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("what was waited for did not happen within 30 s")
