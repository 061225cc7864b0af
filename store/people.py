"""The people who work with customers, and what they asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime, time
from typing import Any, TypeAlias

from sqlalchemy import Connection, or_, select, update
from sqlalchemy import delete as delete_from

from domain.person import People, Person
from domain.wishes import EVERY_DAY, Way, Wishes
from store import audit, changing
from store.audit import NewEntry
from store.changing import TAG_CHARACTERS, Condition, Outcome, Overtaken, always, unless_overtaken
from store.dialects import among, insert
from store.due import woken
from store.session import Database
from store.tables import AnyRow, customers, people, records, wishes

States: TypeAlias = dict[str, Person | None]


Change: TypeAlias = changing.Change[str, Person]
"""What becomes of one person but for their wishes, by id."""
Result: TypeAlias = changing.Result[Person]


def change(
    db: Database, changes: Sequence[Change], *, now: datetime, source: str, trace: str | None = None
) -> list[Result]:
    """Make changes in one transaction, in their order. One result per change.

    Whoever is new, leaves or moves to another office makes their customers due, which are read in that office. What
    somebody who leaves asked for is forgotten.
    """

    def attempt() -> list[Result]:
        with db.begin() as connection:
            before = _known(connection, {change.name for change in changes})
            after = dict(before)
            results = [change.made(after, tag) for change in changes]
            _replace(connection, before, after, now=now, source=source, trace=trace)
            return results

    return unless_overtaken(attempt)


def save(
    db: Database, written: Sequence[Person], *, now: datetime, source: str, trace: str | None = None
) -> list[Outcome]:
    """Write people whole but for their wishes; the same person again is UNCHANGED. One outcome per person.

    Nobody is removed.
    """
    results = change(db, [writing(person) for person in written], now=now, source=source, trace=trace)
    return [result.outcome for result in results]


def remove(db: Database, ids: Sequence[str], *, now: datetime, source: str, trace: str | None = None) -> list[Outcome]:
    """One outcome per id: DELETED, or UNCHANGED where nobody is known by it (any more)."""
    results = change(db, [removing(id_) for id_ in ids], now=now, source=source, trace=trace)
    return [result.outcome for result in results]


class UnknownPeople(Exception):
    """Nobody is known by these ids."""

    def __init__(self, ids: Collection[str]) -> None:
        super().__init__(", ".join(sorted(ids)))
        self.ids = frozenset(ids)


def set_team(
    db: Database, team: str, members: Collection[str], *, now: datetime, source: str, trace: str | None = None
) -> None:
    """Say who is in a team, and that nobody else is. Raises `UnknownPeople`."""
    concerned = or_(people.c.team == team, among(people.c.id, members))
    with db.begin() as connection:
        rows = connection.execute(select(people).where(concerned).order_by(people.c.id).with_for_update())
        before: States = {row.id: _person(row) for row in rows}
        if unknown := set(members) - before.keys():
            raise UnknownPeople(unknown)
        after: States = {
            id_: person and replace(person, team=team if id_ in members else None) for id_, person in before.items()
        }
        _replace(connection, before, after, now=now, source=source, trace=trace)


def writing(person: Person, *, condition: Condition = always) -> Change:
    bare = replace(person, wishes=Wishes())
    return Change(name=person.id, after=lambda _: bare, condition=condition)


def patching(id_: str, changed: Mapping[str, str | None], *, condition: Condition = always) -> Change:
    """Some of what is known of a person who is known; None removes it."""
    return Change(
        name=id_,
        after=lambda before: before and replace(before, **changed),
        condition=condition,
        needs_one=True,
    )


def removing(id_: str, *, condition: Condition = always) -> Change:
    return Change(name=id_, after=lambda _: None, condition=condition)


def tag(person: Person) -> str:
    """Names exactly what is known of a person but for their wishes."""
    return hashlib.sha256(json.dumps(_said(person)).encode()).hexdigest()[:TAG_CHARACTERS]


def get(db: Database, id_: str) -> Person | None:
    """What is recorded of a person, without their wishes."""
    with db.read() as connection:
        row = connection.execute(select(people).where(people.c.id == id_)).one_or_none()
    return _person(row) if row else None


def listing(db: Database, *, after: str = "", limit: int) -> list[Person]:
    """A page of those recorded, by id, without their wishes."""
    page = select(people).where(people.c.id > after).order_by(people.c.id).limit(limit)
    with db.read() as connection:
        return [_person(row) for row in connection.execute(page)]


def load(db: Database) -> People:
    """Everyone, with what they asked for: a language and a time zone of their own choice go before those known."""
    with db.read() as connection:
        asked = {row.person: row.wishes for row in connection.execute(select(wishes))}
        rows = connection.execute(select(people).order_by(people.c.id)).all()
    return People.of(_with_wishes(_person(row), asked.get(row.id)) for row in rows)


def wish(db: Database, person: str, asked: Wishes, *, now: datetime, source: str, trace: str | None = None) -> None:
    """Write what a person asked for, whole."""
    written = wishes_to_json(asked)
    row = {"person": person, "wishes": written, "updated_at": now}
    with db.begin() as connection:
        known = select(wishes.c.wishes).where(wishes.c.person == person).with_for_update()
        saved = connection.scalar(known)
        into = insert(connection, wishes)
        connection.execute(into.on_conflict_do_update(index_elements=["person"], set_=dict(into.excluded)), row)
        before, after = audit.differing(json.loads(saved or "{}"), json.loads(written))
        if before or after:
            entry = NewEntry(action="person.wished", kind="person", subject=person, before=before, after=after)
            audit.note(connection, [entry], source=source, at=now, trace=trace)


# --- changing ---


def _known(connection: Connection, ids: Collection[str]) -> States:
    """Who is known by each id, locked until the transaction ends."""
    rows = connection.execute(select(people).where(among(people.c.id, ids)).order_by(people.c.id).with_for_update())
    return dict.fromkeys(sorted(ids)) | {row.id: _person(row) for row in rows}


def _replace(
    connection: Connection, before: States, after: States, *, now: datetime, source: str, trace: str | None
) -> None:
    """Make the difference. Raises `Overtaken` where somebody who had to be created is there by now."""
    differing = {id_: (before[id_], new) for id_, new in after.items() if new != before[id_]}
    created = [_row(new, now) for old, new in differing.values() if new and old is None]
    changed = [_row(new, now) for old, new in differing.values() if new and old]
    gone = [id_ for id_, (_, new) in differing.items() if new is None]
    if created:
        into = insert(connection, people).on_conflict_do_nothing().returning(people.c.id)
        if len(connection.execute(into, created).all()) != len(created):
            raise Overtaken
    if changed:
        into = insert(connection, people)
        connection.execute(into.on_conflict_do_update(index_elements=["id"], set_=dict(into.excluded)), changed)
    if gone:
        connection.execute(delete_from(people).where(among(people.c.id, gone)))
        connection.execute(delete_from(wishes).where(among(wishes.c.person, gone)))
    audit.note(connection, [_entry(id_, *pair) for id_, pair in differing.items()], source=source, at=now, trace=trace)
    moved = [id_ for id_, (old, new) in differing.items() if not (old and new) or old.office != new.office]
    if moved:
        wake_customers(connection, moved, now=now)


def wake_customers(connection: Connection, owners: Collection[str], *, now: datetime) -> None:
    """Make the customers of these people due."""
    theirs = select(records.c.dossier).where(among(records.c.owner, owners))
    held = select(customers.c.id).where(customers.c.id.in_(theirs)).order_by(customers.c.id).with_for_update()
    connection.execute(update(customers).where(customers.c.id.in_(held)).values(woken(now)))


def _entry(id_: str, old: Person | None, new: Person | None) -> NewEntry:
    before, after = audit.differing(old and _said(old), new and _said(new))
    action = "person.created" if old is None else "person.deleted" if new is None else "person.changed"
    return NewEntry(action=action, kind="person", subject=id_, before=before, after=after)


# --- rows ---

IMPORTED = tuple(field.name for field in fields(Person) if field.name != "wishes")


def _person(row: AnyRow) -> Person:
    return Person(**{name: getattr(row, name) for name in IMPORTED})


def _said(person: Person) -> dict[str, Any]:
    return {name: getattr(person, name) for name in IMPORTED}


def _row(person: Person, now: datetime) -> dict[str, Any]:
    return _said(person) | {"updated_at": now}


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
