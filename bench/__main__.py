"""Measure the demo's stack and print a table: `make bench`.

Two things that are compared take turns in one run, because a shared machine is faster at one minute than at the next.
The table goes to the terminal, everything else to `var/bench.json`.
"""

from __future__ import annotations

import asyncio
import json
import platform
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from bench.catalogue import bounded_export, export_against_encoder
from bench.measure import Measurement, encoder_against_peer, executions, generator_against_peer, memory, recommend
from longtail_bento.processes import require_free_port, stack
from longtail_bento.settings import ServiceSettings


def main() -> None:
    """Start the stack, measure, print, write."""
    settings = ServiceSettings()
    require_free_port(settings.host, settings.port)
    say = Console(stderr=True, highlight=False)
    measurements: list[Measurement] = []
    with stack(settings, say=say.print):
        url = f"http://{settings.host}:{settings.port}"
        for what, run in (
            ("recommendations", recommend(url)),
            ("batching", executions(url, settings)),
            ("the encoder against its peers", encoder_against_peer(settings)),
            ("the generator against its peer", generator_against_peer(settings)),
        ):
            say.print(f"  measuring {what} …", style="dim")
            measurements += asyncio.run(run)
        measurements.append(memory())
        say.print("  measuring exports of a catalogue …", style="dim")
        measurements += export_against_encoder(settings)
    measurements += bounded_export(settings)
    table = Table(title=f"longtail on {platform.machine()}, Python {platform.python_version()}", title_justify="left")
    for column in ("what", "measured", "peer", "ratio"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for each in measurements:
        ratio = "" if each.ratio is None else f"{each.ratio:.2f}"
        table.add_row(each.what, each.measured, each.peer, ratio)
    Console(width=120).print(table)
    path = settings.var / "bench.json"
    path.write_text(json.dumps([asdict(each) for each in measurements], indent=2) + "\n")


if __name__ == "__main__":
    main()
