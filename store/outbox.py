"""The outbox: deliveries from queued to settled.

What is queued waits for its time and for the look at its person's wishes (`store.sorting`), which makes it ready. A
claim leases a delivery and raises its fence: whoever held it before can settle nothing any more. `sending` is on the
disk before the first byte leaves, so that a crash leaves `unknown` and never a silent second message. An unknown one is
sent once more, byte for byte, after `RESEND_AFTER`; after that it stays unknown, for a person to look at.

`lease_until` is the moment from which `recover` moves a row on: a lease that ran out, a resend that is due.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Connection, case, exists, func, literal, or_, select, update

from domain.delivery import STUCK, Channel, Delivery, DeliveryState, HeldBack, NewDelivery, Purpose, Receipt, SendError
from domain.event import NewEvent, delivery_failed
from domain.recommendation import State
from store import audit, events
from store.audit import NewEntry
from store.dialects import among, insert
from store.session import Database
from store.tables import INSTANT, AnyRow, digest_items, outbox, people, recommendations
from store.visibility import visible

CLAIM_LIMIT = 50  # what one worker can send within one lease
RESEND_AFTER = timedelta(minutes=10)  # longer than a mail server takes to finish what it had accepted
RESEND_LIMIT = 1

# Written into the statement, not bound: a partial index serves only where it can be seen to apply.
READY: ColumnElement[bool] = outbox.c.state == literal(DeliveryState.READY.value, literal_execute=True)
QUEUED: ColumnElement[bool] = outbox.c.state == literal(DeliveryState.QUEUED.value, literal_execute=True)
UNSENT = (DeliveryState.QUEUED, DeliveryState.READY, DeliveryState.LEASED)

UNLEASED: dict[str, Any] = {"lease_until": None, "lease_owner": None}


def claim(db: Database, *, now: datetime, limit: int = CLAIM_LIMIT, owner: str, lease_s: float) -> list[Delivery]:
    """Lease due deliveries that are still wanted, the earliest first. Nobody else gets them while the lease lasts."""
    due = (
        select(outbox.c.id)
        .where(READY, outbox.c.due_at <= now, wanted(now))
        .order_by(outbox.c.due_at, outbox.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    lease = (
        update(outbox)
        .where(outbox.c.id.in_(due))
        .values(
            state=DeliveryState.LEASED,
            fence=outbox.c.fence + 1,
            lease_until=now + timedelta(seconds=lease_s),
            lease_owner=owner,
        )
        .returning(outbox)
    )
    with db.begin() as connection:
        rows = connection.execute(lease).all()
    return [from_row(row) for row in sorted(rows, key=lambda row: (row.due_at, row.id))]


def sending(
    db: Database, delivery: Delivery, *, message_id: str, body: bytes, entry: int | None = None, now: datetime
) -> bool:
    """Put on the disk that these bytes are about to leave. False: the lease is over, send nothing.

    `entry`: the number of the calendar entry among them.
    """
    with db.begin(durable=True) as connection:
        begun = connection.execute(
            update(outbox)
            .where(
                outbox.c.id == delivery.id,
                outbox.c.fence == delivery.fence,
                outbox.c.state == DeliveryState.LEASED,
                outbox.c.lease_until > now,
            )
            .values(
                state=DeliveryState.SENDING,
                attempts=outbox.c.attempts + 1,
                message_id=message_id,
                body=body,
                entry=entry,
            )
        )
        return begun.rowcount == 1


# --- how a delivery ended; each says False, and changes nothing, where another worker holds it by now ---


def sent(db: Database, delivery: Delivery, receipt: Receipt, *, now: datetime) -> bool:
    return _settle(
        db,
        delivery,
        state=DeliveryState.SENT,
        sent_at=now,
        receipt=receipt.text,
        last_code=receipt.code,
        last_phase=None,
        last_error=None,
    )


def retry(db: Database, delivery: Delivery, *, due_at: datetime, error: SendError | None = None) -> bool:
    """Again at `due_at`, and written afresh then, unless it may have arrived before. Without an error: postponed."""
    body = case((outbox.c.resends > 0, outbox.c.body))
    return _settle(db, delivery, state=DeliveryState.READY, due_at=due_at, body=body, **(_last(error) if error else {}))


def failed(db: Database, delivery: Delivery, error: SendError, *, now: datetime) -> bool:
    """Refused for good."""
    told = delivery_failed(delivery, str(error), state=DeliveryState.FAILED, at=now)
    return _settle(db, delivery, state=DeliveryState.FAILED, told=[told], **_last(error))


def dead(db: Database, delivery: Delivery, error: SendError, *, now: datetime) -> bool:
    """Every retry is used up."""
    told = delivery_failed(delivery, str(error), state=DeliveryState.DEAD, at=now)
    return _settle(db, delivery, state=DeliveryState.DEAD, told=[told], **_last(error))


def unknown(db: Database, delivery: Delivery, error: SendError, *, now: datetime) -> bool:
    """It may have arrived."""
    return _settle(db, delivery, **_uncertain(now), **_last(error))


def postponed(db: Database, delivery: Delivery, *, until: datetime) -> bool:
    """The person is not to be disturbed before then, as seen just before sending."""
    return _settle(db, delivery, state=DeliveryState.QUEUED, due_at=until)


def cancelled(db: Database, delivery: Delivery, *, reason: str) -> bool:
    """Not wanted any more, as seen just before sending."""
    return _settle(db, delivery, state=DeliveryState.CANCELLED, last_error=reason)


def returned(db: Database, delivery: int, *, said: str, now: datetime) -> None:
    """It came back after it was taken: the reader never got it."""
    with db.begin() as connection:
        rows = connection.execute(
            update(outbox)
            .where(outbox.c.id == delivery, outbox.c.state.in_((DeliveryState.SENT, DeliveryState.UNKNOWN)))
            .values(state=DeliveryState.FAILED, last_phase="bounce", last_error=said, **UNLEASED)
            .returning(outbox)
        ).all()
        told = [delivery_failed(from_row(row), said, state=DeliveryState.FAILED, at=now) for row in rows]
        events.emit(connection, told)


# --- keeping it moving ---


def recover(db: Database, *, now: datetime) -> None:
    """Move on what nobody works on any more: to be run at start and at every tick."""
    over = outbox.c.lease_until <= now
    with db.begin() as connection:
        _move(connection, over, outbox.c.state == DeliveryState.LEASED, state=DeliveryState.READY, **UNLEASED)
        pending = (over, outbox.c.state == DeliveryState.UNKNOWN)
        _move(
            connection,
            *pending,
            wanted(now),
            state=DeliveryState.READY,
            resends=outbox.c.resends + 1,
            **UNLEASED,
        )
        _move(connection, *pending, **UNLEASED)  # closed or snoozed meanwhile: it stays unknown
        _move(connection, over, outbox.c.state == DeliveryState.SENDING, **_uncertain(now))


def release(db: Database, *, owner: str) -> None:
    """Give back everything that this worker has leased and not begun to send."""
    with db.begin() as connection:
        _move(
            connection,
            outbox.c.lease_until.is_not(None),
            outbox.c.lease_owner == owner,
            outbox.c.state == DeliveryState.LEASED,
            state=DeliveryState.READY,
            **UNLEASED,
        )


def retry_now(db: Database, delivery: Delivery, *, source: str, now: datetime, trace: str | None = None) -> bool:
    """A person wants it sent again. False: it is not failed, dead or unknown, or its recommendation is closed.

    `source`: who wants it, as the audit names it.
    """
    about = select(recommendations.c.dossier).where(recommendations.c.id == delivery.recommendation)
    with db.begin() as connection:
        queued = connection.execute(
            update(outbox)
            .where(outbox.c.id == delivery.id, outbox.c.state.in_(STUCK), wanted(now))
            .values(state=DeliveryState.READY, due_at=now, attempts=0, **UNLEASED)
        )
        if queued.rowcount == 1:
            entry = NewEntry(
                action="delivery.retried",
                kind="delivery",
                subject=str(delivery.id),
                dossier=connection.scalar(about),
                before={"state": delivery.state.value},
                after={"state": DeliveryState.READY.value},
            )
            audit.note(connection, [entry], source=source, at=now, trace=trace)
        return queued.rowcount == 1


def get(db: Database, delivery: int) -> Delivery | None:
    with db.read() as connection:
        row = connection.execute(select(outbox).where(outbox.c.id == delivery)).one_or_none()
    return from_row(row) if row else None


def items(db: Database, digest: int) -> dict[str, HeldBack]:
    """The ids of the recommendations that a digest names, and why each stands there."""
    with db.read() as connection:
        rows = connection.execute(
            select(digest_items.c.recommendation, digest_items.c.why).where(digest_items.c.digest == digest)
        )
        return {recommendation: HeldBack(why) for recommendation, why in rows}


def last_entry(db: Database, recommendation: str, *, person: str) -> int | None:
    """The number of the last calendar entry that a person was sent about a recommendation."""
    mine = (outbox.c.recommendation == recommendation, outbox.c.person == person)
    with db.read() as connection:
        return connection.scalar(select(func.max(outbox.c.entry)).where(*mine))


def listing(
    db: Database,
    *,
    states: Collection[DeliveryState] | None = None,
    channels: Collection[Channel] | None = None,
    to: str | None = None,
    since: datetime | None = None,
    customer: str | None = None,
    rule: str | None = None,
    owners: Collection[str] | None = None,
    before: int | None = None,
    limit: int = 1000,
) -> list[Delivery]:
    """The latest due first; with `before` the latest numbers first, of those before this one.

    `to`: a person's id, or an address; a digest is about all that it names. `owners`: as `visible` has them.
    """
    by_time = () if before else (outbox.c.due_at.desc(),)
    query = select(outbox).order_by(*by_time, outbox.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(outbox.c.id < before)
    if states is not None:
        query = query.where(outbox.c.state.in_(states))
    if channels is not None:
        query = query.where(outbox.c.channel.in_(channels))
    if to is not None:
        query = query.where(or_(outbox.c.person == to, outbox.c.destination == to))
    if since is not None:
        query = query.where(outbox.c.due_at >= since)
    named = [recommendations.c.dossier == customer] if customer is not None else []
    named += [recommendations.c.rule == rule] if rule is not None else []
    named += [visible(recommendations.c.dossier, owners)] if owners is not None else []
    if named:
        query = query.where(outbox.c.id.in_(about(*named)))
    with db.read() as connection:
        return [from_row(row) for row in connection.execute(query)]


def about(*which: ColumnElement[bool]) -> CompoundSelect[int]:
    """The numbers of the deliveries about these recommendations, digests that name one included."""
    single = select(outbox.c.id).join_from(outbox, recommendations).where(*which)
    return single.union(select(digest_items.c.digest).join_from(digest_items, recommendations).where(*which))


def digest_of(db: Database, recommendation: str, *, person: str, since: datetime) -> tuple[int, HeldBack] | None:
    """The person's first digest from a moment on that names a recommendation, by its number, and why it does."""
    query = (
        select(outbox.c.id, digest_items.c.why)
        .join_from(outbox, digest_items, digest_items.c.digest == outbox.c.id)
        .where(digest_items.c.recommendation == recommendation, outbox.c.person == person, outbox.c.due_at >= since)
        .order_by(outbox.c.due_at)
        .limit(1)
    )
    with db.read() as connection:
        row = connection.execute(query).one_or_none()
    return (row.id, HeldBack(row.why)) if row else None


