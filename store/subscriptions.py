"""Who is told what: subscriptions and how their endpoints are doing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select, update

from domain.event import EventType
from domain.subscription import Envelope, Secret, Signing, Subscription, WebhookState
from store import audit
from store.audit import NewEntry, differing
from store.dialects import insert
from store.session import Database
from store.tables import AnyRow, subscriptions, webhook_attempts, webhook_deliveries

FILTERS = ("types", "tags", "teams", "products")
# What a person sets; the rest is how the endpoint is doing.
SET = ("owner", "url", "description", *FILTERS, "envelope", "signing", "ordered", "disabled_at", "disabled_reason")


def add(db: Database, new: Subscription, *, source: str, now: datetime, trace: str | None = None) -> None:
    with db.begin() as connection:
        connection.execute(insert(connection, subscriptions).values(_row(new)))
        entry = NewEntry(action="subscription.created", kind="subscription", subject=new.id, after=_said(new))
        audit.note(connection, [entry], source=source, at=now, trace=trace)


def get(db: Database, subscription: str, *, owner: str | None = None) -> Subscription | None:
    """None: there is none, or not of this owner."""
    with db.read() as connection:
        row = connection.execute(select(subscriptions).where(subscriptions.c.id == subscription)).one_or_none()
    return from_row(row) if row and owner in (None, row.owner) else None


def listing(db: Database, *, owner: str | None = None, after: str = "", limit: int) -> list[Subscription]:
    """An owner's, or everybody's, by id. `after`: only ids after this one."""
    query = select(subscriptions).where(subscriptions.c.id > after).order_by(subscriptions.c.id).limit(limit)
    if owner is not None:
        query = query.where(subscriptions.c.owner == owner)
    with db.read() as connection:
        return [from_row(row) for row in connection.execute(query)]


def change(
    db: Database,
    subscription: str,
    to: Callable[[Subscription], Subscription],
    *,
    action: str = "changed",
    owner: str | None = None,
    source: str,
    now: datetime,
    trace: str | None = None,
) -> Subscription | None:
    """The subscription as `to` makes it; None: there is none, or not of this owner. Raises what `to` raises.

    Once it is disabled, what waits for it is cancelled.
    """
    with db.begin() as connection:
        before = locked(connection, subscription)
        if before is None or owner not in (None, before.owner):
            return None
        after = to(before)
        save(connection, before, after, action=action, source=source, now=now, trace=trace)
    return after


def remove(
    db: Database, subscription: str, *, owner: str | None = None, source: str, now: datetime, trace: str | None = None
) -> bool:
    """With all that was sent to it. False: there is none, or not of this owner."""
    own = select(webhook_deliveries.c.id).where(webhook_deliveries.c.subscription == subscription)
    with db.begin() as connection:
        before = locked(connection, subscription, to_remove=True)
        if before is None or owner not in (None, before.owner):
            return False
        connection.execute(delete(webhook_attempts).where(webhook_attempts.c.delivery.in_(own)))
        connection.execute(delete(webhook_deliveries).where(webhook_deliveries.c.subscription == subscription))
        connection.execute(delete(subscriptions).where(subscriptions.c.id == subscription))
        entry = NewEntry(action="subscription.removed", kind="subscription", subject=subscription, before=_said(before))
        audit.note(connection, [entry], source=source, at=now, trace=trace)
    return True


# --- inside the transactions of others ---


def locked(connection: Connection, subscription: str, *, to_remove: bool = False) -> Subscription | None:
    """The subscription, which nobody else changes until the transaction ends. Deliveries to it may still be queued."""
    query = select(subscriptions).where(subscriptions.c.id == subscription).with_for_update(key_share=not to_remove)
    row = connection.execute(query).one_or_none()
    return from_row(row) if row else None


def live(connection: Connection) -> list[Subscription]:
    """Those that are told what happens now. None of them is removed before the transaction ends."""
    query = (
        select(subscriptions).where(subscriptions.c.disabled_at.is_(None)).with_for_update(read=True, key_share=True)
    )
    return [from_row(row) for row in connection.execute(query)]


def save(
    connection: Connection,
    before: Subscription,
    after: Subscription,
    *,
    action: str,
    source: str,
    now: datetime,
    trace: str | None = None,
) -> None:
    """Write down what differs, and audit what a person would have set."""
    was, is_ = _row(before), _row(after)
    if was == is_:
        return
    changed = {name: value for name, value in is_.items() if value != was[name]}
    connection.execute(update(subscriptions).where(subscriptions.c.id == before.id).values(changed))
    if after.disabled_at is not None and before.disabled_at is None:
        connection.execute(
            update(webhook_deliveries)
            .where(
                webhook_deliveries.c.subscription == after.id, webhook_deliveries.c.state == WebhookState.READY.value
            )
            .values(state=WebhookState.CANCELLED, settled_at=now, last_error="the subscription was disabled")
        )
    said_before, said_after = differing(_said(before), _said(after))
    if said_after or after.secrets != before.secrets:
        entry = NewEntry(
            action=f"subscription.{action}",
            kind="subscription",
            subject=after.id,
            before=said_before,
            after=said_after,
        )
        audit.note(connection, [entry], source=source, at=now, trace=trace)


# --- rows ---


def _said(subscription: Subscription) -> dict[str, Any]:
    """As the audit tells of it: of secrets only that they are there."""
    said = {name: _plain(getattr(subscription, name)) for name in SET}
    return said | {"secrets": [{"public": s.public, "until": _plain(s.until)} for s in subscription.secrets]}


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.isoformat()
        case tuple():
            return list(value)
        case _:
            return value


def _row(subscription: Subscription) -> dict[str, Any]:
    secrets = [asdict(secret) | {"until": _plain(secret.until)} for secret in subscription.secrets]
    row = {column.name: getattr(subscription, column.name) for column in subscriptions.c}
    return (
        row | {name: json.dumps(row[name], ensure_ascii=False) for name in FILTERS} | {"secrets": json.dumps(secrets)}
    )


def from_row(row: AnyRow) -> Subscription:
    saved: dict[str, Any] = {column.name: getattr(row, column.name) for column in subscriptions.c}
    saved |= {name: tuple(json.loads(saved[name])) for name in FILTERS}
    saved["types"] = tuple(map(EventType, saved["types"]))
    saved["envelope"], saved["signing"] = Envelope(row.envelope), Signing(row.signing)
    saved["secrets"] = tuple(map(_secret, json.loads(row.secrets)))
    return Subscription(**saved)


def _secret(saved: dict[str, Any]) -> Secret:
    until = saved["until"]
    return Secret(
        sealed=saved["sealed"], public=saved["public"], until=datetime.fromisoformat(until) if until else None
    )
