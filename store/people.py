"""The people who work with customers, and what they asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime, time

from sqlalchemy import select, update

from domain.person import People, Person
from domain.wishes import EVERY_DAY, Way, Wishes
from store.dialects import among, insert
from store.dossiers import Outcome
from store.due import woken
from store.session import Database
from store.tables import AnyRow, customers, people, wishes


def save(db: Database, written: Sequence[Person], *, now: datetime) -> list[Outcome]:
    """Write people whole but for their wishes; the same person again is UNCHANGED. One outcome per person.

    Nobody is removed.

    A changed office makes every customer due: rules are read in the office of a customer's owner.
    """
    outcomes: list[Outcome] = []
    changed: dict[str, Person] = {}
    with db.begin() as connection:
        rows = connection.execute(select(people).where(among(people.c.id, [person.id for person in written])))
        known = {row.id: _person(row) for row in rows}
        offices = {id_: person.office for id_, person in known.items()}
        for person in written:
            outcome = Outcome.of(known.get(person.id), replace(person, wishes=Wishes()))
            outcomes.append(outcome)
            if outcome is not Outcome.UNCHANGED:
                known[person.id] = changed[person.id] = replace(person, wishes=Wishes())
        if changed:
            into = insert(connection, people)
            connection.execute(
                into.on_conflict_do_update(index_elements=["id"], set_=dict(into.excluded)),
                [
                    {name: getattr(changed[id_], name) for name in IMPORTED} | {"updated_at": now}
                    for id_ in sorted(changed)
                ],
            )
        if any(person.office != offices.get(id_) for id_, person in changed.items()):
            everyone = select(customers.c.id).order_by(customers.c.id).with_for_update()
            connection.execute(update(customers).where(customers.c.id.in_(everyone)).values(woken(now)))
    return outcomes


def load(db: Database) -> People:
    """Everyone, with what they asked for: a language and a time zone of their own choice go before those known."""
    with db.read() as connection:
        asked = {row.person: row.wishes for row in connection.execute(select(wishes))}
        rows = connection.execute(select(people).order_by(people.c.id)).all()
    return People.of(_with_wishes(_person(row), asked.get(row.id)) for row in rows)


def wish(db: Database, person: str, asked: Wishes, *, now: datetime) -> None:
    """Write what a person asked for, whole."""
    row = {"person": person, "wishes": wishes_to_json(asked), "updated_at": now}
    with db.begin() as connection:
        into = insert(connection, wishes)
        connection.execute(into.on_conflict_do_update(index_elements=["person"], set_=dict(into.excluded)), row)


# --- rows ---

IMPORTED = tuple(field.name for field in fields(Person) if field.name != "wishes")


def _person(row: AnyRow) -> Person:
    return Person(**{name: getattr(row, name) for name in IMPORTED})


def _with_wishes(person: Person, saved: str | None) -> Person:
    if saved is None:
        return person
    asked = wishes_from_json(saved)
    return replace(
        person, wishes=asked, language=asked.language or person.language, timezone=asked.timezone or person.timezone
    )


def wishes_to_json(asked: Wishes) -> str:
    """What differs from the default, as JSON."""
    saved = {
        "language": asked.language,
        "timezone": asked.timezone,
        "quiet": asked.quiet and [at.isoformat("minutes") for at in asked.quiet],
        "days": None if asked.days == EVERY_DAY else sorted(asked.days),
        "paused_until": asked.paused_until and asked.paused_until.isoformat(),
        "channels": dict(asked.channels),
        "digest_at": [at.isoformat("minutes") for at in asked.digest_at],
        "daily_cap": asked.daily_cap,
        "muted": sorted(asked.muted),
        "calendar": asked.calendar,
    }
    return json.dumps({name: value for name, value in saved.items() if value not in (None, [], {}, False)})


def wishes_from_json(text: str) -> Wishes:
    saved = json.loads(text)
    quiet = [time.fromisoformat(at) for at in saved.get("quiet", ())]
    paused = saved.get("paused_until")
    return Wishes(
        language=saved.get("language"),
        timezone=saved.get("timezone"),
        quiet=(quiet[0], quiet[1]) if quiet else None,
        days=frozenset(saved.get("days", EVERY_DAY)),
        paused_until=datetime.fromisoformat(paused) if paused else None,
        channels={key: Way(way) for key, way in saved.get("channels", {}).items()},
        digest_at=tuple(time.fromisoformat(at) for at in saved.get("digest_at", ())),
        daily_cap=saved.get("daily_cap"),
        muted=frozenset(saved.get("muted", ())),
        calendar=saved.get("calendar", False),
    )
