"""Writing records, and reading dossiers as they are and as they were.

Every write is a `Change`: what is stored becomes something else while nobody else may touch it. One that changes
nothing leaves no trace. Any other leaves a history row and an audit entry and wakes the customer,
in one transaction: `check_at` falls to now, and `version` rises so that an evaluation under way is repeated.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Connection, and_, bindparam, func, or_, select, update
from sqlalchemy import delete as delete_from

from domain.record import CUSTOMER, Dossier, Fields, Record, RecordRef, Scalar, Timeline, dossier_id
from store import audit, changing
from store.audit import NewEntry
from store.changing import TAG_CHARACTERS, Condition, Outcome, Overtaken, always, unless_overtaken
from store.dialects import among, insert_many
from store.due import wake
from store.session import Database
from store.tables import AnyRow, customers, folded, record_history, records
from store.visibility import visible


class Stored(NamedTuple):
    """A record as its row holds it."""

    dossier: str
    customer: str | None
    fields: str
    owner: str | None
    name: str | None = None

    @classmethod
    def of(cls, record: Record) -> Stored:
        owner = str(record.fields.get("owner", ""))
        return cls(
            dossier_id(record),
            record.customer,
            _ENCODER.encode(record.fields),
            owner if 0 < len(owner) <= OWNER_CHARACTERS else None,
            folded(record.fields.get("name")) if record.customer is None else None,
        )

    @property
    def tag(self) -> str:
        """Names exactly this content: the same customer and fields have the same."""
        return hashlib.sha256(json.dumps([self.customer, self.fields]).encode()).hexdigest()[:TAG_CHARACTERS]


Name: TypeAlias = tuple[str, str]
"""A record's kind and id; a bare tuple, as there are many of them."""

States: TypeAlias = dict[Name, Stored | None]
Change: TypeAlias = changing.Change[Name, Stored]
Result: TypeAlias = changing.Result[Stored]

COLUMNS = ("kind", "id", *Stored._fields)
HISTORY_COLUMNS = ("kind", "id", "dossier", "customer", "fields")
PAGE = 200  # dossiers that are streamed at once
OWNER_CHARACTERS = 200  # nobody's id is longer, and an index holds no text of any length

_THE_RECORD = and_(records.c.kind == bindparam("_kind"), records.c.id == bindparam("_id"))


def change(
    db: Database, changes: Sequence[Change], *, now: datetime, source: str, trace: str | None = None
) -> list[Result]:
    """Make changes in one transaction, in their order. One result per change.

    The same record twice: as if one was made after the other, and only the last is kept. `source`: who writes;
    `trace` names this write in logs, as far as the messages that come of it.
    """

    def attempt() -> list[Result]:
        with db.begin() as connection:
            before = _stored(connection, {change.name for change in changes})
            after = dict(before)
            results = [change.made(after, attrgetter("tag")) for change in changes]
            _replace(connection, before, after, now=now, source=source, trace=trace)
            return results

    return unless_overtaken(attempt)


def upsert(
    db: Database, written: Sequence[Record], *, now: datetime, source: str, trace: str | None = None
) -> list[Outcome]:
    """Write records whole; the same record again is UNCHANGED. One outcome per record."""
    results = change(db, [writing(record) for record in written], now=now, source=source, trace=trace)
    return [result.outcome for result in results]


def delete(
    db: Database, refs: Sequence[RecordRef], *, now: datetime, source: str, trace: str | None = None
) -> list[Outcome]:
    """Delete records. One outcome per reference: DELETED, or UNCHANGED where there was no such record (any more)."""
    results = change(db, [deleting(ref) for ref in refs], now=now, source=source, trace=trace)
    return [result.outcome for result in results]


def writing(record: Record, *, condition: Condition = always) -> Change:
    """The whole record, whatever there was."""
    state = Stored.of(record)
    return Change(name=(record.kind, record.id), after=lambda _: state, condition=condition)


def patching(ref: RecordRef, changed: Mapping[str, Scalar | None], *, condition: Condition = always) -> Change:
    """Some fields of a record that exists, `customer` among them; None removes one."""

    def after(before: Stored | None) -> Stored:
        assert before is not None
        merged = {"customer": before.customer, **_decode(before.fields), **changed}
        customer = merged.pop("customer")
        fields = {name: value for name, value in merged.items() if value is not None}
        whose = None if customer is None or ref.kind == CUSTOMER else str(customer)
        return Stored.of(Record(kind=ref.kind, id=ref.id, customer=whose, fields=fields))

    return Change(name=(ref.kind, ref.id), after=after, condition=condition, needs_one=True)


