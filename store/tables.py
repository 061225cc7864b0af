"""The tables. An index is partial where only a few rows are ever asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Date,
    DateTime,
    Dialect,
    Double,
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


INSTANT = Instant()  # for statements; SQLAlchemy examines each new type anew

# SQLite numbers rows by itself only for a key of type INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")
# Sorted as SQLite sorts all text, so that texts with the same beginning stand together.
ByCodePoint = Text().with_variant(Text(collation="C"), "postgresql")

NAME_CHARACTERS = 100  # an index holds no text of any length


def folded(name: object) -> str | None:
    """A name as it is searched for, whoever writes it how; None: there is none."""
    return str(name)[:NAME_CHARACTERS].casefold() if name else None


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
    Column("trace", Text),  # of the last write that is not evaluated yet
)
_partial("ix_customers_due", customers.c.check_at, where=customers.c.check_at.is_not(None))
_partial("ix_customers_leased", customers.c.lease_until, where=customers.c.lease_until.is_not(None))
_partial("ix_customers_failed", customers.c.failed_at, where=customers.c.failed_at.is_not(None))

# `fields` is canonical JSON as text: equal fields are equal strings, on every database. `owner` is one of them, apart
# so that one finds whose customers these are. `name`: of a record that has no customer, folded to be searched for.
records = Table(
    "records",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("dossier", Text, nullable=False, index=True),
    Column("customer", Text),
    Column("fields", Text, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("owner", Text),
    Column("name", ByCodePoint),
)
_partial("ix_records_owner", records.c.owner, where=records.c.owner.is_not(None))
_partial("ix_records_name", records.c.name, where=records.c.name.is_not(None))

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

# `advice` is JSON: it is read and written whole. What stands after `missed` is of it, apart so that it can be asked for
# and sorted by: without a date `due` is the last day there is, without an amount `worth` is 0.
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
    Column("team", Text),
    Column("product", Text),
    Column("verdict", Text, nullable=False),
    Column("worth", Double, nullable=False),
    Column("due", Date, nullable=False),
    Column("held_back", Boolean, nullable=False),
)
Index("ix_recommendations_state_opened_at", recommendations.c.state, recommendations.c.opened_at)
Index("ix_recommendations_state_worth_id", recommendations.c.state, recommendations.c.worth, recommendations.c.id)
Index("ix_recommendations_state_due_id", recommendations.c.state, recommendations.c.due, recommendations.c.id)
_partial(
    "uq_recommendations_running",  # one running episode per rule and subject
    recommendations.c.dossier,
    recommendations.c.rule,
    recommendations.c.subject_kind,
    recommendations.c.subject_id,
    where=recommendations.c.ended_at.is_(None),
    unique=True,
)

# To whom each recommendation speaks.
addressees = Table(
    "addressees",
    metadata,
    Column("person", Text, primary_key=True),
    Column("recommendation", Text, ForeignKey(recommendations.c.id, ondelete="CASCADE"), primary_key=True, index=True),
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
    Column("trace", Text),
)
_partial("ix_outbox_due", outbox.c.due_at, outbox.c.id, where=outbox.c.state == "ready")
UNDERWAY = text("sent_at IS NULL AND state IN ('ready', 'leased', 'sending', 'unknown')")  # in the words of its index
_partial("ix_outbox_underway", outbox.c.person, where=UNDERWAY)
_partial("ix_outbox_queued", outbox.c.due_at, outbox.c.id, where=outbox.c.state == "queued")
Index("ix_outbox_person_sent_at", outbox.c.person, outbox.c.sent_at)
_partial("ix_outbox_held", outbox.c.lease_until, where=outbox.c.lease_until.is_not(None))
_partial("ix_outbox_body", outbox.c.due_at, where=outbox.c.body.is_not(None))  # what is to be emptied one day

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

# What happened, in the order in which it was written. `id` follows from the occasion: it is told once.
events = Table(
    "events",
    metadata,
    Column("seq", RowId, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("type", Text, nullable=False),
    Column("at", Instant, nullable=False, index=True),
    Column("customer", Text, index=True),
    Column("recommendation", Text),
    Column("rule", Text),
    Column("tags", Text, nullable=False),
    Column("team", Text),
    Column("product", Text),
    Column("data", Text, nullable=False),
)
_partial("ix_events_recommendation", events.c.recommendation, where=events.c.customer.is_(None))

# Who is told what. `types`, `tags`, `teams` and `products` are JSON lists, an empty one asks for all; `secrets` are
# sealed. `failing_since` is when its unbroken failure began; the breaker holds everything back until `open_until`.
subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("types", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("teams", Text, nullable=False),
    Column("products", Text, nullable=False),
    Column("envelope", Text, nullable=False),
    Column("signing", Text, nullable=False),
    Column("ordered", Boolean, nullable=False),
    Column("secrets", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("disabled_at", Instant),
    Column("disabled_reason", Text),
    Column("failures", Integer, nullable=False),
    Column("failing_since", Instant),
    Column("open_until", Instant),
    Column("succeeded_at", Instant),
    Column("last_error", Text),
)

# One event to one subscription.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("subscription", Text, ForeignKey(subscriptions.c.id), nullable=False),
    Column("event", RowId, ForeignKey(events.c.seq), nullable=False, index=True),
    Column("customer", Text),
    Column("state", Text, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_until", Instant),
    Column("lease_owner", Text),
    Column("last_status", Integer),
    Column("last_error", Text),
    Column("settled_at", Instant),
    UniqueConstraint("subscription", "event"),
)
_partial(
    "ix_webhook_deliveries_due",
    webhook_deliveries.c.subscription,
    webhook_deliveries.c.due_at,
    webhook_deliveries.c.event,
    where=webhook_deliveries.c.state == "ready",
)
_partial(
    "ix_webhook_deliveries_held",
    webhook_deliveries.c.subscription,
    webhook_deliveries.c.lease_until,
    where=webhook_deliveries.c.state == "leased",
)
_partial(  # what still has to go before a later event about the same customer
    "ix_webhook_deliveries_customer",
    webhook_deliveries.c.subscription,
    webhook_deliveries.c.customer,
    webhook_deliveries.c.event,
    where=text("state IN ('ready', 'leased')"),
)
Index("ix_webhook_deliveries_subscription_id", webhook_deliveries.c.subscription, webhook_deliveries.c.id)

# Exactly what was posted, and what was answered. Headers are JSON; the body of an answer is cut.
webhook_attempts = Table(
    "webhook_attempts",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("delivery", RowId, ForeignKey(webhook_deliveries.c.id), nullable=False, index=True),
    Column("at", Instant, nullable=False, index=True),
    Column("duration_ms", Integer, nullable=False),
    Column("url", Text, nullable=False),
    Column("request_headers", Text, nullable=False),
    Column("request_body", LargeBinary, nullable=False),
    Column("status", Integer),
    Column("answer_headers", Text),
    Column("answer_body", LargeBinary),
    Column("error", Text),
)

# Who may sign in. `subject` is what an identity provider calls them: issuer and subject.
users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("email", Text, nullable=False, unique=True),  # in lower case
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("person", Text),
    Column("password", Text),
    Column("subject", Text, unique=True),
    Column("created_at", Instant, nullable=False),
    Column("disabled_at", Instant),
)

# `id` is a hash: whoever reads this table can sign in nowhere.
sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user", Text, ForeignKey(users.c.id), nullable=False, index=True),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
)

# `hash`: of the token itself, which is shown once and kept nowhere. `scopes` is a JSON list; none: all of the role.
tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("user", Text, ForeignKey(users.c.id), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("scopes", Text),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("used_at", Instant),
    Column("revoked_at", Instant),
)

# Failed attempts to sign in, by who was tried and from where.
throttle = Table(
    "throttle",
    metadata,
    Column("key", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", Instant, nullable=False, index=True),
)

# Every write: who, when, what was before and after, as JSON of what differs. Nothing in it changes any more, but that
# it can be emptied (`erased_at`); the chain holds a digest of each entry as it was, and `salt` keeps it unguessable.
audit = Table(
    "audit",
    metadata,
    Column("seq", RowId, primary_key=True),
    Column("at", Instant, nullable=False, index=True),
    Column("action", Text, nullable=False),
    Column("source", Text),
    Column("kind", Text),
    Column("subject", Text),
    Column("dossier", Text, index=True),
    Column("before", Text),
    Column("after", Text),
    Column("trace", Text),
    Column("salt", Text),
    Column("erased_at", Instant),
)
Index("ix_audit_kind_subject", audit.c.kind, audit.c.subject)
Index("ix_audit_source", audit.c.source)

audit_chain = Table(
    "audit_chain",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("entry", RowId, ForeignKey(audit.c.seq), nullable=False, unique=True),
    Column("digest", Text, nullable=False),
    Column("hash", Text, nullable=False),
)

# What was answered to a request with an idempotency key: the same request again gets the same answer.
idempotency = Table(
    "idempotency",
    metadata,
    Column("source", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("headers", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("at", Instant, nullable=False, index=True),
)

# How far each foreign database has been read.
sources = Table(
    "sources",
    metadata,
    Column("name", Text, primary_key=True),
    Column("watermark", Text),
    Column("ran_at", Instant, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("rejected", Integer, nullable=False),
    Column("error", Text),
)
