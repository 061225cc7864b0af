"""The audit: every write, by whom, when, and what was before and after.

An entry is written in the transaction of the write it tells of, and never changed: the database refuses to. It can only
be emptied, when somebody is forgotten. That nobody did otherwise is what `store.chain` shows.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from store.dialects import insert_many
from store.session import Database
from store.tables import AnyRow, audit, audit_chain

SALT_BYTES = 12
COLUMNS = ("action", "kind", "subject", "dossier", "before", "after", "salt")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry:
    """What was done to what: `action` is "record.changed", say, `kind` and `subject` name what it was done to.

    `before` and `after` hold what differs, as JSON; None: it was not there, or is no longer. `dossier`: the customer
    whose data this is.
    """

    action: str
    kind: str
    subject: str
    dossier: str | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """As it stands in the audit. `sealed`: the chain has it. `erased_at`: since when it is empty."""

    seq: int
    at: datetime
    action: str
    source: str | None
    kind: str | None
    subject: str | None
    customer: str | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    trace: str | None
    sealed: bool
    erased_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which entries are asked for; None: any. From `since` on, and before `until`."""

    kind: str | None = None
    subject: str | None = None
    customer: str | None = None
    source: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def listing(db: Database, wanted: Wanted, *, before: int | None = None, limit: int) -> list[Entry]:
    """The latest entries first, as they were written. `before`: the number of the last one of the page before."""
    query = (
        select(audit, audit_chain.c.position)
        .join_from(audit, audit_chain, audit_chain.c.entry == audit.c.seq, isouter=True)
        .where(*_conditions(wanted))
        .order_by(audit.c.seq.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(audit.c.seq < before)
    with db.read() as connection:
        return [_entry(row) for row in connection.execute(query)]


def _conditions(wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    exact = {
        audit.c.kind: wanted.kind,
        audit.c.subject: wanted.subject,
        audit.c.dossier: wanted.customer,
        audit.c.source: wanted.source,
        audit.c.action: wanted.action,
    }
    yield from (column == value for column, value in exact.items() if value is not None)
    if wanted.since is not None:
        yield audit.c.at >= wanted.since
    if wanted.until is not None:
        yield audit.c.at < wanted.until


def note(
    connection: Connection, entries: Collection[NewEntry], *, source: str, at: datetime, trace: str | None = None
) -> None:
    """Write down what this transaction does. `source`: who does it, as "user:u1", "token:t7" or "import:FILE"."""
    rows = [
        (
            entry.action,
            entry.kind,
            entry.subject,
            entry.dossier,
            _json(entry.before),
            _json(entry.after),
            secrets.token_hex(SALT_BYTES),
        )
        for entry in entries
    ]
    if rows:
        insert_many(connection, audit, COLUMNS, rows, same={"source": source, "at": at, "trace": trace})


def differing(
    before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    """What differs between two states, on each side. A state that is None stays so: the other is given whole."""
    if before is None or after is None:
        return before, after
    names = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return {n: before[n] for n in names if n in before}, {n: after[n] for n in names if n in after}


def _json(state: Mapping[str, Any] | None) -> str | None:
    return None if state is None else json.dumps(state, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _entry(row: AnyRow) -> Entry:
    return Entry(
        seq=row.seq,
        at=row.at,
        action=row.action,
        source=row.source,
        kind=row.kind,
        subject=row.subject,
        customer=row.dossier,
        before=row.before and json.loads(row.before),
        after=row.after and json.loads(row.after),
        trace=row.trace,
        sealed=row.position is not None,
        erased_at=row.erased_at,
    )
