"""The audit: who did what is written with each write, nobody changes it, and whoever does is found out."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from domain.person import Person
from domain.wishes import Wishes
from store import audit, chain, people, rulebases, suppressions
from store.audit import NewEntry, Wanted
from store.session import Database
from store.suppressions import Suppression, Why
from tests.store.make import DAY, MINUTE, T0, contract, customer, write

APPEND_ONLY = "append-only"


def noted(db: Database, *subjects: str) -> None:
    with db.begin() as connection:
        entries = [NewEntry(action="record.changed", kind="contract", subject=s, dossier="K1") for s in subjects]
        audit.note(connection, entries, source="test", at=T0)


def run(db: Database, statement: str) -> None:
    with db.begin() as connection:
        connection.execute(text(statement))


def tampered(db: Database, *statements: str) -> None:
    """Somebody who owns the database switches off what it checks, and does as they like."""
    if db.engine.dialect.name == "sqlite":
        with closing(sqlite3.connect(db.engine.url.database or "")) as connection, connection:
            for name in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                connection.execute(f"DROP TRIGGER {name[0]}")
            for statement in statements:
                connection.execute(statement)
    else:
        with db.begin() as connection:
            for statement in ("SET LOCAL session_replication_role = replica", *statements):
                connection.execute(text(statement))


def faults(db: Database) -> tuple[str, ...]:
    return chain.verify(db, late=T0).faults


def test_the_database_refuses_to_change_the_audit_but_for_emptying_an_entry(db: Database) -> None:
    noted(db, "C1", "C2")
    assert chain.seal(db) == 2
    for statement in (
        "DELETE FROM audit",
        "UPDATE audit SET action = 'nothing.happened'",
        "UPDATE audit SET source = 'somebody else'",
        "UPDATE audit SET source = NULL",
        "UPDATE audit SET subject = 'C9', salt = NULL, erased_at = at",
        "UPDATE audit SET kind = NULL, salt = NULL, erased_at = at",
        "DELETE FROM audit_chain",
        "UPDATE audit_chain SET hash = 'x'",
    ):
        with pytest.raises(DBAPIError, match=APPEND_ONLY):
            run(db, statement)
    run(db, "UPDATE audit SET subject = NULL, dossier = NULL, salt = NULL, erased_at = at WHERE subject = 'C1'")
    run(db, "UPDATE audit SET source = NULL WHERE subject IS NULL")
    with pytest.raises(DBAPIError, match=APPEND_ONLY):
        run(db, "UPDATE audit SET subject = 'C1' WHERE subject IS NULL")

    verified = chain.verify(db, late=T0)
    assert (verified.entries, verified.emptied, verified.faults) == (2, 1, ())


def test_entries_that_are_committed_late_are_sealed_too_and_each_once(db: Database) -> None:
    assert chain.seal(db) == 0
    if db.engine.dialect.name == "postgresql":
        with db.begin() as slow:
            audit.note(slow, [NewEntry(action="a", kind="k", subject="early")], source="test", at=T0)
            noted(db, "late")
            assert chain.seal(db) == 1
    noted(db, *(f"C{number}" for number in range(30)))
    with ThreadPoolExecutor(4) as pool:
        sealed = sum(pool.map(lambda _: sum(iter(lambda: chain.seal(db, limit=5), 0)), range(4)))
    sealed += sum(iter(lambda: chain.seal(db), 0))  # where others were at it

    verified = chain.verify(db, late=T0 + DAY)
    assert verified.faults == ()
    assert sealed in (30, 31)
    assert verified.entries == verified.last.position == sealed + (sealed == 31)
    assert chain.find(db, verified.last.position) == chain.last(db) == verified.last
    assert chain.oldest_unsealed(db) is None


def test_only_recent_entries_are_looked_at_unless_all_are_asked_for(db: Database) -> None:
    noted(db, "C1", "C2", "C3")
    assert chain.seal(db, recent=2) == 2
    assert chain.seal(db, recent=2) == 0
    assert chain.oldest_unsealed(db) == T0
    assert chain.verify(db, late=T0).unsealed == 1
    assert chain.verify(db, late=T0 - MINUTE).unsealed == 0
    assert chain.seal(db, recent=None) == 1
    assert faults(db) == ()


def test_whoever_changes_it_nevertheless_is_found_out(db: Database) -> None:
    noted(db, *(f"C{number}" for number in range(1, 15)))
    chain.seal(db)
    tampered(
        db,
        "UPDATE audit SET after = '{}' WHERE seq = 2",
        "UPDATE audit SET source = 'nobody' WHERE seq = 4",
        "DELETE FROM audit WHERE seq = 6",
        "UPDATE audit_chain SET digest = 'x' WHERE position = 8",
        "DELETE FROM audit_chain WHERE position = 10",
        "UPDATE audit_chain SET hash = 'x' WHERE position = 12",
    )
    assert chain.verify(db, late=T0 + DAY).faults == (
        "position 2: entry 2, record.changed, was changed after it was sealed",
        "position 4: entry 4, record.changed, was changed after it was sealed",
        "position 6: entry 6 is gone",
        "position 8: the seal does not follow from the one before it",
        "position 8: entry 8, record.changed, was changed after it was sealed",
        "position 11: the seals from 10 on are missing",
        "position 12: the seal does not follow from the one before it",
        "position 13: the seal does not follow from the one before it",
    )
    assert chain.verify(db, late=T0, most=1).faults == ()  # a look at the last ones alone does not see it


def test_each_write_that_somebody_causes_is_audited(db: Database) -> None:
    lena = Person(id="lena", name="Lena", email="lena@example.com")
    people.save(db, [lena], now=T0, source="token:t1")
    people.wish(db, "lena", Wishes(daily_cap=3), now=T0, source="link:lena")
    people.wish(db, "lena", Wishes(daily_cap=3), now=T0, source="link:lena")
    people.wish(db, "lena", Wishes(daily_cap=4), now=T0, source="link:lena")
    suppressions.add(db, Suppression(address="Lena@Example.com", reason=Why.BOUNCED, since=T0), source="bounce")
    suppressions.lift(db, "lena@example.com", now=T0, source="command line")
    rulebases.publish(db, hash="A", rules={"r1": "x"}, kinds=("customer",), now=T0)
    rulebases.publish(db, hash="B", rules={"r2": "y"}, kinds=("customer",), now=T0)
    write(db, customer("K1"), contract("C1", status="active"))
    write(db, contract("C1", status="ended"), now=T0 + DAY)

    found = [(e.action, e.kind, e.subject, e.source, e.before, e.after) for e in audit.listing(db, Wanted(), limit=99)]
    assert found[::-1][1:] == [
        ("person.wished", "person", "lena", "link:lena", {}, {"daily_cap": 3}),
        ("person.wished", "person", "lena", "link:lena", {"daily_cap": 3}, {"daily_cap": 4}),
        (
            "suppression.added",
            "suppression",
            "lena@example.com",
            "bounce",
            None,
            {"reason": "bounced", "detail": None, "delivery": None},
        ),
        ("suppression.lifted", "suppression", "lena@example.com", "command line", {"reason": "bounced"}, None),
        ("rulebase.published", "rulebase", "A", "service", None, {"rules": {"r1": 1}, "without": []}),
        (
            "rulebase.published",
            "rulebase",
            "B",
            "service",
            {"rulebase": "A"},
            {"rules": {"r2": 1}, "without": ["r1"]},
        ),
        ("record.created", "contract", "C1", "test", None, {"customer": "K1", "status": "active"}),
        ("record.created", "customer", "K1", "test", None, {"customer": None}),
        ("record.changed", "contract", "C1", "test", {"status": "active"}, {"status": "ended"}),
    ]
    assert [e.subject for e in audit.listing(db, Wanted(customer="K1"), limit=9)] == ["C1", "K1", "C1"]
    assert [e.at for e in audit.listing(db, Wanted(kind="contract", since=T0 + MINUTE), limit=9)] == [T0 + DAY]
    assert [e.subject for e in audit.listing(db, Wanted(source="test", until=T0 + MINUTE), limit=9)] == ["K1", "C1"]
    latest = audit.listing(db, Wanted(), limit=3)
    assert audit.listing(db, Wanted(), before=latest[0].seq, limit=2) == latest[1:]
