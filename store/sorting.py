"""What has become due is sorted before it is sent: person by person, each with everything that waits for them."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, update

from domain.delivery import Channel, Delivery, DeliveryState, Purpose
from domain.recommendation import Recommendation
from domain.sorting import Drop, Fate, Gather, Send, Wait
from store.dialects import alone, among, insert
from store.outbox import QUEUED, READY, from_row, wanted
from store.recommendations import from_row as recommendation
from store.session import Database
from store.tables import UNDERWAY, digest_items, outbox, recommendations

PEOPLE_LIMIT = 100  # whose mail is sorted in one transaction
SORTING = 0x72656C62  # the lock: two who sort at once would each count only what they see


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A delivery whose time has come, and the open recommendation that it is about."""

    delivery: Delivery
    recommendation: Recommendation


def sort(
    db: Database,
    decide: Callable[[Sequence[Waiting], Mapping[str, int]], Iterable[Fate]],
    *,
    now: datetime,
    day_of: Callable[[str], datetime | None],
    people: int = PEOPLE_LIMIT,
) -> int:
    """Ask `decide` what becomes of everything that is queued and due for some people, and write it; how much that was.

    `day_of`: when the day of a person began, for those who want so many a day; `decide` is told how many they have had
    since. 0: nothing is due, or somebody else is sorting.
    """
    with db.begin() as connection:
        if not alone(connection, SORTING):
            return 0
        due = (QUEUED, outbox.c.due_at <= now, wanted(now))
        whose = select(outbox.c.person).where(*due).group_by(outbox.c.person).order_by(func.min(outbox.c.due_at))
        persons = connection.scalars(whose.limit(people)).all()
        theirs = select(outbox).where(*due, among(outbox.c.person, persons)).order_by(outbox.c.id)
        rows = connection.execute(theirs.with_for_update(skip_locked=True)).all()  # somebody may be withdrawing them
        about = select(recommendations).where(among(recommendations.c.id, {row.recommendation for row in rows}))
        known = {row.id: recommendation(row) for row in connection.execute(about)}
        waiting = [Waiting(delivery=from_row(row), recommendation=known[row.recommendation]) for row in rows]
        days = {person: day for person in persons if (day := day_of(person)) is not None}
        heard = _heard(connection, days)
        _apply(connection, decide(waiting, heard))
    return len(waiting)


def _heard(connection: Connection, days: Mapping[str, datetime]) -> Mapping[str, int]:
    """How many reminders each has had since their day began, those that are on the way included."""
    heard: Counter[str] = Counter()
    for person, day in days.items():
        reminders = select(func.count()).where(outbox.c.person == person, outbox.c.purpose == Purpose.REMINDER)
        heard[person] += connection.scalars(reminders.where(outbox.c.sent_at >= day)).one()
        heard[person] += connection.scalars(reminders.where(UNDERWAY)).one()
    return heard


def _apply(connection: Connection, fates: Iterable[Fate]) -> None:
    values: list[dict[str, Any]] = []
    gathered: dict[tuple[str, tuple[datetime, ...]], list[Gather]] = defaultdict(list)
    for fate in fates:
        match fate:
            case Send(channel=channel, destination=destination):
                values.append(_row(fate, DeliveryState.READY, channel=channel, destination=destination))
            case Wait(until=until):
                values.append(_row(fate, DeliveryState.QUEUED, due_at=until))
            case Drop(reason=reason):
                values.append(_row(fate, DeliveryState.CANCELLED, last_error=reason))
            case Gather(person=person, windows=windows):
                gathered[person, windows].append(fate)
    for named in gathered.values():
        values += _gather(connection, named)
    for names, rows in groupby(sorted(values, key=_names), key=_names):
        statement = update(outbox).where(outbox.c.id == bindparam("_id"))
        connection.execute(statement.values({name: bindparam(name) for name in names if name != "_id"}), list(rows))


def _names(values: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(values))


def _row(fate: Fate, state: DeliveryState, **values: Any) -> dict[str, Any]:
    return {"_id": fate.delivery, "state": state} | values


def _gather(connection: Connection, named: Sequence[Gather]) -> Iterator[dict[str, Any]]:
    """Into the first digest that has not gone out; where all have, asked again at the last one's time."""
    first = named[0]
    for window in first.windows:
        digest = _open_digest(connection, first, window)
        if digest is None:
            continue
        connection.execute(
            insert(connection, digest_items).on_conflict_do_nothing(),
            [{"digest": digest, "recommendation": fate.recommendation, "why": fate.why} for fate in named],
        )
        return (_row(fate, DeliveryState.GATHERED) for fate in named)
    return (_row(fate, DeliveryState.QUEUED, due_at=first.windows[-1]) for fate in named)


def _open_digest(connection: Connection, of: Gather, window: datetime) -> int | None:
    """The person's digest of a moment, begun where there is none. None: it is on its way already."""
    key = hashlib.sha256("\x1f".join((Purpose.DIGEST, of.person, window.isoformat())).encode()).hexdigest()[:32]
    connection.execute(
        insert(connection, outbox).on_conflict_do_nothing(),
        {
            "key": key,
            "purpose": Purpose.DIGEST,
            "person": of.person,
            "destination": of.destination,
            "channel": Channel.EMAIL,
            "occurrence": 0,
            "state": DeliveryState.READY,
            "wanted_at": window,
            "due_at": window,
            "attempts": 0,
            "resends": 0,
            "fence": 0,
        },
    )
    return connection.scalar(select(outbox.c.id).where(outbox.c.key == key, READY).with_for_update())
