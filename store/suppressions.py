"""Addresses that nothing is sent to any more, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum

from sqlalchemy import delete, select

from store import audit
from store.audit import NewEntry
from store.dialects import among, insert
from store.session import Database
from store.tables import AnyRow, suppressions


class Why(StrEnum):
    BOUNCED = "bounced"  # the address does not exist
    COMPLAINT = "complaint"  # the reader marked a mail as unwanted
    UNSUBSCRIBED = "unsubscribed"  # the reader asked for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """`address` in lower case; `detail`: what the other side said; `delivery`: the one that told."""

    address: str
    reason: Why
    detail: str | None = None
    since: datetime
    delivery: int | None = None


def add(db: Database, suppression: Suppression, *, source: str) -> bool:
    """False: it was suppressed before, and what was said then stays, unless a reader says it after a server did.

    `source`: who says it, as the audit names it.
    """
    row = {name: getattr(suppression, name) for name in NAMES} | {"address": suppression.address.casefold()}
    with db.begin() as connection:
        into = insert(connection, suppressions)
        said_by_a_reader = into.on_conflict_do_update(
            index_elements=["address"],
            set_=dict(into.excluded),
            where=(suppressions.c.reason == Why.BOUNCED) & (into.excluded.reason != Why.BOUNCED),
        )
        added = connection.scalar(said_by_a_reader.returning(suppressions.c.address), row) is not None
        if added:
            why = {"reason": suppression.reason.value, "detail": suppression.detail, "delivery": suppression.delivery}
            entry = NewEntry(action="suppression.added", kind="suppression", subject=row["address"], after=why)
            audit.note(connection, [entry], source=source, at=suppression.since)
        return added


def lift(db: Database, address: str, *, now: datetime, source: str) -> bool:
    """Send to it again. False: it was not suppressed."""
    gone = delete(suppressions).where(suppressions.c.address == address.casefold()).returning(suppressions.c.reason)
    with db.begin() as connection:
        reason = connection.scalar(gone)
        if reason is not None:
            entry = NewEntry(
                action="suppression.lifted",
                kind="suppression",
                subject=address.casefold(),
                before={"reason": reason},
            )
            audit.note(connection, [entry], source=source, at=now)
        return reason is not None


def of(db: Database, addresses: Iterable[str]) -> dict[str, Suppression]:
    """Those of these addresses that are suppressed, by their lower case."""
    query = select(suppressions).where(among(suppressions.c.address, {a.casefold() for a in addresses}))
    with db.read() as connection:
        rows = connection.execute(query).all()
    return {row.address: _suppression(row) for row in rows}


def listing(db: Database, *, limit: int = 1000) -> list[Suppression]:
    """The latest first."""
    query = select(suppressions).order_by(suppressions.c.since.desc(), suppressions.c.address).limit(limit)
    with db.read() as connection:
        return [_suppression(row) for row in connection.execute(query)]


NAMES = tuple(field.name for field in fields(Suppression))


def _suppression(row: AnyRow) -> Suppression:
    return Suppression(
        address=row.address, reason=Why(row.reason), detail=row.detail, since=row.since, delivery=row.delivery
    )
