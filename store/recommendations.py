"""Recommendations as rows, and what a person does with one."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select, update

from domain.delivery import NewDelivery
from domain.event import acted as acted_on
from domain.event import described
from domain.followup import NewFollowUp
from domain.recommendation import Act, Advice, Recommendation, State, Verdict
from domain.record import RecordRef
from store import audit, events, outbox
from store import followups as upcoming
from store.audit import NewEntry
from store.dialects import among
from store.due import wake
from store.session import Database
from store.tables import AnyRow, recommendations


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
    was, became = audit.differing(described(before), described(after))
    return NewEntry(
        action=f"recommendation.{act}",
        kind="recommendation",
        subject=before.id,
        dossier=before.dossier,
        before=was,
        after=became,
    )


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
