"""Which customers are due, who works on them, and which could not be evaluated."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, literal, or_, select, update

from store.dialects import among, insert
from store.session import Database
from store.tables import INSTANT, AnyRow, customers


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A customer leased to one worker, as it stood then. `evaluated_at` and `rulebase` are the last evaluation's.

    `trace` names the last write, where one made the customer due.
    """

    dossier: str
    version: int
    owner: str
    evaluated_at: datetime | None
    rulebase: str | None
    trace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A customer that could not be evaluated, and when that is tried again."""

    dossier: str
    reason: str
    failed_at: datetime
    retry_at: datetime


def claim(db: Database, *, now: datetime, limit: int, owner: str, lease_s: float) -> list[Claim]:
    """Lease due customers, the earliest first. Nobody else gets them until they are released or the lease ends."""
    due = (
        select(customers.c.id)
        .where(customers.c.check_at <= now, or_(customers.c.lease_until.is_(None), customers.c.lease_until <= now))
        .order_by(customers.c.check_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    lease = (
        update(customers)
        .where(customers.c.id.in_(due))
        .values(lease_owner=owner, lease_until=now + timedelta(seconds=lease_s))
        .returning(customers)
    )
    with db.begin() as connection:
        rows = sorted(connection.execute(lease), key=lambda row: (row.check_at, row.id))
    return [
        Claim(
            dossier=r.id,
            version=r.version,
            owner=owner,
            evaluated_at=r.evaluated_at,
            rulebase=r.rulebase,
            trace=r.trace,
        )
        for r in rows
    ]


def release(db: Database, *, owner: str) -> None:
    """Give back everything that this worker has leased."""
    with db.begin() as connection:
        connection.execute(
            update(customers)
            .where(customers.c.lease_until.is_not(None), customers.c.lease_owner == owner)
            .values(lease_owner=None, lease_until=None)
        )


def quarantine(db: Database, claim: Claim, *, reason: str, now: datetime, until: datetime) -> None:
    """Put a customer that could not be evaluated aside. If someone wrote it meanwhile, it is due again at once."""
    with db.begin() as connection:
        if claim.dossier in settle(connection, [claim]):
            connection.execute(
                update(customers)
                .where(customers.c.id == claim.dossier)
                .values(failed_reason=reason, failed_at=now, check_at=until)
            )


def failed(db: Database, *, limit: int = 1000) -> list[Failure]:
    """The customers whose last evaluation failed, the latest first."""
    with db.read() as connection:
        rows = connection.execute(
            select(customers)
            .where(customers.c.failed_at.is_not(None))
            .order_by(customers.c.failed_at.desc(), customers.c.id)
            .limit(limit)
        )
        return [
            Failure(dossier=row.id, reason=row.failed_reason, failed_at=row.failed_at, retry_at=row.check_at)
            for row in rows
        ]


def due_count(db: Database, *, now: datetime) -> int:
    """How many customers are due, those being evaluated included."""
    with db.read() as connection:
        return connection.scalars(select(func.count()).where(customers.c.check_at <= now)).one()


def next_due(db: Database) -> datetime | None:
    """When `claim` will next find one: a customer becomes due, or the lease of one that was due ends."""
    free = select(func.min(customers.c.check_at)).where(
        customers.c.check_at.is_not(None), customers.c.lease_until.is_(None)
    )
    leased = select(func.min(customers.c.lease_until)).where(customers.c.lease_until.is_not(None))
    with db.read() as connection:
        moments = (connection.scalar(free), connection.scalar(leased))
    return min((moment for moment in moments if moment is not None), default=None)


# --- inside the transactions of others ---


def wake(connection: Connection, dossiers: Collection[str], *, now: datetime, trace: str | None = None) -> None:
    """These customers changed: due at once, and an evaluation under way must be repeated.

    `trace` names the write in logs, until the customer is evaluated.
    """
    _locked(connection, dossiers)
    set_ = woken(now) | ({"trace": trace} if trace else {})
    due = insert(connection, customers).on_conflict_do_update(index_elements=["id"], set_=set_)
    connection.execute(due, [{"id": id_, "version": 1, "check_at": now, "trace": trace} for id_ in sorted(dossiers)])


def woken(now: datetime) -> dict[str, ColumnElement[Any]]:
    """The columns of a customer that is woken."""
    earlier = case((customers.c.check_at < now, customers.c.check_at), else_=literal(now, INSTANT))
    return {"version": customers.c.version + 1, "check_at": earlier}


def settle(connection: Connection, claims: Collection[Claim]) -> set[str]:
    """End the leases of these claims, and say of whom the decision still stands.

    It does not stand where someone wrote the customer since, nor where the lease had ended and passed to another.
    """
    rows = _locked(connection, [claim.dossier for claim in claims])
    ours = [claim for claim in claims if claim.dossier in rows and rows[claim.dossier].lease_owner == claim.owner]
    connection.execute(
        update(customers)
        .where(among(customers.c.id, [claim.dossier for claim in ours]))
        .values(lease_owner=None, lease_until=None)
    )
    return {claim.dossier for claim in ours if rows[claim.dossier].version == claim.version}


def _locked(connection: Connection, dossiers: Collection[str]) -> dict[str, AnyRow]:
    """These customers' rows, held until the transaction ends. Always in one order, so that two never wait in a ring."""
    rows = connection.execute(
        select(customers.c.id, customers.c.version, customers.c.lease_owner)
        .where(among(customers.c.id, dossiers))
        .order_by(customers.c.id)
        .with_for_update()
    )
    return {row.id: row for row in rows}