def counts(db: Database) -> dict[DeliveryState, int]:
    """How many deliveries are in each state that has any."""
    with db.read() as connection:
        rows = connection.execute(select(outbox.c.state, func.count()).group_by(outbox.c.state))
        return {DeliveryState(state): count for state, count in rows}


def overdue(db: Database, *, before: datetime, now: datetime) -> int:
    """How many deliveries should have gone out before a moment, are wanted still, and wait."""
    waiting = (or_(QUEUED, READY), outbox.c.due_at < before, wanted(now))
    with db.read() as connection:
        return connection.scalars(select(func.count()).select_from(outbox).where(*waiting)).one()


def next_due(db: Database) -> datetime | None:
    """When `claim` or `recover` will next find something to do."""
    snoozed = recommendations.c.snoozed_until > outbox.c.due_at
    ready = (
        select(func.min(case((snoozed, recommendations.c.snoozed_until), else_=outbox.c.due_at)))
        .join_from(outbox, recommendations, isouter=True)
        .where(or_(READY, QUEUED), or_(outbox.c.recommendation.is_(None), recommendations.c.state == State.OPEN))
    )
    held = select(func.min(outbox.c.lease_until)).where(outbox.c.lease_until.is_not(None))
    with db.read() as connection:
        moments = (connection.scalar(ready), connection.scalar(held))
    return min((moment for moment in moments if moment is not None), default=None)


