"""What happened: written once, in the transaction of what it tells of, with a delivery for each subscription."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from domain.event import Event, EventType, NewEvent
from domain.subscription import WebhookState
from store import subscriptions
from store.dialects import insert
from store.tables import AnyRow, events, webhook_deliveries


def emit(connection: Connection, happened: Collection[NewEvent]) -> None:
    """Write events down, and queue each for those who subscribe to it. One that is known already is passed over."""
    if not happened:
        return
    written = write(connection, happened)
    deliveries = [
        queued(subscription.id, event, now=event.at)
        for subscription in subscriptions.live(connection)
        for event in written
        if subscription.asks_for(event)
    ]
    if deliveries:
        connection.execute(insert(connection, webhook_deliveries), deliveries)


def write(connection: Connection, happened: Collection[NewEvent]) -> list[Event]:
    """Write events down; those that were not known yet."""
    rows = {_id(event): _row(event) for event in happened}
    into = insert(connection, events).on_conflict_do_nothing().returning(events)
    return [from_row(row) for row in connection.execute(into, list(rows.values()))]


def _id(event: NewEvent) -> str:
    return f"evt_{hashlib.sha256(event.key.encode()).hexdigest()[:24]}"


# --- rows ---


def _row(event: NewEvent) -> dict[str, Any]:
    return {
        "id": _id(event),
        "type": event.type,
        "at": event.at,
        "customer": event.customer,
        "recommendation": event.recommendation,
        "rule": event.rule,
        "tags": json.dumps(event.tags),
        "team": event.team,
        "product": event.product,
        "data": json.dumps(event.data, ensure_ascii=False),
    }


def queued(subscription: str, event: Event, *, now: datetime) -> dict[str, Any]:
    """A delivery as it begins."""
    return {
        "subscription": subscription,
        "event": event.seq,
        "customer": event.customer,
        "state": WebhookState.READY,
        "due_at": now,
        "attempts": 0,
        "fence": 0,
    }


def from_row(row: AnyRow) -> Event:
    return Event(
        id=row.id,
        seq=row.seq,
        type=EventType(row.type),
        at=row.at,
        customer=row.customer,
        recommendation=row.recommendation,
        rule=row.rule,
        tags=tuple(json.loads(row.tags)),
        team=row.team,
        product=row.product,
        data=json.loads(row.data),
    )
