"""Users' interactions in SQL: SQLite by default, PostgreSQL by URL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    delete,
    insert,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from longtail_bento.database import answering, migrate, open_engine, url_of
from longtail_bento.description_cache import digest_of_user
from longtail_bento.domain import Interaction
from longtail_bento.settings import MAX_DESCRIPTION_CACHE_AGE_S
from longtail_client.errors import InvalidRequest

_ROWS_A_STATEMENT = 5000

METADATA = MetaData()

INTERACTIONS = Table(
    "interactions",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("user_id", String(200), nullable=False, index=True),
    Column("item_id", String(200), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("weight", Float, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    UniqueConstraint("user_id", "item_id", "kind", "timestamp"),
)
"""One row an event; the same event recorded twice is one row. A change here needs a migration."""

FORGOTTEN_USERS = Table(
    "forgotten_users",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("user_digest", String(64), nullable=False),
    Column("forgotten_at", BigInteger, nullable=False),
    UniqueConstraint("user_digest"),
    sqlite_autoincrement=True,
)
"""One row a user who was deleted, by the digest of the id; the highest id is the latest."""

_RECORDING_LOCK = 0x7265636F  # as below
_USER_GROUPS = 64
"""Users share locks, so that a request of 10,000 users takes no more than PostgreSQL has by default."""

_FORGETTING_LOCK = 0x666F7267  # any number that every process of longtail agrees on

_EVENT = (INTERACTIONS.c.item_id, INTERACTIONS.c.weight, INTERACTIONS.c.timestamp, INTERACTIONS.c.kind)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a user's interactions.

    Attributes:
        interactions: In the order they were recorded.
        next: Where the next page begins; None after the last.
    """

    interactions: list[Interaction]
    next: int | None


class Interactions:
    """The store.

    Args:
        url: ``sqlite:///path`` or ``postgresql://user:password@host/name``.

    Raises:
        SettingsInvalid: The URL is of neither kind.
    """

    def __init__(self, url: str) -> None:
        self._url = url_of(url)
        self._engine = open_engine(self._url)

    async def prepare(self) -> tuple[str | None, str | None]:
        """Bring the database to the present shape; see `migrate`."""
        return await asyncio.to_thread(migrate, self._url)

    async def of_user(self, user_id: str) -> list[Interaction]:
        """Read a user's interactions in the order they were recorded; none for a user nobody knows.

        Raises:
            DatabaseUnavailable: The database does not answer.
        """
        return (await self.page_of_user(user_id)).interactions

    async def page_of_user(self, user_id: str, *, after: int = 0, limit: int | None = None) -> Page:
        """Read a part of a user's interactions.

        Args:
            user_id: The user.
            after: The `next` of the page before; 0 for the first.
            limit: Interactions at most; None reads all that follow.

        Raises:
            DatabaseUnavailable: The database does not answer.
        """
        if "\0" in user_id:
            return Page([], None)
        query = (
            select(INTERACTIONS.c.id, *_EVENT)
            .where(INTERACTIONS.c.user_id == user_id, INTERACTIONS.c.id > after)
            .order_by(INTERACTIONS.c.id)
            .limit(None if limit is None else limit + 1)
        )
        with answering():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(query)).all()
        more = limit is not None and len(rows) > limit
        rows = rows[:limit]
        return Page([Interaction(*row[1:]) for row in rows], rows[-1][0] if more else None)

    async def record(self, user_id_and_interaction: Iterable[tuple[str, Interaction]]) -> int:
        """Store interactions, all or none; those that are stored already are left as they are.

        When this returns they are on the disk.

        Args:
            user_id_and_interaction: What happened, in order.

        Returns:
            How many are new.

        Raises:
            InvalidRequest: An id holds the character NUL, which PostgreSQL cannot store.
            DatabaseUnavailable: The database does not answer.
        """
        upsert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        statement = upsert(INTERACTIONS).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
        n_new = 0
        pending = iter(user_id_and_interaction)
        with answering():
            async with self._engine.begin() as connection:
                chunk = list(islice(pending, _ROWS_A_STATEMENT))
                await self._take_turn(connection, chunk)
                while chunk:
                    n_new += (await connection.execute(statement, [_row(*each) for each in chunk])).rowcount
                    chunk = list(islice(pending, _ROWS_A_STATEMENT))
        return n_new

    async def _take_turn(self, connection: AsyncConnection, chunk: Sequence[tuple[str, Interaction]]) -> None:
        """Wait until nobody else is recording for the same users, so that their rows appear in the order of their ids.

        A page begins behind an id that was read; a row that appeared later with a lower id would be in no page. Locks
        are taken in one order, also where several chunks follow, so that no two requests wait for each other. SQLite
        has one writer at a time anyway.
        """
        if self._engine.dialect.name != "postgresql" or not chunk:
            return
        groups = {int(digest_of_user(user_id)[:8], 16) % _USER_GROUPS for user_id, _ in chunk}
        if len(chunk) == _ROWS_A_STATEMENT:
            groups = set(range(_USER_GROUPS))
        locks = text("SELECT pg_advisory_xact_lock(:lock, each) FROM unnest(CAST(:groups AS integer[])) AS each")
        await connection.execute(locks, {"lock": _RECORDING_LOCK, "groups": sorted(groups)})

    async def delete_user(self, user_id: str) -> int:
        """Delete all interactions of a user, and tell every process of it, all or nothing.

        Returns:
            How many there were.

        Raises:
            DatabaseUnavailable: The database does not answer.
        """
        if "\0" in user_id:
            return 0
        digest, now_s = digest_of_user(user_id), int(time.time())
        old = (FORGOTTEN_USERS.c.user_digest == digest) | (
            FORGOTTEN_USERS.c.forgotten_at < now_s - MAX_DESCRIPTION_CACHE_AGE_S
        )
        with answering():
            async with self._engine.begin() as connection:
                if self._engine.dialect.name == "postgresql":  # ids then become visible in their order
                    await connection.execute(text(f"SELECT pg_advisory_xact_lock({_FORGETTING_LOCK})"))
                deleted = await connection.execute(delete(INTERACTIONS).where(INTERACTIONS.c.user_id == user_id))
                await connection.execute(delete(FORGOTTEN_USERS).where(old))
                await connection.execute(insert(FORGOTTEN_USERS).values(user_digest=digest, forgotten_at=now_s))
                return deleted.rowcount

    async def forgotten_since(self, seen: int) -> tuple[int, list[str]]:
        """Say who was deleted, by whichever process.

        Args:
            seen: The number that the last call returned; 0 for all that are still told.

        Returns:
            Where the next call goes on, and the users' digests.

        Raises:
            DatabaseUnavailable: The database does not answer.
        """
        query = (
            select(FORGOTTEN_USERS.c.id, FORGOTTEN_USERS.c.user_digest)
            .where(FORGOTTEN_USERS.c.id > seen)
            .order_by(FORGOTTEN_USERS.c.id)
        )
        with answering():
            async with self._engine.connect() as connection:
                rows = (await connection.execute(query)).all()
        return (rows[-1][0] if rows else seen), [row[1] for row in rows]

    async def close(self) -> None:
        """Close the connections."""
        await self._engine.dispose()


def _row(user_id: str, interaction: Interaction) -> dict[str, str | float | int]:
    for name, value in (("user_id", user_id), ("item_id", interaction.item_id)):
        if "\0" in value:
            raise InvalidRequest(f"{name}: expected text without the character NUL", field=name)
    return {
        "user_id": user_id,
        "item_id": interaction.item_id,
        "kind": interaction.kind,
        "weight": interaction.weight,
        "timestamp": interaction.timestamp,
    }
