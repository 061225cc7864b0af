"""The same request again gets the same answer: it is stored in the transaction of the write that it tells of."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, update
from sqlalchemy.exc import DBAPIError

from store.dialects import insert
from store.session import Database
from store.tables import AnyRow, idempotency

KEPT = timedelta(hours=24)
UNANSWERED = 0  # the status while the transaction lasts: nobody else ever reads it


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked. `source`: whose key it is; `fingerprint` is the same for the same request."""

    source: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was answered. `replayed`: an earlier time."""

    status: int
    headers: Mapping[str, str]
    body: str
    replayed: bool = field(default=False, compare=False)


class Reused(Exception):
    """The key was used for another request."""


def once(db: Database, request: Request, write: Callable[[Database], Answer], *, now: datetime) -> Answer:
    """The stored answer, or the one that `write` gives over the database it is handed: then both are stored, or none.

    Of two at once the second waits for the first. Where `write` raises, nothing is stored. Raises `Reused`.
    """
    with db.begin() as connection:
        known = _claimed(connection, request, now=now)
        if known.fingerprint != request.fingerprint:
            raise Reused(request.key)
        if known.status != UNANSWERED:
            return Answer(status=known.status, headers=json.loads(known.headers), body=known.body, replayed=True)
        answer = write(_Within(db.engine, connection=connection))
        connection.execute(
            update(idempotency)
            .where(idempotency.c.source == request.source, idempotency.c.key == request.key)
            .values(status=answer.status, headers=json.dumps(dict(answer.headers)), body=answer.body)
        )
        return answer


def forget(db: Database, *, before: datetime) -> None:
    """Forget the answers to requests that came before a moment."""
    with db.begin() as connection:
        connection.execute(delete(idempotency).where(idempotency.c.at < before))


def _claimed(connection: Connection, request: Request, *, now: datetime) -> AnyRow:
    """The row of this key, locked: ours, or the one that was there."""
    row = {"source": request.source, "key": request.key, "fingerprint": request.fingerprint, "at": now}
    claim = insert(connection, idempotency).values(**row, status=UNANSWERED, headers="{}", body="")
    # An update of nothing, as only that waits for the row's writer and then returns what it wrote.
    kept = claim.on_conflict_do_update(index_elements=["source", "key"], set_={"key": request.key})
    return connection.execute(kept.returning(idempotency)).one()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Within(Database):
    """A database whose transactions are parts of one that is open: each is undone by itself if it fails."""

    connection: Connection

    @contextmanager
    def begin(self, *, durable: bool = False) -> Generator[Connection]:
        part = self.connection.begin_nested()
        try:
            yield self.connection
        except DBAPIError:
            raise  # the whole is lost, and SQLite may have ended it already
        except BaseException:
            part.rollback()
            raise
        if part.is_active:  # or whoever used it has undone everything, and is about to say so
            part.commit()

    @contextmanager
    def read(self) -> Generator[Connection]:
        yield self.connection
