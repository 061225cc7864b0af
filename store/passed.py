"""What happened at a customer, in one time line: records, recommendations, what people did, and messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any, TypeAlias

from sqlalchemy import BigInteger, Connection, Select, exists, func, literal, select, tuple_, union_all

from domain.delivery import Delivery
from domain.record import RecordRef
from store import outbox as messages
from store.session import Database
from store.tables import AnyRow, audit, outbox, recommendations, record_history


class Part(IntEnum):
    """Where it is written down. Of what happened at one moment, the first here came first."""

    RECORDED = 0
    AUDITED = 1
    RAISED = 2
    DELIVERED = 3
    ENDED = 4


Position: TypeAlias = tuple[datetime, int, int, str]
"""Where something stands in the time line: when, in which `Part`, and the number or id it has there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """Something that happened. `what`: "record.changed", "recommendation.raised", "recommendation.done", and so on.

    `source`: who did it, where somebody did. `before`, `after`: what differs, where that is known.
    """

    position: Position
    what: str
    source: str | None = None
    record: RecordRef | None = None
    recommendation: str | None = None
    rule: str | None = None
    delivery: Delivery | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None

    @property
    def at(self) -> datetime:
        return self.position[0]


def page(db: Database, dossier: str, *, before: Position | None = None, limit: int) -> list[Passed]:
    """The latest first, of what stands before a position."""
    line = union_all(*_parts(dossier)).subquery()
    key = (line.c.at, line.c.part, line.c.number, line.c.name)
    query = select(line).order_by(*(column.desc() for column in key)).limit(limit)
    if before is not None:
        query = query.where(tuple_(*key) < before)
    with db.read() as connection:
        positions: list[Position] = [tuple(row) for row in connection.execute(query)]
        found = {
            passed.position: passed
            for part, read in READ.items()
            if (chosen := [position for position in positions if position[1] == part])
            for passed in read(connection, chosen)
        }
    return [found[position] for position in positions]


def _parts(dossier: str) -> Iterator[Select[datetime, int, int, str]]:
    nameless, numberless = literal(""), literal(0, BigInteger)

    def part(of: Part) -> Any:
        return literal(of.value).label("part")

    yield select(audit.c.at.label("at"), part(Part.AUDITED), audit.c.seq.label("number"), nameless.label("name")).where(
        audit.c.dossier == dossier
    )
    # Written before there was an audit, or no longer a record of this customer.
    audited = exists().where(
        audit.c.kind == record_history.c.kind,
        audit.c.subject == record_history.c.id,
        audit.c.dossier == record_history.c.dossier,
        audit.c.at == record_history.c.recorded_at,
    )
    yield select(record_history.c.recorded_at, part(Part.RECORDED), record_history.c.seq, nameless).where(
        record_history.c.dossier == dossier, ~audited
    )
    ours = recommendations.c.dossier == dossier
    yield select(recommendations.c.opened_at, part(Part.RAISED), numberless, recommendations.c.id).where(ours)
    yield select(recommendations.c.ended_at, part(Part.ENDED), numberless, recommendations.c.id).where(
        ours, recommendations.c.ended_at.is_not(None)
    )
    at = func.coalesce(outbox.c.sent_at, outbox.c.wanted_at)
    yield select(at, part(Part.DELIVERED), outbox.c.id, nameless).where(outbox.c.id.in_(messages.about(ours)))


# --- what stands at a position ---


def _numbers(positions: Collection[Position]) -> dict[int, Position]:
    return {position[2]: position for position in positions}


def _audited(connection: Connection, positions: Sequence[Position]) -> Iterator[Passed]:
    by_number = _numbers(positions)
    for row in connection.execute(select(audit).where(audit.c.seq.in_(by_number))):
        about_a_record = row.action.startswith("record.")
        yield Passed(
            position=by_number[row.seq],
            what=row.action,
            source=row.source,
            record=RecordRef(kind=row.kind, id=row.subject) if about_a_record else None,
            recommendation=row.subject if row.kind == "recommendation" else None,
            before=None if row.before is None else json.loads(row.before),
            after=None if row.after is None else json.loads(row.after),
        )


def _recorded(connection: Connection, positions: Sequence[Position]) -> Iterator[Passed]:
    by_number = _numbers(positions)
    for row in connection.execute(select(record_history).where(record_history.c.seq.in_(by_number))):
        yield Passed(
            position=by_number[row.seq],
            what="record.left" if row.fields is None else "record.written",
            source=row.source,
            record=RecordRef(kind=row.kind, id=row.id),
            after=None if row.fields is None else json.loads(row.fields),
        )


def _episodes(connection: Connection, positions: Sequence[Position]) -> Iterator[Passed]:
    rows: dict[str, AnyRow] = {
        row.id: row
        for row in connection.execute(
            select(recommendations).where(recommendations.c.id.in_({id_ for *_, id_ in positions}))
        )
    }
    for position in positions:
        _, part, _, id_ = position
        yield Passed(
            position=position, what=f"recommendation.{Part(part).name.lower()}", recommendation=id_, rule=rows[id_].rule
        )


def _delivered(connection: Connection, positions: Sequence[Position]) -> Iterator[Passed]:
    by_number = _numbers(positions)
    for row in connection.execute(select(outbox).where(outbox.c.id.in_(by_number))):
        yield Passed(
            position=by_number[row.id],
            what=f"delivery.{row.state}",
            recommendation=row.recommendation,
            delivery=messages.from_row(row),
        )


READ: Mapping[Part, Callable[[Connection, Sequence[Position]], Iterator[Passed]]] = {
    Part.AUDITED: _audited,
    Part.RECORDED: _recorded,
    Part.RAISED: _episodes,
    Part.ENDED: _episodes,
    Part.DELIVERED: _delivered,
}
