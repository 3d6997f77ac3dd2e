"""Databases of every age and kind, brought to the present shape."""

from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from tests.conftest import free_port
from tests.databases import sync_engine

from longtail_bento.database import migrate, url_of
from longtail_bento.domain import Interaction
from longtail_bento.interactions import METADATA, Interactions
from longtail_client.errors import DatabaseInvalid, DatabaseUnavailable, SettingsInvalid

# As longtail 0.1.0 wrote it before it had migrations.
BEFORE_MIGRATIONS = """
CREATE TABLE interactions (
	id INTEGER NOT NULL,
	user_id VARCHAR(200) NOT NULL,
	item_id VARCHAR(200) NOT NULL,
	kind VARCHAR(20) NOT NULL,
	weight FLOAT NOT NULL,
	timestamp BIGINT NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (user_id, item_id, kind, timestamp)
);
CREATE INDEX ix_interactions_user_id ON interactions (user_id);
INSERT INTO interactions VALUES (1, 'ada', 'a', 'rating', 4.5, 100), (5, 'ada', 'b', 'view', 1.0, 0);
"""


def test_an_empty_database_gets_the_shape_that_the_code_declares(database_url: str) -> None:
    assert migrate(url_of(database_url)) == (None, "0002")
    with sync_engine(database_url).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    assert migrate(url_of(database_url)) == ("0002", "0002")


async def test_a_database_from_before_migrations_is_taken_over_without_loss(tmp_path: Path) -> None:
    path = tmp_path / "longtail.db"
    connection = sqlite3.connect(path)
    connection.executescript(BEFORE_MIGRATIONS)
    connection.close()
    store = Interactions(f"sqlite:///{path}")
    assert await store.prepare() == (None, "0002")
    assert await store.of_user("ada") == [Interaction("a", 4.5, 100), Interaction("b", 1.0, 0, "view")]
    assert await store.record([("ada", Interaction("a", 1.0, 100)), ("ada", Interaction("c"))]) == 1
    await store.close()
    with sync_engine(f"sqlite:///{path}").connect() as opened:
        assert compare_metadata(MigrationContext.configure(opened), METADATA) == []


def _migrate(url: str) -> tuple[str | None, str | None]:
    return migrate(url_of(url))


def test_processes_that_start_together_migrate_once(database_url: str) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        found = pool.map(_migrate, [database_url] * 4)
    assert sorted(before is None for before, _ in found) == [False, False, False, True]
    assert {after for _, after in found} == {"0002"}


def test_a_migration_that_fails_leaves_nothing_behind(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic.op import create_table as real

    def failing(*args: object, **kwargs: object) -> None:
        real(*args, **kwargs)  # type: ignore[arg-type]
        raise OSError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr("alembic.op.create_table", failing)
        with pytest.raises(OSError, match="power"):
            migrate(url_of(database_url))
    with sync_engine(database_url).connect() as connection:
        assert sa.inspect(connection).get_table_names() == []
    assert migrate(url_of(database_url)) == (None, "0002")


def test_a_database_of_a_newer_longtail_is_refused(database_url: str) -> None:
    migrate(url_of(database_url))
    with sync_engine(database_url).begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseInvalid, match=r"9999.*newer"):
        migrate(url_of(database_url))


def test_somebody_elses_table_is_left_alone(database_url: str) -> None:
    with sync_engine(database_url).begin() as connection:
        connection.execute(sa.text("CREATE TABLE interactions (id INTEGER, what VARCHAR(9))"))
    with pytest.raises(DatabaseInvalid, match="id, what"):
        migrate(url_of(database_url))
    with sync_engine(database_url).connect() as connection:
        assert sa.inspect(connection).get_table_names() == ["interactions"]


def test_a_table_that_takes_an_event_twice_is_left_alone(database_url: str) -> None:
    statements = [each for each in BEFORE_MIGRATIONS.split(";") if each.strip()]
    create, event = statements[0], "user_id, item_id, kind, timestamp"
    assert f"UNIQUE ({event})" in create
    with sync_engine(database_url).begin() as connection:
        # Of a part of the event, of more than the event, and an index that is not unique.
        connection.execute(sa.text(create.replace(f"UNIQUE ({event})", f"UNIQUE (user_id), UNIQUE ({event}, weight)")))
        connection.execute(sa.text(f"CREATE INDEX events ON interactions ({event})"))
    with pytest.raises(DatabaseInvalid, match=r"unique constraint over item_id, kind, timestamp, user_id.*add"):
        migrate(url_of(database_url))
    with sync_engine(database_url).begin() as connection:
        assert sa.inspect(connection).get_table_names() == ["interactions"]
        connection.execute(sa.text(f"CREATE UNIQUE INDEX one_event ON interactions ({event})"))
    assert migrate(url_of(database_url)) == (None, "0002")


@pytest.mark.parametrize("url", ["mysql://u@host/x", "postgresql+asyncpg://u@host/x", "no url", ""])
def test_a_url_of_another_kind_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsInvalid, match="LONGTAIL_DATABASE_URL: expected") as refused:
        url_of(url)
    assert "host" not in str(refused.value).partition("got")[2]


def test_a_password_is_in_no_message() -> None:
    url = f"postgresql://ada:s3cret@127.0.0.1:{free_port()}/x"
    with pytest.raises(DatabaseUnavailable) as away:
        migrate(url_of(url))
    assert "s3cret" not in str(away.value)
