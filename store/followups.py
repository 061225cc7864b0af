"""What is still to come of open recommendations: further reminders and escalations, planned before they are due."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, func, select, update

from domain.delivery import NewDelivery
from domain.event import NewEvent
from domain.followup import FollowUp, FollowUpKind, NewFollowUp
from domain.recommendation import State
from store import events, outbox
from store.dialects import among, insert
from store.session import Database
from store.tables import AnyRow, followups, recommendations

LIMIT = 200  # keeps one round short


def due(db: Database, *, now: datetime, limit: int = LIMIT) -> list[FollowUp]:
    """Those whose time has come, the earliest first. Several workers may get the same: `settle` says whose it is."""
    with db.read() as connection:
        rows = connection.execute(
            select(followups).where(followups.c.due_at <= now).order_by(followups.c.due_at, followups.c.id).limit(limit)
        )
        return [_followup(row) for row in rows]


def settle(
    db: Database,
    followup: FollowUp,
    *,
    deliveries: Sequence[NewDelivery],
    following: Sequence[NewFollowUp],
    told: Sequence[NewEvent] = (),
) -> bool:
    """It has come: queue its deliveries, plan what follows, and tell. False: somebody was faster, or it is unwanted."""
    with db.begin() as connection:
        ours = connection.execute(
            delete(followups).where(followups.c.id == followup.id, followups.c.due_at == followup.due_at)
        )
        if ours.rowcount == 0:
            return False
        outbox.queue(connection, deliveries)
        plan(connection, following)
        events.emit(connection, told)
        return True


def of(db: Database, recommendation: str) -> list[FollowUp]:
    """What is still to come of a recommendation, the earliest first."""
    query = select(followups).where(followups.c.recommendation == recommendation)
    with db.read() as connection:
        return [_followup(row) for row in connection.execute(query.order_by(followups.c.due_at, followups.c.id))]


def overdue(db: Database, *, before: datetime) -> int:
    """How many should have come before a moment and have not."""
    with db.read() as connection:
        return connection.scalars(select(func.count()).where(followups.c.due_at < before)).one()


# --- inside the transactions of others ---


def plan(connection: Connection, planned: Collection[NewFollowUp]) -> None:
    """Plan each step of a recommendation once."""
    wanted = {new.recommendation for new in planned}
    known = set(
        connection.scalars(
            select(recommendations.c.id).where(
                among(recommendations.c.id, wanted), recommendations.c.state == State.OPEN
            )
        )
    )
    rows = [
        {"recommendation": new.recommendation, "kind": new.kind, "step": new.step, "due_at": new.due_at}
        for new in planned
        if new.recommendation in known
    ]
    if rows:
        connection.execute(insert(connection, followups).on_conflict_do_nothing(), rows)


def withdraw(connection: Connection, closed: Collection[str]) -> None:
    """Nothing more is to come of these recommendations."""
    connection.execute(delete(followups).where(among(followups.c.recommendation, closed)))


def put_off(connection: Connection, recommendation: str, *, until: datetime) -> None:
    """Nothing is to come of it before then."""
    connection.execute(
        update(followups)
        .where(followups.c.recommendation == recommendation, followups.c.due_at < until)
        .values(due_at=until)
    )


def _followup(row: AnyRow) -> FollowUp:
    return FollowUp(
        id=row.id,
        recommendation=row.recommendation,
        kind=FollowUpKind(row.kind),
        step=row.step,
        due_at=row.due_at,
    )
