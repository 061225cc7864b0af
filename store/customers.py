"""Customers as they are listed and found: by their id, what they are called, and whose they are."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Text, func, literal, select

from domain.record import CUSTOMER
from store.dialects import among
from store.session import Database
from store.tables import AnyRow, customers, folded, records
from store.visibility import visible

LAST_CHARACTER = "\U0010ffff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A dossier as it stands. `owner`: who looks after it, as recorded; `check_at`: when it is evaluated next.

    `failed_reason`: why the last evaluation failed, at `failed_at`.
    """

    id: str
    name: str
    owner: str | None
    evaluated_at: datetime | None
    check_at: datetime | None
    failed_reason: str | None
    failed_at: datetime | None


def listing(
    db: Database,
    *,
    owners: Collection[str] | None,
    search: str | None = None,
    looked_after_by: Collection[str] | None = None,
    after: str = "",
    limit: int,
) -> list[Customer]:
    """By id, those of which there is a record. `owners`: as `visible` has them.

    `search`: how their name or id begins. `looked_after_by`: somebody of these looks after a record of theirs.
    """
    query = (
        select(customers)
        .where(
            customers.c.id > after,
            customers.c.id.in_(select(records.c.dossier)),
            visible(customers.c.id, owners),
            visible(customers.c.id, looked_after_by),
        )
        .order_by(customers.c.id)
        .limit(limit)
    )
    if search:
        begin = folded(search) or ""
        begins = (records.c.name >= literal(begin, Text), records.c.name <= literal(begin + LAST_CHARACTER, Text))
        named = select(records.c.dossier).where(*begins)
        numbered = select(customers.c.id).where(func.substr(customers.c.id, 1, len(search)) == search)
        query = query.where(customers.c.id.in_(named.union(numbered)))
    with db.read() as connection:
        rows = connection.execute(query).all()
    return _customers(db, rows)


def get(db: Database, dossier: str, *, owners: Collection[str] | None) -> Customer | None:
    """One of which there is a record, where these people may see it."""
    query = select(customers).where(
        customers.c.id == dossier,
        customers.c.id.in_(select(records.c.dossier).where(records.c.dossier == dossier)),
        visible(customers.c.id, owners),
    )
    with db.read() as connection:
        rows = connection.execute(query).all()
    return next(iter(_customers(db, rows)), None)


def names(db: Database, dossiers: Collection[str]) -> dict[str, str]:
    """What these are called; one without a name is absent."""
    return {dossier: name for dossier, (name, _) in _heads(db, dossiers).items() if name}


def _customers(db: Database, rows: Collection[AnyRow]) -> list[Customer]:
    heads = _heads(db, [row.id for row in rows])
    found: list[Customer] = []
    for row in rows:
        name, owner = heads.get(row.id, (None, None))
        found.append(
            Customer(
                id=row.id,
                name=name or row.id,
                owner=owner,
                evaluated_at=row.evaluated_at,
                check_at=row.check_at,
                failed_reason=row.failed_reason,
                failed_at=row.failed_at,
            )
        )
    return found


def _heads(db: Database, dossiers: Collection[str]) -> dict[str, tuple[str | None, str | None]]:
    """(name, owner) of the customer itself, or of the one record that has none."""
    query = select(records).where(among(records.c.dossier, dossiers), records.c.customer.is_(None))
    with db.read() as connection:
        rows = connection.execute(query).all()
    # Should a customer's id read like a record that has none, the customer goes first.
    in_order = sorted(rows, key=lambda row: row.kind == CUSTOMER)
    return {row.dossier: (_name(row.fields), row.owner) for row in in_order}


def _name(fields: str) -> str | None:
    name = json.loads(fields).get("name")
    return name if isinstance(name, str) else None
