"""The people who work with customers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime

from sqlalchemy import select, update

from domain.person import People, Person
from store.dialects import among, insert
from store.dossiers import Outcome
from store.due import woken
from store.session import Database
from store.tables import AnyRow, customers, people


def save(db: Database, written: Sequence[Person], *, now: datetime) -> list[Outcome]:
    """Write people whole; the same person again is UNCHANGED. One outcome per person. Nobody is removed.

    A changed office makes every customer due: rules are read in the office of a customer's owner.
    """
    outcomes: list[Outcome] = []
    changed: dict[str, Person] = {}
    with db.begin() as connection:
        rows = connection.execute(select(people).where(among(people.c.id, [person.id for person in written])))
        known = {row.id: _person(row) for row in rows}
        offices = {id_: person.office for id_, person in known.items()}
        for person in written:
            outcome = Outcome.of(known.get(person.id), person)
            outcomes.append(outcome)
            if outcome is not Outcome.UNCHANGED:
                known[person.id] = changed[person.id] = person
        if changed:
            into = insert(connection, people)
            connection.execute(
                into.on_conflict_do_update(index_elements=["id"], set_=dict(into.excluded)),
                [asdict(changed[id_]) | {"updated_at": now} for id_ in sorted(changed)],
            )
        if any(person.office != offices.get(id_) for id_, person in changed.items()):
            everyone = select(customers.c.id).order_by(customers.c.id).with_for_update()
            connection.execute(update(customers).where(customers.c.id.in_(everyone)).values(woken(now)))
    return outcomes


def load(db: Database) -> People:
    with db.read() as connection:
        return People.of(_person(row) for row in connection.execute(select(people).order_by(people.c.id)))


def _person(row: AnyRow) -> Person:
    return Person(**{field.name: getattr(row, field.name) for field in fields(Person)})
