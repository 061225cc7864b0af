"""Empty, migrated databases in temporary places: SQLite, and a PostgreSQL that is started for it."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from tempfile import TemporaryDirectory

from store.session import Database
from tests.databases import migrate, postgresql


def databases() -> Generator[tuple[str, Database]]:
    """(its name, the database), one after the other, each gone when the next is asked for."""
    with (
        TemporaryDirectory(prefix="relance-bench-") as folder,
        Database.connect(migrate(f"sqlite:///{Path(folder) / 'bench.db'}")) as db,
    ):
        yield "SQLite", db
    with postgresql() as server, server.database() as url, Database.connect(migrate(url)) as db:
        yield "PostgreSQL", db