def deleting(ref: RecordRef, *, condition: Condition = always) -> Change:
    return Change(name=(ref.kind, ref.id), after=lambda _: None, condition=condition)


def record(db: Database, ref: RecordRef, *, owners: Collection[str] | None = None) -> tuple[Record, str] | None:
    """A record and its tag, where these people may see it; None: anybody."""
    query = select(records).where(
        records.c.kind == ref.kind, records.c.id == ref.id, visible(records.c.dossier, owners)
    )
    with db.read() as connection:
        row = connection.execute(query).one_or_none()
    return (_record(row), Stored.of(_record(row)).tag) if row else None


def load(db: Database, dossier: str) -> Dossier | None:
    """The dossier as it is; None without any record."""
    return load_many(db, [dossier]).get(dossier)


def load_many(db: Database, dossiers: Collection[str]) -> dict[str, Dossier]:
    """Dossiers as they are, by id, in one query. One without any record is absent."""
    with db.read() as connection:
        rows = connection.execute(
            select(records).where(among(records.c.dossier, dossiers)).order_by(records.c.kind, records.c.id)
        ).all()
    found = defaultdict[str, list[Record]](list)
    for row in rows:
        found[row.dossier].append(_record(row))
    return {id_: Dossier(id=id_, records=tuple(of_dossier)) for id_, of_dossier in found.items()}


def timelines(db: Database, since: Mapping[str, datetime | None]) -> dict[str, Timeline]:
    """Each dossier as it was at its moment, and as every later moment of writing left it.

    A moment of None: from before the first write, when the dossier was empty. Dossiers that were never written are
    absent; one that lost all its records is there, empty.
    """
    by_dossier = defaultdict[str, list[AnyRow]](list)
    with db.read() as connection:
        # Two queries, so that one new customer does not have the long past of all the others read.
        known = [moment for moment in since.values() if moment is not None]
        for row in (
            *_history(connection, [id_ for id_, moment in since.items() if moment is None], after=None),
            *_history(connection, [id_ for id_, moment in since.items() if moment], after=min(known, default=None)),
        ):
            by_dossier[row.dossier].append(row)
    return {id_: _timeline(id_, rows, since[id_]) for id_, rows in by_dossier.items()}


def ids(db: Database, *, after: str = "", limit: int) -> list[str]:
    """A page of all dossiers' ids, in their order, beginning after the last one of the page before."""
    with db.read() as connection:
        page = select(customers.c.id).where(customers.c.id > after).order_by(customers.c.id).limit(limit)
        return list(connection.scalars(page))


def stream(db: Database, *, page: int = PAGE) -> Iterator[Dossier]:
    """Every dossier as it is, in the order of their ids; no more than a page of them is in memory.

    Each page is read at a moment of its own, so that a long look at them never holds a transaction open.
    """
    last = ""
    while of_page := ids(db, after=last, limit=page):
        found = load_many(db, of_page)
        yield from (found[id_] for id_ in of_page if id_ in found)
        last = of_page[-1]


def total(db: Database) -> int:
    """How many dossiers `stream` has, those that lost all their records included."""
    with db.read() as connection:
        return connection.scalars(select(func.count()).select_from(customers)).one()


def counts(db: Database) -> dict[str, int]:
    """How many records there are of each kind."""
    per_kind = select(records.c.kind, func.count().label("total")).group_by(records.c.kind).order_by(records.c.kind)
    with db.read() as connection:
        return {row.kind: row.total for row in connection.execute(per_kind)}


# --- writing ---


def _stored(connection: Connection, names: Collection[Name]) -> States:
    """What is stored under each name, locked until the transaction ends."""
    wanted = sorted(names)
    found: States = dict.fromkeys(wanted)
    for kind, of_kind in groupby(wanted, key=itemgetter(0)):
        rows = connection.execute(
            select(records.c.id, *(records.c[name] for name in Stored._fields))
            .where(records.c.kind == kind, among(records.c.id, [id_ for _, id_ in of_kind]))
            .order_by(records.c.id)
            .with_for_update()
        )
        found |= {(kind, id_): Stored(*stored) for id_, *stored in rows}
    return found


