"""What is on its way to subscribers: from ready to settled, and every attempt as it was.

A claim leases deliveries of one subscription and raises their fences: whoever held one before settles nothing any more.
The subscription's row is locked while its deliveries are claimed or settled, so that all workers together send so many
at once and see the same breaker. Whatever it costs depends on what is due, not on how much was ever sent.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    bindparam,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from domain.event import Event, EventType, NewEvent
from domain.subscription import Attempt, Result, Subscription, WebhookDelivery, WebhookState, after
from store import events as happened
from store import subscriptions
from store.dialects import insert
from store.session import Database
from store.tables import AnyRow, Instant, events, webhook_attempts, webhook_deliveries
from store.tables import subscriptions as endpoints

AT_ONCE = 32  # to one endpoint, of all workers together
KEPT_HEADERS, KEPT_HEADER_CHARACTERS = 50, 1000
REPLAY_PAGE = 1000  # events in one transaction
ATTEMPTS_SHOWN = 100
SOURCE = "worker"

# Written into the statement, not bound: a partial index serves only where it can be seen to apply.
STATES = {state: literal(state.value, literal_execute=True) for state in WebhookState}
READY = webhook_deliveries.c.state == STATES[WebhookState.READY]
LEASED = webhook_deliveries.c.state == STATES[WebhookState.LEASED]
UNLEASED: dict[str, Any] = {"lease_until": None, "lease_owner": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """`probe`: the endpoint is broken, and this one delivery shows whether it still is."""

    subscription: Subscription
    deliveries: Sequence[WebhookDelivery]
    probe: bool


def due(db: Database, *, now: datetime) -> list[str]:
    """The subscriptions that something can be sent to."""
    waits = exists().where(webhook_deliveries.c.subscription == endpoints.c.id, *_claimable(now))
    reachable = or_(endpoints.c.open_until.is_(None), endpoints.c.open_until <= now)
    with db.read() as connection:
        return list(
            connection.scalars(select(endpoints.c.id).where(endpoints.c.disabled_at.is_(None), reachable, waits))
        )


def claim(
    db: Database, subscription: str, *, now: datetime, owner: str, lease_s: float, at_once: int = AT_ONCE
) -> Claimed | None:
    """Lease what is due, the earliest first, as far as the endpoint has room for it; None: nothing."""
    with db.begin() as connection:
        found = subscriptions.locked(connection, subscription)
        if found is None or found.is_held(now):
            return None
        room = 1 if found.is_broken else at_once - _on_their_way(connection, subscription)
        until = now + timedelta(seconds=lease_s)
        which = (
            select(webhook_deliveries.c.id)
            .join(endpoints, endpoints.c.id == webhook_deliveries.c.subscription)
            .where(webhook_deliveries.c.subscription == subscription, *_claimable(now))
            .order_by(webhook_deliveries.c.due_at, webhook_deliveries.c.event)
            .limit(max(room, 0))
        )
        leased = (
            connection.execute(
                update(webhook_deliveries)
                .where(webhook_deliveries.c.id.in_(which))
                .values(
                    state=WebhookState.LEASED,
                    fence=webhook_deliveries.c.fence + 1,
                    lease_until=until,
                    lease_owner=owner,
                )
                .returning(webhook_deliveries.c.id)
            )
            .scalars()
            .all()
        )
        if not leased:
            return None
        if found.is_broken:  # nobody else sends a probe meanwhile
            connection.execute(update(endpoints).where(endpoints.c.id == subscription).values(open_until=until))
        query = _with_events().where(webhook_deliveries.c.id.in_(leased))
        deliveries = [_delivery(row) for row in connection.execute(query)]
    return Claimed(
        subscription=found, deliveries=sorted(deliveries, key=lambda d: (d.due_at, d.event.seq)), probe=found.is_broken
    )


def _claimable(now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Ready and due; where order matters, with nothing before it about the same customer."""
    earlier = webhook_deliveries.alias("earlier")
    first = ~exists().where(
        earlier.c.subscription == webhook_deliveries.c.subscription,
        earlier.c.customer == webhook_deliveries.c.customer,
        earlier.c.event < webhook_deliveries.c.event,
        earlier.c.state.in_([STATES[WebhookState.READY], STATES[WebhookState.LEASED]]),
    )
    return READY, webhook_deliveries.c.due_at <= now, or_(~endpoints.c.ordered, first)


def _on_their_way(connection: Connection, subscription: str) -> int:
    query = select(func.count()).where(webhook_deliveries.c.subscription == subscription, LEASED)
    return connection.scalars(query).one()


# --- how attempts ended ---


