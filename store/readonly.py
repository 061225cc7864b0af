"""A database that cannot be written: the connection itself refuses, whatever runs over it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, event

from store.migrations import check_schema
from store.session import Database, StoreUnavailable


def connect_read_only(url: str) -> Database:
    """As `Database.connect`, but every write fails. Raises `StoreUnavailable` where there is no SQLite file."""
    db = Database.connect(url)
    parsed = db.engine.url
    if parsed.get_backend_name() == "sqlite":
        file = parsed.database or ""
        if not Path(file).is_file():
            raise StoreUnavailable(f"There is no database {db}. Run: relance db upgrade")
        read_only = parsed.set(database=f"file:{quote(file)}").update_query_dict({"mode": "ro", "uri": "true"})
        return Database.connect(read_only.render_as_string(hide_password=False))
    event.listen(db.engine, "begin", _read_only)
    return db


def open_read_only(url: str) -> Database:
    """The store, through connections that cannot write, with its schema as this version needs it.

    Raises ValueError where the address cannot be read, `StoreUnavailable`, `SchemaOutdated`.
    """
    store = connect_read_only(url)
    try:
        check_schema(store)
    except Exception:
        store.close()
        raise
    return store


def _read_only(connection: Connection) -> None:
    """The first statement of every transaction, those included that ask to write."""
    connection.exec_driver_sql("SET TRANSACTION READ ONLY")
