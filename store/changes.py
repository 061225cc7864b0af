"""What was written last, by anybody: enough to say that something changed, and about whom.

PostgreSQL numbers a row when it is written, and shows it when its transaction ends: a smaller number may appear after a
larger one. So a window of the last numbers is read each time, and what was seen before is dropped.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from sqlalchemy import Connection, func, select

from domain.event import EventType
from store.session import Database
from store.tables import AnyRow, events, record_history

WINDOW = 2_000  # how many numbers late a row may appear
AT_ONCE_MAX = 1_000  # more than that is said as one thing: everything changed
RECORD_CHANGED = "record.changed"


class Place(NamedTuple):
    """The last numbers that were seen: of events, and of writes of records."""

    event: int = 0
    record: int = 0

    def __str__(self) -> str:
        return f"{self.event}-{self.record}"

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises ValueError."""
        event, record = map(int, text.split("-"))
        return cls(event, record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something changed: a recommendation, or a record by its kind and id."""

    type: str
    customer: str | None
    recommendation: str | None = None
    kind: str | None = None
    id: str | None = None


class TooMany(Exception):
    """So much happened that everything may have changed."""


@dataclass(slots=True, kw_only=True)
class Window:
    """Reads on from where it began."""

    at: Place
    seen_events: set[int] = field(default_factory=set[int])
    seen_records: set[int] = field(default_factory=set[int])

    @classmethod
    def begin(cls, db: Database) -> Window:
        """At what was written last."""
        with db.read() as connection:
            numbers = _last_events(connection), _last_records(connection)
        at = Place(*(max(each, default=0) for each in numbers))
        return cls(at=at, seen_events=numbers[0], seen_records=numbers[1])

    def read(self, db: Database) -> list[Change]:
        """What was not seen yet. Raises `TooMany`, and goes on behind it."""
        before = self.at
        with db.read() as connection:
            happened, written = _last_events(connection), _last_records(connection)
            new_events, new_records = happened - self.seen_events, written - self.seen_records
            self.seen_events, self.seen_records = happened, written
            self.at = Place(max(happened, default=0), max(written, default=0))
            skipped = max(now - was for now, was in zip(self.at, before, strict=True))
            if max(skipped, len(new_events) + len(new_records)) > AT_ONCE_MAX:
                raise TooMany
            return _changes(connection, new_events, new_records)


def between(db: Database, after: Place, until: Place) -> list[Change]:
    """What was written after a place, up to another. Raises `TooMany`."""
    with db.read() as connection:
        happened = connection.scalars(
            select(events.c.seq).where(events.c.seq > after.event, events.c.seq <= until.event).limit(AT_ONCE_MAX + 1)
        ).all()
        written = connection.scalars(
            select(record_history.c.seq)
            .where(record_history.c.seq > after.record, record_history.c.seq <= until.record)
            .limit(AT_ONCE_MAX + 1)
        ).all()
        if len(happened) + len(written) > AT_ONCE_MAX:
            raise TooMany
        return _changes(connection, happened, written)


def _last_events(connection: Connection) -> set[int]:
    last = select(func.max(events.c.seq)).scalar_subquery()
    return set(connection.scalars(select(events.c.seq).where(events.c.seq > last - WINDOW)))


def _last_records(connection: Connection) -> set[int]:
    last = select(func.max(record_history.c.seq)).scalar_subquery()
    return set(connection.scalars(select(record_history.c.seq).where(record_history.c.seq > last - WINDOW)))


def _changes(connection: Connection, happened: Collection[int], written: Collection[int]) -> list[Change]:
    """Writes of records first: events follow from them. Each record once."""
    found: dict[Change, None] = {}
    if written:
        rows = connection.execute(
            select(record_history).where(record_history.c.seq.in_(written)).order_by(record_history.c.seq)
        )
        found |= dict.fromkeys(_written(row) for row in rows)
    if happened:
        rows = connection.execute(
            select(events).where(events.c.seq.in_(happened), events.c.type != EventType.TEST).order_by(events.c.seq)
        )
        found |= dict.fromkeys(_happened(row) for row in rows)
    return list(found)


def _written(row: AnyRow) -> Change:
    return Change(type=RECORD_CHANGED, customer=row.dossier, kind=row.kind, id=row.id)


def _happened(row: AnyRow) -> Change:
    return Change(type=row.type, customer=row.customer, recommendation=row.recommendation)