def record(db: Database, subscription: str, results: Sequence[Result]) -> Subscription | None:
    """Settle many at once, and write down their attempts. Gives the subscription where this disabled it."""
    with db.begin() as connection:
        before = subscriptions.locked(connection, subscription)
        if before is None:  # removed meanwhile, with all that was sent to it
            return None
        now = max(result.attempt.at for result in results)
        becomes = before
        for result in results:
            becomes = after(becomes, result)
        settle = (
            update(webhook_deliveries)
            .where(
                webhook_deliveries.c.id == bindparam("of"),
                webhook_deliveries.c.fence == bindparam("held"),
                webhook_deliveries.c.lease_owner.is_not(None),
            )
            .values(
                state=bindparam("becomes"),
                due_at=bindparam("due"),
                attempts=webhook_deliveries.c.attempts + 1,
                last_status=bindparam("status"),
                last_error=bindparam("error"),
                settled_at=bindparam("settled"),
                **UNLEASED,
            )
        )
        connection.execute(settle, [_settled(result) for result in results])
        ids = [result.delivery.id for result in results]
        there = select(webhook_deliveries.c.id).where(webhook_deliveries.c.id.in_(ids))
        known = set(connection.scalars(there.with_for_update(read=True)))  # the others were erased meanwhile
        if attempts := [_attempt_row(result) for result in results if result.delivery.id in known]:
            connection.execute(insert(connection, webhook_attempts), attempts)
        subscriptions.save(connection, before, becomes, action="disabled", source=SOURCE, now=now)
    return becomes if becomes.disabled_at != before.disabled_at else None


def hold(db: Database, claimed: Claimed, *, reason: str, until: datetime, now: datetime) -> None:
    """Nothing can be sent to it as it is: give back what was claimed, with no attempt counted, and wait."""
    with db.begin() as connection:
        before = subscriptions.locked(connection, claimed.subscription.id)
        if before is not None:
            waiting = replace(before, open_until=until, last_error=reason)
            subscriptions.save(connection, before, waiting, action="held", source=SOURCE, now=now)
            mine = [delivery.id for delivery in claimed.deliveries]
            connection.execute(
                update(webhook_deliveries)
                .where(webhook_deliveries.c.id.in_(mine), LEASED)
                .values(state=WebhookState.READY, **UNLEASED)
            )


def recover(db: Database, *, now: datetime) -> None:
    """Move on what nobody works on any more."""
    over = select(webhook_deliveries.c.id).where(LEASED, webhook_deliveries.c.lease_until <= now)
    with db.read() as connection:
        if connection.scalar(select(over.exists())) is not True:
            return
    with db.begin() as connection:
        _free(connection, webhook_deliveries.c.lease_until <= now)


def release(db: Database, *, owner: str) -> None:
    """Give back everything that this worker has leased."""
    with db.begin() as connection:
        _free(connection, webhook_deliveries.c.lease_owner == owner)


def _free(connection: Connection, which: ColumnElement[bool]) -> None:
    rows = select(webhook_deliveries.c.id).where(LEASED, which).with_for_update(skip_locked=True)
    connection.execute(
        update(webhook_deliveries).where(webhook_deliveries.c.id.in_(rows)).values(state=WebhookState.READY, **UNLEASED)
    )


# --- on request ---


def begin_test(
    db: Database, subscription: Subscription, *, key: str, owner: str, now: datetime, lease_s: float
) -> WebhookDelivery:
    """A test, leased to whoever asks for it. `key`: what tells this test from every other."""
    new = NewEvent(
        key=f"{EventType.TEST}/{subscription.id}/{key}",
        type=EventType.TEST,
        at=now,
        customer=None,
        data={"subscription": subscription.id, "message": "This is a test from Relance."},
    )
    with db.begin() as connection:
        (event,) = happened.write(connection, [new])
        row = happened.queued(subscription.id, event, now=now)
        row |= {"state": WebhookState.LEASED, "lease_owner": owner, "lease_until": now + timedelta(seconds=lease_s)}
        into = insert(connection, webhook_deliveries).values(row).returning(webhook_deliveries.c.id)
        number = connection.execute(into).scalar_one()
        return _delivery(connection.execute(_with_events().where(webhook_deliveries.c.id == number)).one())


def replay_event(db: Database, subscription: Subscription, event: str, *, now: datetime) -> int | None:
    """Send one event again; 1 where it was queued. None: there is none, or it is not asked for."""
    with db.begin() as connection:
        row = connection.execute(select(events).where(events.c.id == event)).one_or_none()
        found = happened.from_row(row) if row else None
        if found is None or not (_replayable(subscription, found) or _was_sent(connection, subscription, found)):
            return None
        return _again(connection, subscription, [found], now)


def replay_since(db: Database, subscription: Subscription, since: datetime, *, now: datetime) -> int:
    """Send everything again that happened since and is asked for, what was never queued included; how many."""
    queued, last = 0, (since, 0)
    while True:
        query = (
            select(events)
            .where(tuple_(events.c.at, events.c.seq) >= tuple_(literal(last[0], Instant()), literal(last[1])))
            .order_by(events.c.at, events.c.seq)
            .limit(REPLAY_PAGE)
        )
        with db.begin() as connection:
            page = [happened.from_row(row) for row in connection.execute(query)]
            queued += _again(connection, subscription, [e for e in page if _replayable(subscription, e)], now)
        if len(page) < REPLAY_PAGE:
            return queued
        last = (page[-1].at, page[-1].seq + 1)


