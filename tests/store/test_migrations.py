from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from store import migrations
from store.session import Database
from store.tables import metadata
from tests.databases import PostgreSQL


@pytest.fixture
def empty_postgresql(postgres: PostgreSQL) -> Iterator[str]:
    with postgres.database() as url:
        yield url


@pytest.fixture
def empty_sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'empty.db'}"


@pytest.fixture(params=["empty_sqlite", "empty_postgresql"])
def empty(request: pytest.FixtureRequest) -> Iterator[Database]:
    with Database.connect(request.getfixturevalue(request.param)) as db:
        yield db


def test_the_migrations_build_exactly_the_tables_the_program_uses(db: Database) -> None:
    with db.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_an_empty_database_says_how_to_make_its_tables(empty: Database) -> None:
    with pytest.raises(migrations.SchemaOutdated, match=r"has no tables yet\. Run: relance db upgrade"):
        migrations.check_schema(empty)

    migrations.upgrade(empty)

    migrations.check_schema(empty)
    assert migrations.current(empty) == migrations.head()


def test_upgrading_twice_changes_nothing(db: Database) -> None:
    migrations.upgrade(db)
    assert migrations.current(db) == migrations.head()


def test_several_programs_may_upgrade_at_once(empty: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        for upgraded in [pool.submit(migrations.upgrade, empty) for _ in range(4)]:
            upgraded.result()
    assert migrations.current(empty) == migrations.head()


def test_an_older_program_refuses_a_newer_database(db: Database) -> None:
    with db.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'zukunft'")
    with pytest.raises(migrations.SchemaOutdated, match="written by a newer Relance"):
        migrations.check_schema(db)
