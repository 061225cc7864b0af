"""Which job ran for which slot. Several machines tick; the row decides who works."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, func, select

from store.dialects import insert
from store.session import Database
from store.tables import ticks

KEPT = timedelta(days=30)  # longer than any pause to catch up after


def claim_slot(db: Database, job: str, slot: datetime, *, now: datetime) -> bool:
    """Take a job's slot, the moment it was due. False: somebody has it."""
    with db.begin() as connection:
        into = insert(connection, ticks).values(job=job, slot=slot, done_at=now)
        taken = connection.execute(into.on_conflict_do_nothing().returning(ticks.c.slot)).first()
        connection.execute(delete(ticks).where(ticks.c.job == job, ticks.c.slot < slot - KEPT))
        return taken is not None


def last_slot(db: Database, job: str) -> datetime | None:
    """The latest slot that was taken: what came after it is to be caught up with."""
    with db.read() as connection:
        return connection.scalar(select(func.max(ticks.c.slot)).where(ticks.c.job == job))
