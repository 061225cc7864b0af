"""What happened: written once, in the transaction of what it tells of, with a delivery for each subscription."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Connection, select

from domain.event import Event, EventType, NewEvent
from store.dialects import insert
from store.tables import AnyRow, events, subscriptions, webhook_deliveries

READY = "ready"  # the state of a delivery that waits for its time


def emit(connection: Connection, happened: Collection[NewEvent]) -> None:
    """Write events down, and queue each for those who subscribe to it. One that is known already is passed over."""
    if not happened:
        return
    rows = {_id(event): _row(event) for event in happened}
    into = insert(connection, events).on_conflict_do_nothing().returning(events)
    written = [from_row(row) for row in connection.execute(into, list(rows.values()))]
    wanted = connection.execute(select(subscriptions).where(subscriptions.c.disabled_at.is_(None))).all()
    deliveries = [_delivery(subscription, event) for subscription in wanted for event in _of(subscription, written)]
    if deliveries:
        connection.execute(insert(connection, webhook_deliveries), deliveries)


def _of(subscription: AnyRow, written: Iterable[Event]) -> Iterable[Event]:
    """Those that a subscription asks for. An empty list asks for all."""
    types, tags, teams, products = (
        frozenset(json.loads(text))
        for text in (subscription.types, subscription.tags, subscription.teams, subscription.products)
    )
    for event in written:
        if (
            (not types or event.type in types)
            and (not tags or tags.intersection(event.tags))
            and (not teams or event.team in teams)
            and (not products or event.product in products)
        ):
            yield event


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


def _delivery(subscription: AnyRow, event: Event) -> dict[str, Any]:
    return {
        "subscription": subscription.id,
        "event": event.seq,
        "customer": event.customer,
        "state": READY,
        "due_at": event.at,
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
