"""The audit's chain: each entry is sealed by a hash over its content and over the seal before it.

Whoever changes an entry, or removes one, would have to make every later seal anew; and the last seal, which is logged
once a day and shown by `relance audit verify`, would be another than was seen before. A seal holds a digest of the
entry and not the entry, so that one can be emptied and the chain still be whole. The salt in it goes with the content:
without it nobody finds out by trying what an emptied entry said.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, exists, func, select

from store.dialects import alone, insert
from store.session import Database
from store.tables import AnyRow, audit, audit_chain

SEALING = 0x72656C63  # the lock: two who seal at once would want the same positions
LIMIT = 1000  # keeps one transaction short
RECENT = 20_000  # entries: how much later than its number suggests one may be committed
PAGE = 1000

SEALED = ("seq", "at", "action", "source", "kind", "subject", "dossier", "before", "after", "trace", "salt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """The chain up to a position: the same hash means the same entries."""

    position: int
    hash: str

    def __str__(self) -> str:
        return f"{self.position}:{self.hash}"


GENESIS = Seal(position=0, hash="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a look at the chain found. `faults`: in words, none where nobody changed anything; `last`: the last seal.

    `unsealed`: how many entries should be sealed by now and are not.
    """

    entries: int
    emptied: int
    unsealed: int
    faults: tuple[str, ...]
    last: Seal


def seal(db: Database, *, limit: int = LIMIT, recent: int | None = RECENT) -> int:
    """Seal entries that are not yet; how many that was. 0: there is none, or somebody else is at it.

    Only the last `recent` entries are looked at; None: all of them. They are not committed in their order, so that the
    last one that is sealed says nothing about those before it.
    """
    with db.read() as connection:
        if connection.execute(_unsealed(recent).limit(1)).first() is None:
            return 0
    with db.begin() as connection:
        if not alone(connection, SEALING):
            return 0
        last = _last(connection)
        new: list[dict[str, str | int]] = []
        for row in connection.execute(_unsealed(recent).limit(limit)):
            digest = _digest(row)
            last = _next(last, digest)
            new.append({"position": last.position, "entry": row.seq, "digest": digest, "hash": last.hash})
        if new:
            connection.execute(insert(connection, audit_chain), new)
    return len(new)


def last(db: Database) -> Seal:
    """The last seal there is."""
    with db.read() as connection:
        return _last(connection)


def find(db: Database, position: int) -> Seal | None:
    """The seal at a position."""
    with db.read() as connection:
        row = connection.execute(select(audit_chain).where(audit_chain.c.position == position)).one_or_none()
    return Seal(position=row.position, hash=row.hash) if row else None


def oldest_unsealed(db: Database) -> datetime | None:
    """When the first of the entries was written that no seal covers yet."""
    with db.read() as connection:
        return connection.scalar(select(func.min(_unsealed(RECENT).subquery().c.at)))


def verify(
    db: Database, *, late: datetime, most: int | None = None, progress: Callable[[int], None] = lambda _: None
) -> Verified:
    """Whether the chain is whole and every entry as it was sealed. `most`: look only at so many, the last ones.

    What was written by `late` should be sealed. `progress` is told how many were looked at. No transaction is longer
    than a page.
    """
    begin = last(db).position - most if most is not None else 0
    seen = (find(db, begin) if begin > 0 else None) or GENESIS
    entries, emptied, faults = 0, 0, list[str]()
    while rows := _page(db, after=seen.position):
        for row in rows:
            faults += _faults(row, seen)
            entries += row.seq is not None
            emptied += row.erased_at is not None
            seen = Seal(position=row.position, hash=row.hash)
        progress(entries)
    return Verified(
        entries=entries,
        emptied=emptied,
        unsealed=_left_over(db, None if most is None else RECENT, late=late),
        faults=tuple(faults),
        last=seen,
    )


def _page(db: Database, *, after: int) -> Sequence[AnyRow]:
    """The next seals, each with its entry."""
    query = (
        select(audit, audit_chain)
        .join_from(audit_chain, audit, audit.c.seq == audit_chain.c.entry, isouter=True)
        .where(audit_chain.c.position > after)
        .order_by(audit_chain.c.position)
        .limit(PAGE)
    )
    with db.read() as connection:
        return connection.execute(query).all()


def _faults(row: AnyRow, before: Seal) -> Iterator[str]:
    """What is wrong with a seal that is to follow another, and with its entry."""
    at = f"position {row.position:,}"
    if row.position != before.position + 1:
        yield f"{at}: the seals from {before.position + 1:,} on are missing"
    elif row.hash != _next(before, row.digest).hash:
        yield f"{at}: the seal does not follow from the one before it"
    if row.seq is None:
        yield f"{at}: entry {row.entry:,} is gone"
    elif row.erased_at is None and _digest(row) != row.digest:
        yield f"{at}: entry {row.seq:,}, {row.action}, was changed after it was sealed"


def _left_over(db: Database, recent: int | None, *, late: datetime) -> int:
    left = _unsealed(recent).where(audit.c.at <= late).subquery()
    with db.read() as connection:
        return connection.scalars(select(func.count()).select_from(left)).one()


# --- pieces ---


def _unsealed(recent: int | None) -> Select[Any]:
    sealed = exists().where(audit_chain.c.entry == audit.c.seq)
    query = select(audit).where(~sealed).order_by(audit.c.seq)
    if recent is None:
        return query
    newest = select(func.max(audit.c.seq)).scalar_subquery()
    return query.where(audit.c.seq > newest - recent)


def _last(connection: Connection) -> Seal:
    row = connection.execute(select(audit_chain).order_by(audit_chain.c.position.desc()).limit(1)).one_or_none()
    return Seal(position=row.position, hash=row.hash) if row else GENESIS


def _next(last: Seal, digest: str) -> Seal:
    position = last.position + 1
    return Seal(position=position, hash=hashlib.sha256(f"{last.hash}\n{position}\n{digest}".encode()).hexdigest())


def _digest(row: AnyRow) -> str:
    """The same for the same entry on every database."""
    content = [
        value.isoformat() if isinstance(value, datetime) else value for value in (getattr(row, n) for n in SEALED)
    ]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()