def _replace(
    connection: Connection, before: States, after: States, *, now: datetime, source: str, trace: str | None
) -> None:
    """Make the difference. Raises `Overtaken` when a record that had to be created is there by now."""
    created: list[tuple[str | None, ...]] = []
    changed: list[dict[str, Any]] = []
    removed: list[dict[str, Any]] = []
    history: list[tuple[str | None, ...]] = []
    entries: list[NewEntry] = []
    touched: set[str] = set()
    for (kind, id_), new in after.items():
        old = before[kind, id_]
        if new == old:
            continue
        entries.append(_entry(kind, id_, old, new))
        where = {"_kind": kind, "_id": id_}
        if old and (new is None or new.dossier != old.dossier):
            history.append((kind, id_, old.dossier, None, None))
            touched.add(old.dossier)
        if new is None:
            removed.append(where)
            continue
        history.append((kind, id_, new.dossier, new.customer, new.fields))
        touched.add(new.dossier)
        if old is None:
            created.append((kind, id_, *new))
        else:
            changed.append(where | new._asdict() | {"updated_at": now})
    if created and insert_many(connection, records, COLUMNS, created, same={"updated_at": now}) != len(created):
        raise Overtaken
    if changed:
        connection.execute(update(records).where(_THE_RECORD), changed)
    if removed:
        connection.execute(delete_from(records).where(_THE_RECORD), removed)
    if history:
        same = {"recorded_at": now, "source": source}
        insert_many(connection, record_history, HISTORY_COLUMNS, history, same=same)
        audit.note(connection, entries, source=source, at=now, trace=trace)
        wake(connection, touched, now=now, trace=trace)


def _entry(kind: str, id_: str, old: Stored | None, new: Stored | None) -> NewEntry:
    before, after = audit.differing(_audited(old), _audited(new))
    action = "record.created" if old is None else "record.deleted" if new is None else "record.changed"
    dossier = (new or old or Stored("", None, "", None)).dossier
    return NewEntry(action=action, kind=kind, subject=id_, dossier=dossier, before=before, after=after)


def _audited(state: Stored | None) -> Mapping[str, Any] | None:
    return state and {"customer": state.customer, **json.loads(state.fields)}


def _exactly(value: Any) -> dict[str, str]:
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    raise TypeError(f"a field holds text, a number or true and false, not {type(value).__name__}")


# Canonical, and numbers exact: a Decimal is {"decimal": "1.50"}.
_ENCODER = json.JSONEncoder(default=_exactly, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


# --- reading ---


def _decode(text: str) -> Fields:
    fields: dict[str, Any] = json.loads(text)
    return {name: Decimal(value["decimal"]) if isinstance(value, dict) else value for name, value in fields.items()}


def _record(row: AnyRow) -> Record:
    return Record(kind=row.kind, id=row.id, customer=row.customer, fields=_decode(row.fields))


def _history(connection: Connection, dossiers: Collection[str], *, after: datetime | None) -> Sequence[AnyRow]:
    """History rows in order of time; of those that were superseded by `after`, none."""
    in_time = (record_history.c.recorded_at, record_history.c.seq)
    of_one_record = [record_history.c.dossier, record_history.c.kind, record_history.c.id]
    next_write = func.lead(record_history.c.recorded_at, type_=record_history.c.recorded_at.type)
    superseded_at = next_write.over(partition_by=of_one_record, order_by=in_time)
    written = (
        select(record_history, superseded_at.label("superseded_at"))
        .where(among(record_history.c.dossier, dossiers))
        .subquery()
    )
    relevant = select(written).order_by(written.c.recorded_at, written.c.seq)
    if after is not None:
        relevant = relevant.where(or_(written.c.superseded_at.is_(None), written.c.superseded_at > after))
    return connection.execute(relevant).all()


def _timeline(dossier: str, rows: Iterable[AnyRow], since: datetime | None) -> Timeline:
    present: dict[tuple[str, str], Record] = {}
    start = Dossier(id=dossier, records=())
    changes: list[tuple[datetime, Dossier]] = []
    for recorded_at, at_once in groupby(rows, key=attrgetter("recorded_at")):
        for row in at_once:
            if row.fields is None:
                present.pop((row.kind, row.id), None)
            else:
                present[row.kind, row.id] = _record(row)
        state = Dossier(id=dossier, records=tuple(present[key] for key in sorted(present)))
        if since is not None and recorded_at <= since:
            start = state
        else:
            changes.append((recorded_at, state))
    return Timeline(dossier=start, changes=tuple(changes))
