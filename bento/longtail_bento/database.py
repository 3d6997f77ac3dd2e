"""A database's URL in; its engine, its present shape, and what it says when it does not answer, out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from longtail_client.errors import DatabaseInvalid, DatabaseUnavailable, SettingsInvalid

_BUSY_TIMEOUT_MS = 10_000
_CONNECT_TIMEOUT_S = 5
_POOL_TIMEOUT_S = 5
_MIGRATION_LOCK = 0x6C6F6E67  # any number that every process of longtail agrees on
_SQLITE, _POSTGRESQL = "sqlite+aiosqlite", "postgresql+psycopg"
_DRIVERS = {
    "sqlite": _SQLITE,
    _SQLITE: _SQLITE,
    "postgres": _POSTGRESQL,
    "postgresql": _POSTGRESQL,
    _POSTGRESQL: _POSTGRESQL,
}


def url_of(text: str) -> URL:
    """Read a URL, with the driver that longtail uses.

    Raises:
        SettingsInvalid: It is no URL of SQLite or PostgreSQL, or PostgreSQL's driver is not installed.
    """
    try:
        url = make_url(text)
    except ArgumentError:
        url = None
    if url is None or url.drivername not in _DRIVERS:
        got = "something else" if url is None else f"{url.drivername}://…"
        raise SettingsInvalid(
            f"LONGTAIL_DATABASE_URL: expected sqlite:///path or postgresql://user:password@host/name, got {got}"
        )
    url = url.set(drivername=_DRIVERS[url.drivername])
    if url.drivername == _POSTGRESQL:
        try:
            import psycopg  # noqa: F401
        except ImportError as error:
            raise SettingsInvalid(
                "LONGTAIL_DATABASE_URL names PostgreSQL, whose driver is not installed; "
                "install longtail with the extra `postgres`"
            ) from error
    elif url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    return url


def open_engine(url: URL) -> AsyncEngine:
    """Open an engine; a commit on it is on the disk when it returns."""
    if url.drivername == _POSTGRESQL:
        return create_async_engine(
            url,
            pool_pre_ping=True,
            pool_timeout=_POOL_TIMEOUT_S,
            connect_args={"connect_timeout": _CONNECT_TIMEOUT_S},
        )
    engine = create_async_engine(url, pool_timeout=_POOL_TIMEOUT_S)
    sa.event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")  # readers never wait for a writer
    cursor.execute("PRAGMA synchronous = FULL")  # in WAL, less may lose a commit when the machine stops
    cursor.close()


def migrate(url: URL) -> tuple[str | None, str | None]:
    """Bring a database to the present shape, in one transaction and under a lock; others that come wait.

    Returns:
        The migration that it was at, and the one that it is at now. None is a database without any.

    Raises:
        DatabaseInvalid: It was made by a newer longtail, or is not longtail's.
        DatabaseUnavailable: It does not answer.
    """
    config = Config()
    config.set_main_option("script_location", "longtail_bento:migrations")
    with answering(), _locked(url) as connection:
        before = MigrationContext.configure(connection).get_current_revision()
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise DatabaseInvalid(
                f"the database is at migration {before}, which this version of longtail does not know; "
                "install the version that made it, or a newer one"
            ) from error
        return before, MigrationContext.configure(connection).get_current_revision()


@contextmanager
def _locked(url: URL) -> Iterator[Connection]:
    if url.drivername == _POSTGRESQL:
        engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"connect_timeout": _CONNECT_TIMEOUT_S})
    else:
        engine = sa.create_engine(url.set(drivername="sqlite"), poolclass=sa.NullPool)
        sa.event.listen(engine, "connect", _leave_transactions_to_us)
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.begin() as connection:
        if url.drivername == _POSTGRESQL:
            connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
        yield connection


def _leave_transactions_to_us(connection: Any, record: object) -> None:
    """Have `BEGIN IMMEDIATE` be the lock: Python's own driver would begin late, and leave table changes outside."""
    connection.isolation_level = None
    _prepare_sqlite(connection, record)


@contextmanager
def answering() -> Iterator[None]:
    """Turn what a database says when it does not answer into longtail's word for it.

    Raises:
        DatabaseUnavailable: It is away, locked for too long, or has no room.
    """
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise _unavailable(error) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise _unavailable(error) from error
        raise


def _unavailable(error: Exception) -> DatabaseUnavailable:
    said = str(getattr(error, "orig", None) or error).strip().splitlines()[:1]
    return DatabaseUnavailable(f"the database of interactions does not answer: {' '.join(said)[:200]}")
