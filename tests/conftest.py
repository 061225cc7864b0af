"""Databases for every room: `db` and `database_url` run a test on SQLite and on PostgreSQL, each empty and migrated."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from store.session import Database
from tests.databases import PostgreSQL, migrate, postgresql


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgreSQL]:
    with postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_template(postgres: PostgreSQL) -> Iterator[str]:
    with postgres.database() as url:
        migrate(url)
        yield str(make_url(url).database)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(f"sqlite:///{file}")
    return file


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """An empty, migrated SQLite database."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'relance.db')}"


@pytest.fixture
def postgresql_url(postgres: PostgreSQL, postgresql_template: str) -> Iterator[str]:
    """An empty, migrated PostgreSQL database."""
    with postgres.database(template=postgresql_template) as url:
        yield url


@pytest.fixture(params=["sqlite_url", "postgresql_url"], ids=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param)


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    with Database.connect(database_url) as db:
        yield db
