"""What is not kept for ever: each kind of data for so many days, and then it goes, a little at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Table, and_, delete, exists, or_, select, update

from domain.delivery import DeliveryState
from domain.recommendation import State
from domain.record import RecordRef
from store import dossiers, idempotency
from store.session import Database
from store.tables import (
    customers,
    digest_items,
    events,
    followups,
    outbox,
    recommendations,
    record_history,
    records,
    webhook_attempts,
    webhook_deliveries,
)

BATCH = 500  # rows: keeps one transaction short
SOURCE = "retention"
SETTLED = (
    DeliveryState.SENT,
    DeliveryState.FAILED,
    DeliveryState.DEAD,
    DeliveryState.CANCELLED,
    DeliveryState.GATHERED,
    DeliveryState.UNKNOWN,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """For how many days; None: for ever. `records` by their kind, from when they were last written."""

    webhook_attempts: int | None = 30
    events: int | None = 90
    bodies: int | None = 90
    history: int | None = None
    recommendations: int | None = None
    records: Mapping[str, int] = field(default_factory=dict[str, int])


def sweep(db: Database, keep: Keep, *, now: datetime, stop: Callable[[], bool] = lambda: False) -> Mapping[str, int]:
    """Remove what has been kept long enough; how much of each that there was. `stop` is asked after each batch."""
    idempotency.forget(db, before=now - idempotency.KEPT)
    gone: dict[str, int] = {}
    for name, days, remove in _kinds(keep):
        if days is None:
            continue
        for count in remove(db, now - timedelta(days=days), now):
            gone[name] = gone.get(name, 0) + count
            if stop():
                return gone
    return {name: count for name, count in gone.items() if count}


def _kinds(keep: Keep) -> Iterator[tuple[str, int | None, Callable[[Database, datetime, datetime], Iterator[int]]]]:
    yield "webhook attempts", keep.webhook_attempts, _attempts
    yield "events", keep.events, _events
    yield "bodies of messages", keep.bodies, _bodies
    yield "versions of records", keep.history, _history
    yield "recommendations", keep.recommendations, _recommendations
    for kind, days in keep.records.items():
        yield f"records: {kind}", days, partial(_records, kind)


# --- each in batches; yields how many rows went, and is done after a batch that is not full ---


def _attempts(db: Database, before: datetime, _: datetime) -> Iterator[int]:
    old = select(webhook_attempts.c.id).where(webhook_attempts.c.at < before).order_by(webhook_attempts.c.at)
    yield from _in_batches(lambda: _delete(db, webhook_attempts, old.limit(BATCH)))
