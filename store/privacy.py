"""Everything that is kept about a customer or a person: to be handed out, and to be counted before it is erased."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from email import message_from_bytes, policy
from enum import StrEnum
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Table, and_, exists, func, or_, select

from domain.delivery import Channel
from domain.event import EventType
from store.dialects import among
from store.session import Database
from store.tables import (
    AnyRow,
    audit,
    customers,
    digest_items,
    events,
    followups,
    idempotency,
    outbox,
    people,
    recommendations,
    record_history,
    records,
    sessions,
    suppressions,
    tokens,
    users,
    webhook_attempts,
    webhook_deliveries,
    wishes,
)

ANSWERS = "answers"  # kept for a day to requests that may be repeated, found by a name in them: no proof of anything

Parts: TypeAlias = Mapping[str, tuple[Table, ColumnElement[bool]]]
"""What is kept, by name: which rows of which table."""


class Of(StrEnum):
    CUSTOMER = "customer"
    PERSON = "person"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Somebody about whom something may be kept. A customer's `id` is a dossier's."""

    of: Of
    id: str

    def __str__(self) -> str:
        return f"{self.of} {self.id}"

    def pseudonym(self, key: str) -> str:
        """What stands for them once they are erased: only whoever has the key and the id can tell that it is they."""
        return hmac.new(key.encode(), f"{self.of}\x1f{self.id}".encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """`parts`: rows by what they are. `erased_at`: when the subject was erased before."""

    subject: Subject
    erased_at: Sequence[datetime]
    parts: Mapping[str, Sequence[Mapping[str, Any]]]


def export(db: Database, subject: Subject, *, keys: Sequence[str]) -> Kept | None:
    """All of it, as JSON, without anything secret; None: nothing is kept."""
    with db.read() as connection:
        parts = {
            name: [_row(table, row, name) for row in connection.execute(select(table).where(which))]
            for name, (table, which) in parts_of(connection, subject).items()
        }
    erased_at = erasures(db, subject, keys=keys)
    something = erased_at or any(rows for name, rows in parts.items() if name != ANSWERS)
    return Kept(subject=subject, erased_at=erased_at, parts=parts) if something else None


def weigh(db: Database, subject: Subject) -> Mapping[str, int]:
    """How much there is of each part that there is."""
    with db.read() as connection:
        counts = {
            name: connection.scalars(select(func.count()).select_from(table).where(which)).one()
            for name, (table, which) in parts_of(connection, subject).items()
        }
    return {name: count for name, count in counts.items() if count}


def erasures(db: Database, subject: Subject, *, keys: Sequence[str]) -> Sequence[datetime]:
    """When a subject was erased. `keys`: those of today and before."""
    named = [subject.pseudonym(key) for key in keys]
    query = select(audit.c.at).where(audit.c.kind == subject.of.value, audit.c.subject.in_(named)).order_by(audit.c.seq)
    with db.read() as connection:
        return connection.scalars(query).all()


# --- what is kept ---


def parts_of(connection: Connection, subject: Subject) -> Parts:
    return of_customer(subject.id) if subject.of is Of.CUSTOMER else of_person(connection, subject.id)


def of_customer(id_: str) -> Parts:
    about = select(recommendations.c.id).where(recommendations.c.dossier == id_)
    named_in = select(digest_items.c.digest).where(digest_items.c.recommendation.in_(about))
    told = or_(events.c.customer == id_, and_(events.c.customer.is_(None), events.c.recommendation.in_(about)))
    return {
        "status": (customers, customers.c.id == id_),
        "records": (records, records.c.dossier == id_),
        "history": (record_history, record_history.c.dossier == id_),
        "recommendations": (recommendations, recommendations.c.dossier == id_),
        "followups": (followups, followups.c.recommendation.in_(about)),
        "deliveries": (outbox, outbox.c.recommendation.in_(about)),
        "digests": (outbox, outbox.c.id.in_(named_in)),
        **_posted(told),
        ANSWERS: (idempotency, _mentions(id_)),
        "audit": (audit, _audited(id_)),
    }


def of_person(connection: Connection, id_: str) -> Parts:
    theirs = select(users.c.id).where(users.c.person == id_)
    their_users = connection.scalars(theirs).all()
    their_tokens = connection.scalars(select(tokens.c.id).where(tokens.c.user.in_(theirs))).all()
    addresses = _addresses(connection, id_)
    about = (
        and_(audit.c.kind == "person", audit.c.subject == id_),
        and_(audit.c.kind == "user", among(audit.c.subject, their_users)),
        and_(audit.c.kind == "token", among(audit.c.subject, their_tokens)),
        and_(audit.c.kind == "suppression", among(audit.c.subject, addresses)),
    )
    sources = [f"link:{id_}", *(f"user:{user}" for user in their_users), *(f"token:{token}" for token in their_tokens)]
    asked = (among(idempotency.c.source, their_users), *(_mentions(name) for name in (id_, *sorted(addresses))))
    return {
        "person": (people, people.c.id == id_),
        "wishes": (wishes, wishes.c.person == id_),
        "deliveries": (outbox, outbox.c.person == id_),
        **_posted(events.c.seq.in_(_failures(connection, id_))),
        "users": (users, users.c.person == id_),
        "sessions": (sessions, sessions.c.user.in_(theirs)),
        "tokens": (tokens, tokens.c.user.in_(theirs)),
        "suppressions": (suppressions, among(suppressions.c.address, addresses)),
        ANSWERS: (idempotency, or_(*asked)),
        "audit": (audit, or_(*about)),
        "acts": (audit, among(audit.c.source, sources)),
    }


def _posted(told: ColumnElement[bool]) -> Parts:
    """Events, and what was posted of them."""
    ours = select(webhook_deliveries.c.id).where(webhook_deliveries.c.event.in_(select(events.c.seq).where(told)))
    return {
        "webhook attempts": (webhook_attempts, webhook_attempts.c.delivery.in_(ours)),
        "webhook deliveries": (webhook_deliveries, webhook_deliveries.c.id.in_(ours)),
        "events": (events, told),
    }


def _audited(dossier: str) -> ColumnElement[bool]:
    """What is written about a customer, and about a record that came from there or went there."""
    moved = exists().where(
        record_history.c.dossier == dossier,
        record_history.c.kind == audit.c.kind,
        record_history.c.id == audit.c.subject,
    )
    named = f'"customer":{json.dumps(dossier, ensure_ascii=False)}'
    either = (audit.c.before.contains(named, autoescape=True), audit.c.after.contains(named, autoescape=True))
    return or_(audit.c.dossier == dossier, and_(moved, or_(*either)))


def _mentions(name: str) -> ColumnElement[bool]:
    """Answers that are kept for a day and hold a name."""
    return idempotency.c.body.contains(json.dumps(name, ensure_ascii=False), autoescape=True)


def _addresses(connection: Connection, person: str) -> set[str]:
    """Every address that is known to be theirs, in lower case."""
    wrote_to = select(outbox.c.destination).where(outbox.c.person == person, outbox.c.channel == Channel.EMAIL)
    own = select(people.c.email).where(people.c.id == person)
    sign_in = select(users.c.email).where(users.c.person == person)
    return {address.casefold() for address in connection.scalars(own.union(sign_in, wrote_to))}


def _failures(connection: Connection, person: str) -> list[int]:
    """Events that tell of messages to a person, which did not arrive."""
    sent = select(outbox.c.recommendation).where(outbox.c.person == person, outbox.c.recommendation.is_not(None))
    rows = connection.execute(
        select(events.c.seq, events.c.data).where(
            events.c.customer.is_(None),
            or_(events.c.recommendation.in_(sent), events.c.recommendation.is_(None)),
            events.c.type == EventType.DELIVERY_FAILED,
        )
    )
    return [row.seq for row in rows if json.loads(row.data)["delivery"]["person"] == person]


# --- rows as JSON ---

SECRET: Mapping[str, frozenset[str]] = {
    "tokens": frozenset({"hash"}),
    "users": frozenset({"password"}),
    "sessions": frozenset({"id"}),
    "audit": frozenset({"salt"}),
    "digests": frozenset({"body"}),  # other customers are named in it
}
JSON = frozenset(
    {"fields", "advice", "data", "tags", "wishes", "before", "after", "request_headers", "answer_headers", "scopes"}
)


def _row(table: Table, row: AnyRow, part: str) -> dict[str, Any]:
    left_out = SECRET.get(table.name, frozenset()) | SECRET.get(part, frozenset())
    return {c.name: _plain(c.name, row) for c in table.c if c.name not in left_out}


def _plain(name: str, row: AnyRow) -> Any:
    value = getattr(row, name)
    match value:
        case datetime() | date():
            return value.isoformat()
        case bytes():
            is_mail = getattr(row, "channel", None) == Channel.EMAIL
            return _letter(value) if is_mail else value.decode(errors="replace")
        case str() if name in JSON:
            return json.loads(value)
        case _:
            return value


def _letter(raw: bytes) -> str:
    """A mail as its reader read it."""
    message = message_from_bytes(raw, policy=policy.default)
    body = message.get_body(("plain", "html"))
    return f"{message['Subject']}\n\n{body.get_content() if body else ''}"