def replay_failed(db: Database, subscription: Subscription, *, now: datetime) -> int:
    """Send everything again that was given up; how many."""
    given_up = (
        webhook_deliveries.c.subscription == subscription.id,
        webhook_deliveries.c.state == WebhookState.FAILED.value,
    )
    with db.begin() as connection:
        return connection.execute(update(webhook_deliveries).where(*given_up).values(_afresh(now))).rowcount


def _replayable(subscription: Subscription, event: Event) -> bool:
    return event.type is not EventType.TEST and subscription.asks_for(event)


def _was_sent(connection: Connection, subscription: Subscription, event: Event) -> bool:
    mine = exists().where(webhook_deliveries.c.subscription == subscription.id, webhook_deliveries.c.event == event.seq)
    return connection.scalar(select(mine)) is True


def _again(connection: Connection, subscription: Subscription, wanted: Collection[Event], now: datetime) -> int:
    if not wanted:
        return 0
    into = insert(connection, webhook_deliveries)
    again: Insert = into.on_conflict_do_update(
        index_elements=["subscription", "event"],
        set_=_afresh(now),
        where=webhook_deliveries.c.settled_at.is_not(None),  # what still waits goes anyway
    ).returning(webhook_deliveries.c.id)
    rows = [happened.queued(subscription.id, event, now=now) for event in wanted]
    return len(connection.execute(again, rows).all())


def _afresh(now: datetime) -> dict[str, Any]:
    return {"state": WebhookState.READY, "due_at": now, "attempts": 0, "settled_at": None}


# --- what is to be seen ---


def listing(
    db: Database,
    subscription: str,
    *,
    states: Collection[WebhookState] | None = None,
    before: int | None = None,
    limit: int,
) -> list[WebhookDelivery]:
    """The latest first. `before`: the number of the last one of the page before."""
    query = _with_events().where(webhook_deliveries.c.subscription == subscription)
    if states:
        query = query.where(webhook_deliveries.c.state.in_(states))
    if before is not None:
        query = query.where(webhook_deliveries.c.id < before)
    with db.read() as connection:
        rows = connection.execute(query.order_by(webhook_deliveries.c.id.desc()).limit(limit))
        return [_delivery(row) for row in rows]


def get(db: Database, subscription: str, delivery: int) -> tuple[WebhookDelivery, list[Attempt]] | None:
    """A delivery and its latest attempts, the first of them first."""
    one = _with_events().where(webhook_deliveries.c.id == delivery, webhook_deliveries.c.subscription == subscription)
    tried = select(webhook_attempts).where(webhook_attempts.c.delivery == delivery)
    with db.read() as connection:
        row = connection.execute(one).one_or_none()
        if row is None:
            return None
        latest = connection.execute(tried.order_by(webhook_attempts.c.id.desc()).limit(ATTEMPTS_SHOWN)).all()
    return _delivery(row), [_attempt(row) for row in reversed(latest)]


# --- rows ---


def _with_events() -> Any:
    own = [column.label(f"delivery_{column.name}") for column in webhook_deliveries.c]
    return select(*own, events).join_from(webhook_deliveries, events, events.c.seq == webhook_deliveries.c.event)


def _delivery(row: AnyRow) -> WebhookDelivery:
    return WebhookDelivery(
        id=row.delivery_id,
        subscription=row.delivery_subscription,
        event=happened.from_row(row),
        state=WebhookState(row.delivery_state),
        due_at=row.delivery_due_at,
        attempts=row.delivery_attempts,
        fence=row.delivery_fence,
        last_status=row.delivery_last_status,
        last_error=row.delivery_last_error,
        settled_at=row.delivery_settled_at,
    )


def _settled(result: Result) -> dict[str, Any]:
    again = result.state is WebhookState.READY
    return {
        "of": result.delivery.id,
        "held": result.delivery.fence,
        "becomes": result.state,
        "due": result.again if again else result.delivery.due_at,
        "status": result.attempt.status,
        "error": result.attempt.error,
        "settled": None if again else result.attempt.at,
    }


def _attempt_row(result: Result) -> dict[str, Any]:
    attempt = result.attempt
    return {
        "delivery": result.delivery.id,
        "at": attempt.at,
        "duration_ms": attempt.duration_ms,
        "url": attempt.url,
        "request_headers": _headers(attempt.request_headers),
        "request_body": attempt.request_body,
        "status": attempt.status,
        "answer_headers": _headers(attempt.answer_headers) if attempt.answer_headers is not None else None,
        "answer_body": attempt.answer_body,
        "error": attempt.error,
    }


def _headers(headers: Mapping[str, str]) -> str:
    """As JSON; of an answer's only so many, so long, and without what is no text."""
    kept = {
        name: value[:KEPT_HEADER_CHARACTERS].encode(errors="replace").decode()
        for name, value in islice(headers.items(), KEPT_HEADERS)
    }
    return json.dumps(kept)


def _attempt(row: AnyRow) -> Attempt:
    return Attempt(
        at=row.at,
        duration_ms=row.duration_ms,
        url=row.url,
        request_headers=json.loads(row.request_headers),
        request_body=row.request_body,
        status=row.status,
        answer_headers=json.loads(row.answer_headers) if row.answer_headers is not None else None,
        answer_body=row.answer_body,
        error=row.error,
    )
