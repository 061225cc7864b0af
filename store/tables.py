"""The tables. An index is partial where only a few rows are ever asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    TextClause,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeEngine

AnyRow: TypeAlias = Row[*tuple[Any, ...]]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """An aware moment, exact to the microsecond and sortable; it comes back in UTC. Raises ValueError for a naive one.

    PostgreSQL: timestamptz. SQLite: microseconds since 1970, read with `datetime(check_at / 1e6, 'unixepoch')`.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return BigInteger() if dialect.name == "sqlite" else DateTime(timezone=True)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; moments are stored with one")
        return (value - EPOCH) // MICROSECOND if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return EPOCH + MICROSECOND * value if dialect.name == "sqlite" else value.astimezone(UTC)


# SQLite numbers rows by itself only for a key of type INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _partial(
    name: str, *columns: ColumnElement[Any], where: ColumnElement[bool] | TextClause, unique: bool = False
) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


# One row per dossier. `check_at` is the earliest moment at which deciding again can matter; `version` rises with
# every write that an evaluation under way must not overlook.
customers = Table(
    "customers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("check_at", Instant),
    Column("evaluated_at", Instant),
    Column("rulebase", Text),
    Column("lease_until", Instant),
    Column("lease_owner", Text),
    Column("failed_reason", Text),
    Column("failed_at", Instant),
)
_partial("ix_customers_due", customers.c.check_at, where=customers.c.check_at.is_not(None))
_partial("ix_customers_leased", customers.c.lease_until, where=customers.c.lease_until.is_not(None))
_partial("ix_customers_failed", customers.c.failed_at, where=customers.c.failed_at.is_not(None))

# `fields` is canonical JSON as text: equal fields are equal strings, on every database.
records = Table(
    "records",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("dossier", Text, nullable=False, index=True),
    Column("customer", Text),
    Column("fields", Text, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

# Every write as the dossier saw it. No fields: the record left the dossier, deleted or moved to another.
record_history = Table(
    "record_history",
    metadata,
    Column("seq", RowId, primary_key=True),
    Column("dossier", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("customer", Text),
    Column("fields", Text),
    Column("recorded_at", Instant, nullable=False),
    Column("source", Text, nullable=False),
)

people = Table(
    "people",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("manager", Text),
    Column("team", Text),
    Column("language", Text),
    Column("timezone", Text),
    Column("office", Text),
    Column("chat", Text),
    Column("updated_at", Instant, nullable=False),
)

# What people asked for themselves, apart from what is imported about them. JSON: it is read and written whole.
wishes = Table(
    "wishes",
    metadata,
    Column("person", Text, primary_key=True),
    Column("wishes", Text, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

# Addresses that nothing is sent to any more, in lower case.
suppressions = Table(
    "suppressions",
    metadata,
    Column("address", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("detail", Text),
    Column("since", Instant, nullable=False),
    Column("delivery", BigInteger),
)

# `advice` is JSON: it is read and written whole.
recommendations = Table(
    "recommendations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("dossier", Text, nullable=False, index=True),
    Column("rule", Text, nullable=False),
    Column("rule_version", Integer, nullable=False),
    Column("subject_kind", Text, nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("advice", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("snoozed_until", Instant),
    Column("closed_at", Instant),
    Column("closed_by", Text),
    Column("note", Text),
    Column("ended_at", Instant),
    Column("missed", Boolean, nullable=False),
)
Index("ix_recommendations_state_opened_at", recommendations.c.state, recommendations.c.opened_at)
_partial(
    "uq_recommendations_running",  # one running episode per rule and subject
    recommendations.c.dossier,
    recommendations.c.rule,
    recommendations.c.subject_kind,
    recommendations.c.subject_id,
    where=recommendations.c.ended_at.is_(None),
    unique=True,
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("purpose", Text, nullable=False),
    Column("recommendation", Text, ForeignKey(recommendations.c.id), index=True),  # none: a digest, of its items
    Column("person", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("occurrence", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("wanted_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("resends", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_until", Instant),
    Column("lease_owner", Text),
    Column("message_id", Text),
    Column("body", LargeBinary),
    Column("entry", Integer),
    Column("receipt", Text),
    Column("last_code", Integer),
    Column("last_phase", Text),
    Column("last_error", Text),
    Column("sent_at", Instant),
)
_partial("ix_outbox_due", outbox.c.due_at, outbox.c.id, where=outbox.c.state == "ready")
UNDERWAY = text("sent_at IS NULL AND state IN ('ready', 'leased', 'sending', 'unknown')")  # in the words of its index
_partial("ix_outbox_underway", outbox.c.person, where=UNDERWAY)
_partial("ix_outbox_queued", outbox.c.due_at, outbox.c.id, where=outbox.c.state == "queued")
Index("ix_outbox_person_sent_at", outbox.c.person, outbox.c.sent_at)
_partial("ix_outbox_held", outbox.c.lease_until, where=outbox.c.lease_until.is_not(None))

# What a digest names, and why it stands there.
digest_items = Table(
    "digest_items",
    metadata,
    Column("digest", RowId, ForeignKey(outbox.c.id), primary_key=True),
    Column("recommendation", Text, ForeignKey(recommendations.c.id), primary_key=True, index=True),
    Column("why", Text, nullable=False),
)

# The reminders and escalations that are still to come of open recommendations. A row is gone once it is spent.
followups = Table(
    "followups",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("recommendation", Text, ForeignKey(recommendations.c.id), nullable=False),
    Column("kind", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("due_at", Instant, nullable=False, index=True),
    UniqueConstraint("recommendation", "kind", "step"),
)

# A job ran for a slot, the moment it was due: whoever inserts the row runs it.
ticks = Table(
    "ticks",
    metadata,
    Column("job", Text, primary_key=True),
    Column("slot", Instant, primary_key=True),
    Column("done_at", Instant, nullable=False),
)

rulebases = Table(
    "rulebases",
    metadata,
    Column("seq", RowId, primary_key=True),
    Column("hash", Text, nullable=False),
    Column("published_at", Instant, nullable=False),
)

rule_versions = Table(
    "rule_versions",
    metadata,
    Column("rule", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("hash", Text, nullable=False),
    Column("published_at", Instant, nullable=False),
)
