"""Users' interactions in SQL: SQLite by default, PostgreSQL by URL."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from sqlalchemy import BigInteger, Column, Float, Integer, MetaData, String, Table, UniqueConstraint, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from longtail_bento.domain import Interaction

_ROWS_A_STATEMENT = 5000

_metadata = MetaData()

INTERACTIONS = Table(
    "interactions",
    _metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("user_id", String(200), nullable=False, index=True),
    Column("item_id", String(200), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("weight", Float, nullable=False),
    Column("timestamp", BigInteger, nullable=False),
    UniqueConstraint("user_id", "item_id", "kind", "timestamp"),
)
"""One row an event; the same event recorded twice is one row."""


class Interactions:
    """The store.

    Args:
        url: A SQLAlchemy URL of an async driver, ``sqlite+aiosqlite:///…`` or ``postgresql+asyncpg://…``.
    """

    def __init__(self, url: str) -> None:
        if url.startswith("sqlite") and ":///" in url:
            Path(url.split(":///", 1)[1]).parent.mkdir(parents=True, exist_ok=True)
        self._engine: AsyncEngine = create_async_engine(url, pool_pre_ping=True)

    async def prepare(self) -> None:
        """Create the table where it is missing."""
        async with self._engine.begin() as connection:
            await connection.run_sync(_metadata.create_all)

    async def of_user(self, user_id: str) -> list[Interaction]:
        """Read a user's interactions in the order they were recorded; none for a user nobody knows."""
        query = (
            select(INTERACTIONS.c.item_id, INTERACTIONS.c.weight, INTERACTIONS.c.timestamp)
            .where(INTERACTIONS.c.user_id == user_id)
            .order_by(INTERACTIONS.c.id)
        )
        async with self._engine.connect() as connection:
            return [Interaction(*row) for row in (await connection.execute(query)).all()]

    async def record(self, user_id_and_interaction: Iterable[tuple[str, Interaction]], *, kind: str) -> int:
        """Store interactions, all or none; those that are stored already are left as they are.

        Args:
            user_id_and_interaction: What happened, in order.
            kind: ``rating``, ``view``, ``like`` or another word for what happened.

        Returns:
            How many were handed in.
        """
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        statement = insert(INTERACTIONS).on_conflict_do_nothing()
        n_rows = 0
        pending = iter(user_id_and_interaction)
        async with self._engine.begin() as connection:
            while chunk := list(islice(pending, _ROWS_A_STATEMENT)):
                rows = [
                    {
                        "user_id": user_id,
                        "item_id": interaction.item_id,
                        "kind": kind,
                        "weight": interaction.weight,
                        "timestamp": interaction.timestamp,
                    }
                    for user_id, interaction in chunk
                ]
                await connection.execute(statement, rows)
                n_rows += len(rows)
        return n_rows

    async def close(self) -> None:
        """Close the connections."""
        await self._engine.dispose()
