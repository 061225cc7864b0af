"""Recommendations as rows, and what a person does with one."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeAlias

from sqlalchemy import Column, ColumnElement, Connection, and_, case, delete, func, not_, select, true, tuple_, update

from domain.delivery import NewDelivery
from domain.event import acted as acted_on
from domain.event import described
from domain.followup import NewFollowUp
from domain.recommendation import Act, Advice, Recommendation, State, Verdict
from domain.record import RecordRef
from store import audit, events, outbox
from store import followups as upcoming
from store.audit import NewEntry
from store.dialects import among, insert
from store.due import wake
from store.session import Database
from store.tables import EPOCH, AnyRow, addressees, digest_items, recommendations
from store.tables import outbox as messages
from store.visibility import visible


def get(db: Database, recommendation: str) -> Recommendation | None:
    with db.read() as connection:
        row = connection.execute(select(recommendations).where(recommendations.c.id == recommendation)).one_or_none()
    return from_row(row) if row else None


def get_many(db: Database, ids: Collection[str]) -> dict[str, Recommendation]:
    with db.read() as connection:
        rows = connection.execute(select(recommendations).where(among(recommendations.c.id, ids)))
        return {row.id: from_row(row) for row in rows}


def running(db: Database, dossiers: Collection[str]) -> dict[str, list[Recommendation]]:
    """The recommendations of each dossier whose episode runs, whatever people did with them."""
    with db.read() as connection:
        rows = connection.execute(
            select(recommendations)
            .where(among(recommendations.c.dossier, dossiers), recommendations.c.ended_at.is_(None))
            .order_by(recommendations.c.opened_at, recommendations.c.id)
        ).all()
    found = defaultdict[str, list[Recommendation]](list)
    for row in rows:
        found[row.dossier].append(from_row(row))
    return dict(found)


def listing(
    db: Database, *, state: State | None = None, dossier: str | None = None, limit: int = 1000
) -> list[Recommendation]:
    """The latest recommendations first."""
    query = select(recommendations).order_by(recommendations.c.opened_at.desc(), recommendations.c.id).limit(limit)
    if state is not None:
        query = query.where(recommendations.c.state == state)
    if dossier is not None:
        query = query.where(recommendations.c.dossier == dossier)
    with db.read() as connection:
        return [from_row(row) for row in connection.execute(query)]


class Sort(StrEnum):
    OPENED_AT = "opened_at"
    DUE = "due"  # what has no date comes last
    WORTH = "worth"  # what has no amount is worth 0


Position: TypeAlias = tuple[datetime | date | float, str]
"""Where a recommendation stands in an order: what it is sorted by, and its id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which recommendations are asked for; None: it does not matter. `owners`: as `visible` has them.

    `rules`: of these; `without`: of none of these. `to`: whom they speak to. `due_before`: that day excluded.
    """

    owners: Collection[str] | None = None
    state: State | None = None
    rules: Collection[str] | None = None
    without: Collection[str] = ()
    team: str | None = None
    product: str | None = None
    dossier: str | None = None
    to: str | None = None
    due_before: date | None = None
    worth_min: Decimal | None = None
    snoozed: bool | None = None
    held_back: bool | None = None

    def conditions(self, now: datetime) -> Iterator[ColumnElement[bool]]:
        columns = recommendations.c
        yield visible(columns.dossier, self.owners)
        for name in ("state", "team", "product", "dossier", "held_back"):
            if (value := getattr(self, name)) is not None:
                yield columns[name] == value
        if self.rules is not None:
            yield among(columns.rule, self.rules)
        if self.without:
            yield ~among(columns.rule, self.without)
        if self.to is not None:
            yield columns.id.in_(select(addressees.c.recommendation).where(addressees.c.person == self.to))
        if self.due_before is not None:
            yield columns.due < self.due_before
        if self.worth_min is not None:
            yield columns.worth >= float(self.worth_min)
        if self.snoozed is not None:
            later = and_(columns.snoozed_until.is_not(None), columns.snoozed_until > now)
            yield later if self.snoozed else not_(later)


def page(
    db: Database,
    wanted: Wanted,
    *,
    sort: Sort,
    descending: bool,
    after: Position | None = None,
    limit: int,
    now: datetime,
) -> list[Recommendation]:
    """In an order, beginning after a position in it: the same place whatever is written meanwhile."""
    key = (recommendations.c[sort], recommendations.c.id)
    query = select(recommendations).where(*wanted.conditions(now)).limit(limit)
    if after is not None:
        query = query.where(tuple_(*key) < after if descending else tuple_(*key) > after)
    query = query.order_by(*(part.desc() if descending else part for part in key))
    with db.read() as connection:
        return [from_row(row) for row in connection.execute(query)]


def position(recommendation: Recommendation, sort: Sort) -> Position:
    return to_row(recommendation)[sort], recommendation.id


def of_deliveries(db: Database, deliveries: Collection[int]) -> dict[int, list[Recommendation]]:
    """What each delivery is about, by its number: one, or all that a digest names."""
    single = select(messages.c.id.label("delivery"), messages.c.recommendation).where(messages.c.id.in_(deliveries))
    listed = select(digest_items.c.digest, digest_items.c.recommendation).where(digest_items.c.digest.in_(deliveries))
    pairs = single.union_all(listed).subquery()
    query = select(pairs.c.delivery, recommendations).join(pairs, recommendations.c.id == pairs.c.recommendation)
    found: dict[int, list[Recommendation]] = {delivery: [] for delivery in deliveries}
    with db.read() as connection:
        for row in connection.execute(query.order_by(recommendations.c.id)):
            found[row.delivery].append(from_row(row))
    return found


# --- in numbers ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """What is open of one rule, product, team and verdict. `worth` is in the company's currency."""

    rule: str
    product: str | None
    team: str | None
    verdict: Verdict
    count: int
    overdue: int
    worth: Decimal


