"""What is not kept for ever: each kind of data for so many days, and then it goes, a little at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Delete, Update, delete, exists, or_, select, tuple_, update

from domain.delivery import DeliveryState
from domain.recommendation import State
from domain.record import RecordRef
from domain.retention import Keep
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


# --- each in batches; yields how many rows went in each ---


def _attempts(db: Database, before: datetime, _: datetime) -> Iterator[int]:
    old = select(webhook_attempts.c.id).where(webhook_attempts.c.at < before).order_by(webhook_attempts.c.at)
    while count := _run(db, delete(webhook_attempts).where(webhook_attempts.c.id.in_(old.limit(BATCH)))):
        yield count


def _events(db: Database, before: datetime, _: datetime) -> Iterator[int]:
    """With their deliveries, unless one is not settled yet, or was again since."""
    under_way = or_(webhook_deliveries.c.settled_at.is_(None), webhook_deliveries.c.settled_at >= before)
    wanted = exists().where(webhook_deliveries.c.event == events.c.seq, under_way)
    old = select(events.c.seq).where(events.c.at < before, ~wanted).order_by(events.c.at).limit(BATCH)
    while True:
        with db.begin() as connection:
            gone = connection.scalars(old).all()
            theirs = select(webhook_deliveries.c.id).where(webhook_deliveries.c.event.in_(gone), ~under_way)
            ids = connection.scalars(theirs.with_for_update()).all()
            connection.execute(delete(webhook_attempts).where(webhook_attempts.c.delivery.in_(ids)))
            connection.execute(delete(webhook_deliveries).where(webhook_deliveries.c.id.in_(ids)))
            left = exists().where(webhook_deliveries.c.event == events.c.seq)
            count = connection.execute(delete(events).where(events.c.seq.in_(gone), ~left)).rowcount
        if count == 0:
            return
        yield count


def _bodies(db: Database, before: datetime, _: datetime) -> Iterator[int]:
    """Of what is settled: the delivery itself stays."""
    old = (
        select(outbox.c.id)
        .where(outbox.c.body.is_not(None), outbox.c.due_at < before, outbox.c.state.in_(SETTLED))
        .order_by(outbox.c.due_at)
        .limit(BATCH)
    )
    while count := _run(db, update(outbox).where(outbox.c.id.in_(old)).values(body=None)):
        yield count


def _history(db: Database, before: datetime, _: datetime) -> Iterator[int]:
    """Versions that were replaced so long ago, and before the last evaluation: the next one begins there."""
    later = record_history.alias()
    replaced = exists().where(
        later.c.dossier == record_history.c.dossier,
        later.c.kind == record_history.c.kind,
        later.c.id == record_history.c.id,
        tuple_(later.c.recorded_at, later.c.seq) > tuple_(record_history.c.recorded_at, record_history.c.seq),
        later.c.recorded_at < before,
        customers.c.id == later.c.dossier,
        later.c.recorded_at <= customers.c.evaluated_at,
    )
    last = 0
    while True:
        page = select(record_history).where(record_history.c.seq > last).order_by(record_history.c.seq).limit(BATCH)
        with db.read() as connection:
            rows = connection.execute(page).all()
        if all(row.recorded_at >= before for row in rows):
            return
        these = (record_history.c.seq > last, record_history.c.seq <= rows[-1].seq)
        yield _run(db, delete(record_history).where(*these, replaced))
        last = rows[-1].seq


def _recommendations(db: Database, before: datetime, _: datetime) -> Iterator[int]:
    """Those whose episode is over, with what was sent about them."""
    old = (
        select(recommendations.c.id)
        .where(
            recommendations.c.state.in_((State.DONE, State.DISMISSED, State.RESOLVED)),
            recommendations.c.ended_at < before,
            recommendations.c.opened_at < before,  # which it is found by
        )
        .order_by(recommendations.c.opened_at)
        .limit(BATCH)
    )
    while True:
        with db.begin() as connection:
            gone = connection.scalars(old).all()
            for table in (followups, outbox, digest_items):
                connection.execute(delete(table).where(table.c.recommendation.in_(gone)))
            connection.execute(delete(recommendations).where(recommendations.c.id.in_(gone)))
        if not gone:
            return
        yield len(gone)


def _records(kind: str, db: Database, before: datetime, now: datetime) -> Iterator[int]:
    """As if somebody deleted them: it is audited, and their customers are looked at again."""
    last = ""
    while True:
        old = (
            select(records.c.id)
            .where(records.c.kind == kind, records.c.id > last, records.c.updated_at < before)
            .order_by(records.c.id)
            .limit(BATCH)
        )
        with db.read() as connection:
            ids = connection.scalars(old).all()
        if not ids:
            return
        dossiers.delete(db, [RecordRef(kind=kind, id=id_) for id_ in ids], now=now, source=SOURCE)
        yield len(ids)
        last = ids[-1]


def _run(db: Database, statement: Delete | Update) -> int:
    with db.begin() as connection:
        return connection.execute(statement).rowcount