# --- inside the transactions of others ---


def queue(connection: Connection, deliveries: Collection[NewDelivery]) -> None:
    """Queue each occasion once. One that was cancelled unsent is queued afresh: a reminder snoozed a second time."""
    wanted = [delivery.recommendation for delivery in deliveries]
    known = set(connection.scalars(select(recommendations.c.id).where(among(recommendations.c.id, wanted))))
    here = _here(connection, {delivery.person for delivery in deliveries})
    rows = [
        {
            "key": delivery.key,
            "purpose": delivery.purpose,
            "recommendation": delivery.recommendation,
            "person": delivery.person,
            "destination": delivery.destination,
            "channel": delivery.channel,
            "occurrence": delivery.occurrence,
            "state": DeliveryState.QUEUED if delivery.purpose is Purpose.REMINDER else DeliveryState.READY,
            "wanted_at": delivery.due_at,
            "due_at": delivery.due_at,
            "attempts": 0,
            "resends": 0,
            "fence": 0,
            "trace": delivery.trace,
        }
        for delivery in deliveries
        if delivery.person in here  # else they left meanwhile
        and delivery.recommendation in known  # else the episode runs under another id, which has its own deliveries
    ]
    if rows:
        into = insert(connection, outbox)
        afresh = {
            name: into.excluded[name] for name in ("destination", "state", "wanted_at", "due_at", "attempts", "trace")
        }
        connection.execute(
            into.on_conflict_do_update(
                index_elements=["key"],
                set_=afresh | {"message_id": None, "body": None},
                where=outbox.c.state == DeliveryState.CANCELLED,
            ),
            rows,
        )


