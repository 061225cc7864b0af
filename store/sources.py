"""Foreign databases: how far each was read, and the one place that connects to one."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import URL, CursorResult, create_engine, make_url, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from store.dialects import insert
from store.session import Database
from store.tables import AnyRow, sources

PAGE = 1000  # rows that are fetched at once

Cell: TypeAlias = object
"""What a mapping reads: text, yes and no, numbers without loss; dates in ISO 8601; JSON as it is."""


class SourceUnavailable(Exception):
    """A foreign database cannot be read; the message says why, and holds no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a source was read. `rows`, `rejected` and `error` are of the last time."""

    name: str
    watermark: str | None
    ran_at: datetime
    rows: int
    rejected: int
    error: str | None


def progress(db: Database) -> dict[str, Progress]:
    """Of every source that was ever read, by name."""
    with db.read() as connection:
        return {row.name: _progress(row) for row in connection.execute(select(sources))}


def ran(db: Database, name: str, *, watermark: str | None, rows: int, rejected: int, now: datetime) -> None:
    """A source was read to its end. `watermark`: None, it stays."""
    _save(db, name, {"rows": rows, "rejected": rejected, "error": None} | _moved(watermark), now=now)


def failed(db: Database, name: str, *, error: str, now: datetime) -> None:
    """A source could not be read: the next time begins where this one did."""
    _save(db, name, {"rows": 0, "rejected": 0, "error": error}, now=now)


def _moved(watermark: str | None) -> dict[str, Any]:
    return {} if watermark is None else {"watermark": watermark}


def _save(db: Database, name: str, said: Mapping[str, Any], *, now: datetime) -> None:
    changed = {**said, "ran_at": now}
    with db.begin() as connection:
        into = insert(connection, sources).values(name=name, **changed)
        connection.execute(into.on_conflict_do_update(index_elements=["name"], set_=changed))


def _progress(row: AnyRow) -> Progress:
    return Progress(**{name: getattr(row, name) for name in Progress.__slots__})


# --- reading ---


class Reading:
    """The rows of a query, once, as they stream in. `watermark` is the highest value of its column so far, as text."""

    def __init__(self, url: URL, result: CursorResult[Any], *, watermark: str | None) -> None:
        self.columns = list(result.keys())
        self.watermark: str | None = None
        self._url, self._result, self._column = url, result, watermark
        if watermark is not None and watermark not in self.columns:
            raise SourceUnavailable(f'the query gives no column "{watermark}", which is to be the watermark')

    def __iter__(self) -> Iterator[dict[str, Cell]]:
        highest: Any = None
        with _explained(self._url):
            for row in self._result.mappings():
                mark = row[self._column] if self._column else None
                if mark is not None and (highest is None or mark > highest):
                    highest = mark
                yield {name: cell(value) for name, value in row.items()}
        self.watermark = None if highest is None else _encoded(highest)


@contextmanager
def reading(url: str, query: str, *, watermark: str | None, since: str | None) -> Generator[Reading]:
    """The rows of a query over any database that SQLAlchemy knows. Raises `SourceUnavailable`, also while it is read.

    `watermark`: the column by which rows are known to be new, and `since` where it stood; `:watermark` stands for it in
    the query, NULL at the first time.
    """
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):
        raise SourceUnavailable("the url cannot be read: write one like postgresql+psycopg://USER@HOST/NAME") from None
    given = {"watermark": None if since is None else _decoded(since)} if watermark else {}
    with _explained(parsed):
        engine = create_engine(parsed)
    try:
        with _explained(parsed):
            connection = engine.connect().execution_options(yield_per=PAGE)
        with connection:
            with _explained(parsed):
                result = connection.execute(text(query), given)
            with result:
                yield Reading(parsed, result, watermark=watermark)
    finally:
        engine.dispose()


@contextmanager
def _explained(url: URL) -> Generator[None]:
    try:
        yield
    except ModuleNotFoundError as missing:
        raise SourceUnavailable(f"the driver {missing.name} is not installed") from None
    except SQLAlchemyError as failure:
        said = str(failure.orig) if isinstance(failure, DBAPIError) else str(failure)
        for secret in filter(None, (url.password, url.render_as_string(hide_password=False))):
            said = said.replace(secret, "***")
        raise SourceUnavailable(" ".join(said.split())) from None


# --- values ---

CELLS: Mapping[type, Callable[[Any], Cell]] = {
    datetime: datetime.isoformat,
    date: date.isoformat,
    time: time.isoformat,
    float: lambda number: Decimal(repr(number)),
    UUID: str,
}


def cell(value: Any) -> Cell:
    return CELLS.get(type(value), lambda same: same)(value)


# How a watermark is kept, by the type that the database gives: compared with text, a number or a moment may fail.
KEPT: Mapping[str, tuple[type, Callable[[str], Any]]] = {
    "datetime": (datetime, datetime.fromisoformat),
    "date": (date, date.fromisoformat),
    "decimal": (Decimal, Decimal),
    "int": (int, int),
    "float": (float, float),
    "text": (str, str),
}


def _encoded(value: Any) -> str:
    name = next((name for name, (type_, _) in KEPT.items() if isinstance(value, type_)), None)
    if name is None:
        raise SourceUnavailable(f"a watermark is a number, a text, a date or a moment, not {type(value).__name__}")
    return json.dumps({name: value.isoformat() if isinstance(value, date) else str(value)})


def _decoded(watermark: str) -> Any:
    ((name, said),) = json.loads(watermark).items()
    return KEPT[name][1](said)
