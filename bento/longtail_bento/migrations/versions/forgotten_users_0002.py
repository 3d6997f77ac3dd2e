"""The table of users who were deleted lately, from which every process learns whom its caches shall forget."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table; ids are never used again, since processes remember the last that they saw."""
    op.create_table(
        "forgotten_users",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("user_digest", sa.String(64), nullable=False),
        sa.Column("forgotten_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("user_digest"),
        sqlite_autoincrement=True,
    )
