"""What Alembic runs: the changes that a connection lacks, in the transaction that the connection is in."""

from __future__ import annotations

from alembic import context

from longtail_bento.interactions import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
