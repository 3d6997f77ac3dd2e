"""The client's commands, gathered: `longtail recommend`, `replay`, and the groups `release` and `interactions`."""

from __future__ import annotations

import typer

from longtail_client import (
    interactions_command,
    pack_command,
    recommend_command,
    release_commands,
    replay_command,
    report_command,
)


def register(app: typer.Typer) -> None:
    """Add the client's commands to `longtail`."""
    for module in (
        recommend_command,
        replay_command,
        release_commands,
        pack_command,
        report_command,
        interactions_command,
    ):
        module.register(app)
