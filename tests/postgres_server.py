"""A real PostgreSQL for tests: a cluster of its own in a temporary folder, on a free port of loopback."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

STARTED_WITHIN_S = 180.0
_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


class PostgresServer:
    """The server.

    Args:
        port: Where it listens on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        found = shutil.which("initdb", path=os.pathsep.join(map(str, _BINARIES)))
        if found is None:
            pytest.fail("tests of interactions need PostgreSQL; install it: apt-get install postgresql")
        self._bin = Path(found).parent
        # PostgreSQL refuses to run as root, and its account cannot look into pytest's folders.
        self._account: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        self._folder = Path(tempfile.mkdtemp(prefix="longtail-postgres-"))
        if self._account:
            shutil.chown(self._folder, "postgres", "postgres")
        self._run("initdb", "-D", str(self._folder / "data"), "-U", "longtail", "-A", "trust", "-E", "UTF8", "-N")

    def _run(self, *command: str) -> None:
        subprocess.run(
            [str(self._bin / command[0]), *command[1:]],
            cwd=self._folder,
            check=True,
            stdout=subprocess.DEVNULL,
            **self._account,
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(str(self._bin / "postgres"), "-D", str(self._folder / "data"), "-p", str(self.port)),
                    *("-k", "", "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"),
                ],
                cwd=self._folder,
                stdout=log,
                stderr=log,
                **self._account,
            )
        deadline_s = time.monotonic() + STARTED_WITHIN_S
        while True:
            try:
                self._administrate("SELECT 1")
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline_s:
                    pytest.fail(f"PostgreSQL did not start: {(self._folder / 'log').read_text()[-2000:]}")
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it; clients lose their connections."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=90)
            self._process = None

    def close(self) -> None:
        """End it and remove its folder."""
        self.stop(signal.SIGQUIT)  # nothing needs to be kept
        shutil.rmtree(self._folder)

    def new_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"t{uuid4().hex}"
        self._administrate(f"CREATE DATABASE {name}")
        return f"postgresql://longtail@127.0.0.1:{self.port}/{name}"

    def _administrate(self, statement: str) -> None:
        address = f"postgresql://longtail@127.0.0.1:{self.port}/postgres"
        with psycopg.connect(address, autocommit=True, connect_timeout=30) as connection:
            connection.execute(statement.encode())
