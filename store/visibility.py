"""Whose data one may see: customers of which a record is looked after by one of certain people."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Column, ColumnElement, func, select, true

from store.dialects import among
from store.session import Database
from store.tables import customers, records


def visible(dossier: Column[str], owners: Collection[str] | None) -> ColumnElement[bool]:
    """Whether a column names a dossier of which these people look after a record; None: everybody's are seen."""
    return true() if owners is None else dossier.in_(select(records.c.dossier).where(among(records.c.owner, owners)))


def sees(db: Database, dossiers: Collection[str], owners: Collection[str] | None) -> bool:
    """Whether there are all of these dossiers, each with a record, and they are seen."""
    seen = select(func.count()).where(
        among(customers.c.id, dossiers),
        customers.c.id.in_(select(records.c.dossier).where(among(records.c.dossier, dossiers))),
        visible(customers.c.id, owners),
    )
    with db.read() as connection:
        return connection.scalars(seen).one() == len(set(dossiers))


def owners_of(db: Database, dossiers: Collection[str]) -> dict[str, frozenset[str]]:
    """Who looks after a record of each of these dossiers. One that nobody looks after is absent."""
    query = select(records.c.dossier, records.c.owner).where(
        among(records.c.dossier, dossiers), records.c.owner.is_not(None)
    )
    found: dict[str, set[str]] = {}
    with db.read() as connection:
        for dossier, owner in connection.execute(query.distinct()):
            found.setdefault(dossier, set()).add(owner)
    return {dossier: frozenset(owners) for dossier, owners in found.items()}
