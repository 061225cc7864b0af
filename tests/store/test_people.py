from __future__ import annotations

from dataclasses import replace

from domain.person import Person
from store import due, people
from store.changing import Outcome
from store.session import Database
from tests.store.make import T0, claim_one, commit, customer, write

ANNA = Person(
    id="u1",
    name="Anna Ä.",
    email="anna@example.com",
    manager="u2",
    team="Zürich",
    language="de",
    timezone="Europe/Zurich",
)
BEAT = Person(id="u2", name="Beat", email="beat@example.com")


def test_who_moves_to_another_office_makes_their_customers_due(db: Database) -> None:
    people.save(db, [ANNA], now=T0, source="test")
    write(db, customer("K1", owner="u1"))
    commit(db, claim_one(db))
    write(db, customer("K2", owner="u2"))
    commit(db, claim_one(db))

    people.save(db, [replace(ANNA, name="Anna B.")], now=T0, source="test")
    assert due.due_count(db, now=T0) == 0

    people.save(db, [replace(ANNA, office="sydney")], now=T0, source="test")
    assert due.due_count(db, now=T0) == 1


def test_people_are_written_whole_and_the_same_again_is_unchanged(db: Database) -> None:
    assert people.save(db, [ANNA, BEAT, BEAT], now=T0, source="test") == [Outcome.NEW, Outcome.NEW, Outcome.UNCHANGED]
    found = people.load(db)
    assert found.by_id == {"u1": ANNA, "u2": BEAT}
    assert found.leads == {"Zürich": "u2"}

    moved = Person(id="u1", name="Anna Ä.", email="anna@example.com")
    assert people.save(db, [moved, BEAT], now=T0, source="test") == [Outcome.CHANGED, Outcome.UNCHANGED]
    assert people.load(db).by_id == {"u1": moved, "u2": BEAT}


def test_whoever_is_created_by_another_writer_meanwhile_is_looked_at_again(postgresql_url: str) -> None:
    seen: list[Person | None] = []
    with Database.connect(postgresql_url) as db:

        def renamed(before: Person | None) -> Person:
            seen.append(before)
            if before is None:
                people.save(db, [ANNA], now=T0, source="another writer")
            return replace(ANNA, name="Anna B.")

        (result,) = people.change(db, [people.Change(name="u1", after=renamed)], now=T0, source="test")
    assert seen == [None, ANNA]
    assert result.outcome is Outcome.CHANGED
