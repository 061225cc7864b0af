from __future__ import annotations

from domain.person import Person
from store import people
from store.dossiers import Outcome
from store.session import Database
from tests.store.make import T0

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


def test_people_are_written_whole_and_the_same_again_is_unchanged(db: Database) -> None:
    assert people.save(db, [ANNA, BEAT, BEAT], now=T0) == [Outcome.NEW, Outcome.NEW, Outcome.UNCHANGED]
    found = people.load(db)
    assert found.by_id == {"u1": ANNA, "u2": BEAT}
    assert found.leads == {"Zürich": "u2"}

    moved = Person(id="u1", name="Anna Ä.", email="anna@example.com")
    assert people.save(db, [moved, BEAT], now=T0) == [Outcome.CHANGED, Outcome.UNCHANGED]
    assert people.load(db).by_id == {"u1": moved, "u2": BEAT}
