"""Connecting, and the two kinds of transaction: `begin` writes, `read` sees one consistent moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

BUSY_TIMEOUT_MS = 5000  # how long a writer waits for another one on SQLite

SQLITE_REASONS: Mapping[int, str] = {
    sqlite3.SQLITE_BUSY: f"another program has kept it locked for {BUSY_TIMEOUT_MS // 1000} s; try again",
    sqlite3.SQLITE_LOCKED: "another connection has locked it; try again",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened; does its folder exist, and may this user write there?",
    sqlite3.SQLITE_PERM: "this user may not open the file",
    sqlite3.SQLITE_READONLY: "the file or its folder is read-only",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_NOTADB: "the file is not a database",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore a backup",
}


class StoreUnavailable(Exception):
    """The database cannot be reached or is locked: nothing was written, and trying again may help."""


@dataclass(frozen=True, slots=True)
class Database:
    """An open database. Closed by `close()` or at the end of a `with`; safe to share between threads."""

    engine: Engine
    turn: Lock = field(default_factory=Lock, repr=False, compare=False)
    """SQLite has one writer. Those of this process wait in line here: its own way is to look again now and then."""

    @classmethod
    def connect(cls, url: str) -> Database:
        """Open `sqlite:///relance.db` or `postgresql+psycopg://user@host/name`. Connects at the first use.

        Raises ValueError for any other URL.
        """
        parsed = _parsed(url)
        if parsed.get_backend_name() == "sqlite":
            # None: the driver leaves BEGIN to us, so that writers can take their lock at once.
            engine = create_engine(parsed, connect_args={"isolation_level": None})
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return cls(engine)
        return cls(create_engine(parsed, pool_pre_ping=True))

    @contextmanager
    def begin(self, *, durable: bool = False) -> Generator[Connection]:
        """A write transaction, committed at the end of the block. Raises `StoreUnavailable`.

        `durable`: on the disk before the block ends, even if the power fails then. PostgreSQL always is.
        """
        synchronous = f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}"
        in_line = self.turn if self.engine.dialect.name == "sqlite" else nullcontext()
        with in_line, self._transaction({"sqlite_begin": (synchronous, "BEGIN IMMEDIATE")}) as connection:
            yield connection

    @contextmanager
    def read(self) -> Generator[Connection]:
        """A read transaction: every statement in it sees the same moment. Raises `StoreUnavailable`."""
        options: dict[str, Any] = {"sqlite_begin": ("BEGIN",)}
        if self.engine.dialect.name == "postgresql":
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._transaction(options) as connection:
            yield connection

    @contextmanager
    def _transaction(self, options: Mapping[str, Any]) -> Generator[Connection]:
        try:
            with self.engine.connect().execution_options(**options) as connection, connection.begin():
                yield connection
        except DBAPIError as error:
            if reason := _why_unavailable(error):
                raise StoreUnavailable(f"The database {self} cannot be used: {reason}") from error
            raise

    def close(self) -> None:
        self.engine.dispose()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __str__(self) -> str:
        """The URL without anything secret."""
        return self.engine.url.set(query={}).render_as_string(hide_password=True)


def _parsed(url: str) -> URL:
    expected = "expected sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        raise ValueError(f"this is not a database URL; {expected}") from None  # the URL may hold a password
    match parsed.get_backend_name():
        case "sqlite":
            return parsed
        case "postgresql":
            return parsed.set(drivername="postgresql+psycopg")
        case other:
            raise ValueError(f"{other} is not a supported database; {expected}")


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "journal_mode=WAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    for statement in connection.get_execution_options()["sqlite_begin"]:
        connection.exec_driver_sql(statement)


def _why_unavailable(error: DBAPIError) -> str | None:
    """The sentence for a database that cannot be used; None where the statement itself is at fault."""
    if isinstance(error.orig, sqlite3.Error):
        return SQLITE_REASONS.get(getattr(error.orig, "sqlite_errorcode", 0) & 0xFF)
    if isinstance(error, OperationalError) or error.connection_invalidated:
        return " ".join(str(error.orig).split())
    return None
