"""A database's URL in, an engine for the test's own statements out."""

from __future__ import annotations

import sqlalchemy as sa

from longtail_bento.database import url_of


def sync_engine(url: str) -> sa.Engine:
    """Open a blocking engine without a pool."""
    parsed = url_of(url)
    driver = "sqlite" if parsed.drivername.startswith("sqlite") else parsed.drivername
    return sa.create_engine(parsed.set(drivername=driver), poolclass=sa.NullPool)
