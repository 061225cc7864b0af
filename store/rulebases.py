"""Which rules are live, and the version number of each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, insert, select, update

from domain.record import CUSTOMER
from store import audit
from store.audit import NewEntry
from store.dialects import among
from store.due import woken
from store.session import Database
from store.tables import AnyRow, customers, recommendations, records, rule_versions, rulebases


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A rule base as it went live. `versions`: of each rule ever published, by its id."""

    hash: str
    versions: Mapping[str, int]
    published_at: datetime


def publish(
    db: Database,
    *,
    hash: str,
    rules: Mapping[str, str],
    kinds: Collection[str],
    now: datetime,
    source: str = "service",
) -> Published:
    """Make a rule base live. `rules` holds each rule's own hash; a changed one gets the next version.

    Every customer with a record of these kinds becomes due (`customer` means all of them), and every one with a
    running recommendation of a rule that is no longer there. Publishing what is live already changes nothing.
    """
    with db.begin() as connection:
        if connection.dialect.name == "postgresql":  # one at a time; SQLite's writers always are
            connection.exec_driver_sql("LOCK TABLE rulebases IN SHARE ROW EXCLUSIVE MODE")
        live = _live(connection)
        if live is not None and live.hash == hash:
            return live
        connection.execute(insert(rulebases).values(hash=hash, published_at=now))
        known = _latest(connection)
        changed = [
            {"rule": rule, "version": known.get(rule, UNPUBLISHED).version + 1, "hash": own, "published_at": now}
            for rule, own in rules.items()
            if known.get(rule, UNPUBLISHED).hash != own
        ]
        if changed:
            connection.execute(insert(rule_versions), changed)
        gone = known.keys() - rules.keys()
        entry = NewEntry(
            action="rulebase.published",
            kind="rulebase",
            subject=hash,
            before=live and {"rulebase": live.hash},
            after={"rules": {row["rule"]: row["version"] for row in changed}, "without": sorted(gone)},
        )
        audit.note(connection, [entry], source=source, at=now)
        _wake(connection, kinds, withdrawn=gone, now=now)
        live = _live(connection)
        assert live is not None  # the row above
        return live


def current(db: Database) -> Published | None:
    """The rule base that is live; None before the first."""
    with db.read() as connection:
        return _live(connection)


def live_hash(db: Database) -> str | None:
    """The hash of the rule base that is live, without the versions of its rules: cheap enough for every batch."""
    with db.read() as connection:
        row = _latest_published(connection)
    return row.hash if row else None


class _Version(NamedTuple):
    version: int
    hash: str | None


UNPUBLISHED = _Version(0, None)


def _live(connection: Connection) -> Published | None:
    row = _latest_published(connection)
    if row is None:
        return None
    versions = {rule: latest.version for rule, latest in _latest(connection).items()}
    return Published(hash=row.hash, versions=versions, published_at=row.published_at)


def _latest_published(connection: Connection) -> AnyRow | None:
    return connection.execute(select(rulebases).order_by(rulebases.c.seq.desc()).limit(1)).one_or_none()


def _latest(connection: Connection) -> dict[str, _Version]:
    rows = connection.execute(select(rule_versions).order_by(rule_versions.c.version))
    return {row.rule: _Version(row.version, row.hash) for row in rows}


def _wake(connection: Connection, kinds: Collection[str], *, withdrawn: Collection[str], now: datetime) -> None:
    concerned = select(customers.c.id).order_by(customers.c.id).with_for_update()
    if CUSTOMER not in kinds:
        readers = select(records.c.dossier).where(among(records.c.kind, kinds))
        left_over = select(recommendations.c.dossier).where(
            among(recommendations.c.rule, withdrawn), recommendations.c.ended_at.is_(None)
        )
        concerned = concerned.where(customers.c.id.in_(readers.union(left_over)))
    connection.execute(update(customers).where(customers.c.id.in_(concerned)).values(woken(now)))
