"""Erasing everything that is kept about a customer or a person.

What others work on at the same time cannot bring anything back: an evaluation settles on a customer's row and finds
none; a delivery under way finds its own gone, and a digest's that its lease is over; nothing is queued for a person who
is not there. What arrived before stays where it is: in mailboxes and chats, and with subscribers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, select, update

from domain.delivery import DeliveryState
from store import audit as entries
from store import people
from store.audit import NewEntry
from store.dialects import insert
from store.outbox import UNLEASED
from store.privacy import ANSWERS, Of, Parts, Subject, of_customer, of_person
from store.session import Database
from store.tables import AnyRow, audit, customers, digest_items, outbox, record_history, records
from store.tables import people as known

NOBODY = "erased"  # who wrote, once they are erased
EMPTY: Mapping[str, None] = dict.fromkeys(("source", "subject", "dossier", "before", "after", "salt"))


def erase(
    db: Database, subject: Subject, *, reason: str, source: str, key: str, now: datetime, trace: str | None = None
) -> Mapping[str, int]:
    """Erase it, in one transaction; how much of each part there was. Nothing: nothing is kept.

    What stays is an entry in the audit: that somebody was erased, by whom (`source`) and why, under their pseudonym.
    Nobody who wrote anything else about them can be told from it; `reason` should name nobody.
    """
    while True:
        try:
            with db.begin() as connection:
                erased = ERASE[subject.of](connection, subject.id, now)
                gone = {name: count for name, count in erased.items() if count}
                if not gone.keys() - {ANSWERS}:
                    return {}
                entry = NewEntry(
                    action=f"{subject.of}.erased",
                    kind=subject.of.value,
                    subject=subject.pseudonym(key),
                    after={"reason": reason, "erased": gone},
                )
                entries.note(connection, [entry], source=source, at=now, trace=trace)
                return gone
        except _Overtaken:
            continue


class _Overtaken(Exception):
    """A record was created just now: look again."""


def _customer(connection: Connection, id_: str, now: datetime) -> Mapping[str, int]:
    unknown = _held(connection, id_, now)
    parts = of_customer(id_)
    gone = {
        **_emptied(connection, parts, now),
        **_deleted(connection, parts, "followups", "deliveries"),
        **_left_out_of_digests(connection, parts),
        **_posted(connection, parts),
        **_deleted(connection, parts, "recommendations", "history", "records", ANSWERS, "status"),
    }
    return gone | {"status": gone["status"] - unknown}


def _person(connection: Connection, id_: str, now: datetime) -> Mapping[str, int]:
    people.wake_customers(connection, [id_], now=now)  # rules are read in the office of whoever looks after them
    _locked(connection, select(outbox.c.id).where(outbox.c.person == id_).order_by(outbox.c.id))
    _locked(connection, select(known.c.id).where(known.c.id == id_))  # from now on nothing is queued for them
    parts = of_person(connection, id_)
    digests = select(outbox.c.id).where(outbox.c.person == id_)
    connection.execute(delete(digest_items).where(digest_items.c.digest.in_(digests)))
    return {
        **_emptied(connection, parts, now),
        **_posted(connection, parts),
        **_deleted(connection, parts, "deliveries", "sessions", "tokens", "users"),
        **_deleted(connection, parts, "suppressions", ANSWERS, "wishes", "person"),
        **_nameless(connection, parts, now),
    }


ERASE: Mapping[Of, Callable[[Connection, str, datetime], Mapping[str, int]]] = {
    Of.CUSTOMER: _customer,
    Of.PERSON: _person,
}


# --- pieces ---


def _held(connection: Connection, dossier: str, now: datetime) -> int:
    """Hold the row on which everybody waits who writes anything about a customer; 1: it had to be made for that.

    Whoever writes records holds them before it, so that we do too; raises `_Overtaken` where there are more by then.
    """
    theirs = select(records.c.kind, records.c.id).where(records.c.dossier == dossier)
    held = _locked(connection, theirs.order_by(records.c.kind, records.c.id))
    row = {"id": dossier, "version": 1, "check_at": now}
    made = insert(connection, customers).on_conflict_do_nothing().returning(customers.c.id)
    new = len(connection.execute(made, row).all())
    _locked(connection, select(customers.c.id).where(customers.c.id == dossier))
    if len(connection.execute(theirs).all()) != len(held):
        raise _Overtaken
    return new


def _locked(connection: Connection, rows: Select[*tuple[Any, ...]]) -> Sequence[AnyRow]:
    return connection.execute(rows.with_for_update()).all()


def _deleted(connection: Connection, parts: Parts, *names: str) -> dict[str, int]:
    return {name: connection.execute(delete(parts[name][0]).where(parts[name][1])).rowcount for name in names}


def _posted(connection: Connection, parts: Parts) -> dict[str, int]:
    table, which = parts["webhook deliveries"]
    _locked(connection, select(table.c.id).where(which).order_by(table.c.id))
    return _deleted(connection, parts, "webhook attempts", "webhook deliveries", "events")


def _left_out_of_digests(connection: Connection, parts: Parts) -> dict[str, int]:
    """Written afresh if they are still to go out; whoever is writing one now finds that the lease is over."""
    which = parts["digests"][1]
    leased = (which, outbox.c.state == DeliveryState.LEASED)
    connection.execute(update(outbox).where(*leased).values(state=DeliveryState.READY, **UNLEASED))
    emptied = connection.execute(update(outbox).where(which).values(body=None)).rowcount
    about = select(parts["recommendations"][0].c.id).where(parts["recommendations"][1])
    connection.execute(delete(digest_items).where(digest_items.c.recommendation.in_(about)))
    return {"digests": emptied}


def _emptied(connection: Connection, parts: Parts, now: datetime) -> dict[str, int]:
    emptied = update(audit).where(parts["audit"][1]).values(**EMPTY, erased_at=now)
    return {"audit": connection.execute(emptied).rowcount}


def _nameless(connection: Connection, parts: Parts, now: datetime) -> dict[str, int]:
    """What they did to what is kept about others stays, but nobody can tell who it was."""
    theirs = parts["acts"][1]
    wrote = select(audit.c.dossier).where(theirs)
    sources = select(audit.c.source).where(theirs)
    versions = (record_history.c.dossier.in_(wrote), record_history.c.source.in_(sources))
    connection.execute(update(record_history).where(*versions).values(source=NOBODY))
    nameless = update(audit).where(theirs).values(source=None, salt=None, erased_at=now)
    return {"acts": connection.execute(nameless).rowcount}
