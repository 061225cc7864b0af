"""How far behind everything is, in numbers that are cheap to read however much there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select, text

from domain.delivery import DeliveryState
from store import chain
from store.outbox import QUEUED, READY
from store.session import Database
from store.tables import UNDERWAY, customers, outbox, subscriptions, webhook_deliveries

COUNTED = 100_000  # more of a thing is counted as so many
SUBSCRIPTIONS = 1000
WEBHOOK_READY = text("state = 'ready'")  # in the words of its index
HELD = (DeliveryState.LEASED, DeliveryState.SENDING, DeliveryState.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """How many wait, at most `COUNTED`, and since when the first of them could go. None: there is none."""

    depth: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """`deliveries` by state. `breakers`: by subscription, whether everything to it is held back.

    `unsealed_since`: when the first entry of the audit was written that its chain does not cover.
    """

    customers: Queue
    deliveries: Mapping[str, Queue]
    webhooks: Queue
    breakers: Mapping[str, bool]
    unsealed_since: datetime | None


def read(db: Database, *, now: datetime) -> Vitals:
    with db.read() as connection:
        due = _queue(connection, select(customers.c.check_at).where(customers.c.check_at <= now))
        deliveries = {
            DeliveryState.QUEUED.value: _queue(connection, select(outbox.c.due_at).where(QUEUED)),
            DeliveryState.READY.value: _queue(connection, select(outbox.c.due_at).where(READY)),
            **_held(connection),
        }
        webhooks = _queue(connection, select(webhook_deliveries.c.due_at).where(WEBHOOK_READY))
        breakers = _breakers(connection, now)
    return Vitals(
        customers=due,
        deliveries=deliveries,
        webhooks=webhooks,
        breakers=breakers,
        unsealed_since=chain.oldest_unsealed(db),
    )


def _queue(connection: Connection, moments: Select[Any]) -> Queue:
    """Of a query for the moments at which each could go; it goes by an index over them."""
    (moment,) = moments.selected_columns
    depth = connection.scalars(select(func.count()).select_from(moments.limit(COUNTED).subquery())).one()
    return Queue(depth=depth, oldest=connection.scalar(moments.order_by(moment).limit(1)))


def _held(connection: Connection) -> dict[str, Queue]:
    """What is on its way, or may have arrived."""
    held = select(outbox.c.state, outbox.c.due_at).where(UNDERWAY, outbox.c.state.in_(HELD)).limit(COUNTED).subquery()
    counted = select(held.c.state, func.count().label("depth"), func.min(held.c.due_at).label("oldest"))
    found = {row.state: row for row in connection.execute(counted.group_by(held.c.state))}
    none = Queue(depth=0, oldest=None)
    return {s.value: Queue(depth=found[s].depth, oldest=found[s].oldest) if s in found else none for s in HELD}


def _breakers(connection: Connection, now: datetime) -> dict[str, bool]:
    rows = connection.execute(
        select(subscriptions.c.id, subscriptions.c.open_until)
        .where(subscriptions.c.disabled_at.is_(None))
        .order_by(subscriptions.c.id)
        .limit(SUBSCRIPTIONS)
    )
    return {row.id: row.open_until is not None and row.open_until > now for row in rows}