def _here(connection: Connection, persons: Collection[str]) -> set[str]:
    """Those of these people who are known, and bare addresses. Nobody can be removed before the transaction ends."""
    query = select(people.c.id).where(among(people.c.id, sorted(persons))).order_by(people.c.id)
    named = connection.scalars(query.with_for_update(read=True, key_share=True)).all()
    return {*named, *(person for person in persons if "@" in person)}


def cancel(connection: Connection, closed: Sequence[str]) -> None:
    """Nothing unsent of these recommendations goes out any more. What may have arrived before stays unknown."""
    connection.execute(
        update(outbox)
        .where(
            among(outbox.c.recommendation, closed),
            outbox.c.purpose == Purpose.REMINDER,
            outbox.c.state.in_(UNSENT),
        )
        .values(
            state=case((outbox.c.resends > 0, DeliveryState.UNKNOWN.value), else_=DeliveryState.CANCELLED.value),
            **UNLEASED,
        )
    )


def follow_closing(connection: Connection, closed: Sequence[str], *, now: datetime) -> None:
    """What is left to say once these recommendations are closed, of what was sent about them.

    A calendar entry is taken back; a message in a chat that can be changed says that nothing is left to do.
    """
    rows = connection.execute(
        select(outbox).where(
            among(outbox.c.recommendation, closed), outbox.c.state.in_((DeliveryState.SENT, DeliveryState.UNKNOWN))
        )
    ).all()
    entries = {(row.recommendation, row.person): row for row in sorted(rows, key=_entry) if row.entry is not None}
    left = [
        NewDelivery(
            purpose=Purpose.WITHDRAWAL,
            recommendation=row.recommendation,
            person=row.person,
            destination=row.destination,
            occurrence=row.entry + 1,
            due_at=now,
        )
        for row in entries.values()
        if row.purpose != Purpose.WITHDRAWAL
    ]
    left += [
        NewDelivery(
            purpose=Purpose.UPDATE,
            recommendation=row.recommendation,
            person=row.person,
            destination=row.destination,
            channel=Channel(row.channel),
            occurrence=row.id,
            due_at=now,
        )
        for row in rows
        if row.channel == Channel.SLACK and row.purpose == Purpose.REMINDER and row.receipt
    ]
    queue(connection, left)