def sums(db: Database, *, today: date, without: Collection[str]) -> list[Sum]:
    """Everything open but for these rules. Whatever was due before today is overdue."""
    by = [recommendations.c[name] for name in ("rule", "product", "team", "verdict")]
    overdue, worth = func.sum(case((recommendations.c.due < today, 1), else_=0)), func.sum(recommendations.c.worth)
    query = (
        select(*by, func.count().label("open"), overdue.label("overdue"), worth.label("worth"))
        .where(*Wanted(state=State.OPEN, without=without).conditions(EPOCH))
        .group_by(*by)
    )
    with db.read() as connection:
        return [
            Sum(
                rule=row.rule,
                product=row.product,
                team=row.team,
                verdict=Verdict(row.verdict),
                count=row.open,
                overdue=row.overdue,
                worth=Decimal(format(row.worth, ".2f")),
            )
            for row in connection.execute(query)
        ]


def open_of(db: Database, dossiers: Collection[str], *, without: Collection[str]) -> dict[str, int]:
    """How many are open of each dossier, but for these rules. One without any is absent."""
    return _open_by(db, recommendations.c.dossier, among(recommendations.c.dossier, dossiers), without)


def open_by_rule(db: Database) -> dict[str, int]:
    """How many are open of each rule. One without any is absent."""
    return _open_by(db, recommendations.c.rule, true(), ())


def _open_by(db: Database, column: Column[str], which: ColumnElement[bool], without: Collection[str]) -> dict[str, int]:
    wanted = Wanted(state=State.OPEN, without=without).conditions(EPOCH)
    with db.read() as connection:
        counted = select(column.label("of"), func.count().label("open")).where(which, *wanted).group_by(column)
        return {row.of: row.open for row in connection.execute(counted)}


