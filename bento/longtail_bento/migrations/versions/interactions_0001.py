"""The table of interactions; one that longtail made before it had migrations is taken over as it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from longtail_client.errors import DatabaseInvalid

revision = "0001"
down_revision = None

_COLUMNS = {"id", "user_id", "item_id", "kind", "weight", "timestamp"}
_EVENT = {"user_id", "item_id", "kind", "timestamp"}


def upgrade() -> None:
    """Create the table, unless it is there.

    Raises:
        DatabaseInvalid: A table of this name is there, with other columns, or takes the same event twice.
    """
    inspector = sa.inspect(op.get_bind())
    if inspector.has_table("interactions"):
        found = {column["name"] for column in inspector.get_columns("interactions")}
        if found != _COLUMNS:
            raise DatabaseInvalid(
                f"the table interactions: expected the columns {', '.join(sorted(_COLUMNS))}, got "
                f"{', '.join(sorted(found))}; point LONGTAIL_DATABASE_URL at a database of longtail's own"
            )
        unique = [set[str | None](each["column_names"]) for each in inspector.get_unique_constraints("interactions")]
        unique += [set(each["column_names"]) for each in inspector.get_indexes("interactions") if each["unique"]]
        if _EVENT not in unique:
            raise DatabaseInvalid(
                f"the table interactions: expected a unique constraint over {', '.join(sorted(_EVENT))}, got none, so "
                "that the same event could be stored twice; remove what is there twice and add the constraint, or "
                "point LONGTAIL_DATABASE_URL at a database of longtail's own"
            )
        return
    op.create_table(
        "interactions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("user_id", sa.String(200), nullable=False, index=True),
        sa.Column("item_id", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("weight", sa.Float, nullable=False),
        sa.Column("timestamp", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("user_id", "item_id", "kind", "timestamp"),
    )