# --- rows ---


def _entry(row: AnyRow) -> int:
    return -1 if row.entry is None else row.entry


def wanted(now: datetime) -> ColumnElement[bool]:
    """The recommendation is open, and nobody hid it until later. A digest is asked when it is written."""
    is_open = exists().where(
        recommendations.c.id == outbox.c.recommendation,
        recommendations.c.state == State.OPEN,
        or_(recommendations.c.snoozed_until.is_(None), recommendations.c.snoozed_until <= now),
    )
    return or_(outbox.c.purpose != Purpose.REMINDER, is_open)


def _settle(db: Database, delivery: Delivery, *, told: Sequence[NewEvent] = (), **values: Any) -> bool:
    held = (DeliveryState.LEASED, DeliveryState.SENDING, DeliveryState.UNKNOWN)  # unknown: the answer came late
    with db.begin() as connection:
        settled = connection.execute(
            update(outbox)
            .where(outbox.c.id == delivery.id, outbox.c.fence == delivery.fence, outbox.c.state.in_(held))
            .values(UNLEASED | values)
        )
        if settled.rowcount == 1:
            events.emit(connection, told)
        return settled.rowcount == 1


def _uncertain(now: datetime) -> dict[str, Any]:
    resend_at = case((outbox.c.resends < RESEND_LIMIT, literal(now + RESEND_AFTER, INSTANT)))
    return {
        "state": DeliveryState.UNKNOWN,
        "due_at": func.coalesce(resend_at, outbox.c.due_at),
        "lease_until": resend_at,
        "lease_owner": None,
    }


def _last(error: SendError) -> dict[str, Any]:
    return {"last_code": error.code, "last_phase": error.phase, "last_error": str(error)}


def _move(connection: Connection, *which: ColumnElement[bool], **values: Any) -> None:
    """Change many rows without waiting for those that another transaction is changing."""
    rows = select(outbox.c.id).where(*which).with_for_update(skip_locked=True)
    connection.execute(update(outbox).where(outbox.c.id.in_(rows)).values(values))


def from_row(row: AnyRow) -> Delivery:
    return Delivery(
        id=row.id,
        key=row.key,
        purpose=Purpose(row.purpose),
        recommendation=row.recommendation,
        person=row.person,
        destination=row.destination,
        channel=Channel(row.channel),
        occurrence=row.occurrence,
        state=DeliveryState(row.state),
        wanted_at=row.wanted_at,
        due_at=row.due_at,
        attempts=row.attempts,
        fence=row.fence,
        lease_until=row.lease_until,
        message_id=row.message_id,
        body=row.body,
        entry=row.entry,
        receipt=row.receipt,
        last_code=row.last_code,
        last_phase=row.last_phase,
        last_error=row.last_error,
        sent_at=row.sent_at,
        trace=row.trace,
    )