def act(
    db: Database,
    before: Recommendation,
    after: Recommendation,
    *,
    act: Act,
    by: str,
    source: str,
    deliveries: Sequence[NewDelivery] = (),
    followups: Sequence[NewFollowUp] = (),
    now: datetime,
    trace: str | None = None,
) -> bool:
    """Record what a person did: nothing unsent goes out any more but these deliveries. False: someone was faster.

    What is still to come is put off by a snooze and withdrawn by the rest; `followups`: what is planned anew. `by`: who
    did it, `source`: how they came, as the audit names it: "link:u1", "user:u1".
    """
    with db.begin() as connection:
        # Or an evaluation under way would write the old state back.
        wake(connection, [before.dossier], now=now, trace=trace)
        changed = connection.execute(
            update(recommendations)
            .where(recommendations.c.id == before.id, recommendations.c.state == before.state)
            .values(
                state=after.state,
                snoozed_until=after.snoozed_until,
                closed_at=after.closed_at,
                closed_by=after.closed_by,
                note=after.note,
            )
        )
        if changed.rowcount == 0:
            connection.rollback()
            return False
        outbox.cancel(connection, [before.id])
        outbox.queue(connection, deliveries)
        if after.state is State.OPEN and after.snoozed_until is not None:
            upcoming.put_off(connection, before.id, until=after.snoozed_until)
        elif after.state is not State.OPEN:
            upcoming.withdraw(connection, [before.id])
            outbox.follow_closing(connection, [before.id], now=now)
        upcoming.plan(connection, followups)
        events.emit(connection, acted_on(after, act, by=by, at=now))
        audit.note(connection, [_entry(before, after, act)], source=source, at=now, trace=trace)
        return True


def _entry(before: Recommendation, after: Recommendation, act: Act) -> NewEntry:
    was, became = audit.differing(described(before) | {"note": before.note}, described(after) | {"note": after.note})
    return NewEntry(
        action=f"recommendation.{act}",
        kind="recommendation",
        subject=before.id,
        dossier=before.dossier,
        before=was,
        after=became,
    )


# --- inside the transactions of others ---


def address(connection: Connection, written: Collection[Recommendation]) -> None:
    """Write down to whom these speak now."""
    connection.execute(delete(addressees).where(among(addressees.c.recommendation, [each.id for each in written])))
    rows = [{"person": who, "recommendation": each.id} for each in written for who in set(each.advice.to)]
    if rows:
        connection.execute(insert(connection, addressees), rows)


# --- rows ---

SAME_IN_BOTH = tuple(
    column.name for column in recommendations.c if column.name in Recommendation.__slots__ and column.name != "advice"
)


def to_row(recommendation: Recommendation) -> dict[str, Any]:
    return {name: getattr(recommendation, name) for name in SAME_IN_BOTH} | {
        "subject_kind": recommendation.subject.kind,
        "subject_id": recommendation.subject.id,
        "team": recommendation.advice.team,
        "product": recommendation.advice.product,
        "verdict": recommendation.advice.recommend,
        "worth": float(recommendation.advice.worth or 0),
        "due": recommendation.advice.due or date.max,
        "held_back": bool(recommendation.advice.held_back_by),
        "advice": json.dumps(asdict(recommendation.advice), default=str, ensure_ascii=False),
    }


def from_row(row: AnyRow) -> Recommendation:
    same: dict[str, Any] = {name: getattr(row, name) for name in SAME_IN_BOTH} | {"state": State(row.state)}
    subject = RecordRef(kind=row.subject_kind, id=row.subject_id)
    return Recommendation(**same, subject=subject, advice=_advice(json.loads(row.advice)))


def _advice(saved: dict[str, Any]) -> Advice:
    return Advice(
        recommend=Verdict(saved["recommend"]),
        say=saved["say"],
        do=saved["do"],
        instead=tuple(saved["instead"]),
        worth=None if saved["worth"] is None else Decimal(saved["worth"]),
        due=None if saved["due"] is None else date.fromisoformat(saved["due"]),
        to=tuple(saved["to"]),
        held_back_by=tuple(saved["held_back_by"]),
        tags=tuple(saved.get("tags", ())),
        team=saved.get("team"),
        product=saved.get("product"),
    )
