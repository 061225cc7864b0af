"""Events and who subscribes to them, users and their tokens, the audit, and whose customers are whose."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import sqlalchemy as sa
from alembic import op

from store.tables import AnyRow, Instant, folded

revision = "0003"
down_revision = "0002"

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
PAGE = 10_000


def upgrade() -> None:
    op.add_column("customers", sa.Column("trace", sa.Text(), nullable=True))
    op.add_column("outbox", sa.Column("trace", sa.Text(), nullable=True))
    written = sa.text("body IS NOT NULL")
    op.create_index("ix_outbox_body", "outbox", ["due_at"], sqlite_where=written, postgresql_where=written)
    op.add_column("recommendations", sa.Column("team", sa.Text(), nullable=True))
    op.add_column("recommendations", sa.Column("product", sa.Text(), nullable=True))
    _advice()
    op.add_column("records", sa.Column("owner", sa.Text(), nullable=True))
    owner = {"sqlite": "json_extract(fields, '$.owner')", "postgresql": "fields::json ->> 'owner'"}[
        op.get_context().dialect.name
    ]
    op.execute(f"UPDATE records SET owner = {owner}")  # noqa: S608
    owned = sa.text("owner IS NOT NULL")
    op.create_index("ix_records_owner", "records", ["owner"], sqlite_where=owned, postgresql_where=owned)
    _names()
    _events()
    _webhooks()
    _users()
    _audit()
    _intake()


def _advice() -> None:
    """What recommendations are asked for and sorted by, out of their advice."""
    op.add_column("recommendations", sa.Column("verdict", sa.Text(), nullable=False, server_default="hold"))
    op.add_column("recommendations", sa.Column("worth", sa.Double(), nullable=False, server_default="0"))
    op.add_column("recommendations", sa.Column("due", sa.Date(), nullable=False, server_default="9999-12-31"))
    op.add_column("recommendations", sa.Column("held_back", sa.Boolean(), nullable=False, server_default=sa.false()))
    for name in ("worth", "due"):
        op.create_index(f"ix_recommendations_state_{name}_id", "recommendations", ["state", name, "id"])
    op.create_table(
        "addressees",
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("recommendation", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["recommendation"],
            ["recommendations.id"],
            name="fk_addressees_recommendation_recommendations",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("person", "recommendation", name="pk_addressees"),
    )
    op.create_index("ix_addressees_recommendation", "addressees", ["recommendation"])
    connection = op.get_bind()
    known = sa.table("recommendations", *map(sa.column, ("id", "advice", "verdict", "worth", "due", "held_back")))
    addressees = sa.table("addressees", sa.column("person"), sa.column("recommendation"))
    for rows in _pages(sa.select(known.c.id, known.c.advice), known.c.id):
        advice = {row.id: json.loads(row.advice) for row in rows}
        values = [
            {
                "_id": id_,
                "verdict": said["recommend"],
                "worth": float(said["worth"] or 0),
                "due": date.fromisoformat(said["due"] or "9999-12-31"),
                "held_back": bool(said["held_back_by"]),
            }
            for id_, said in advice.items()
        ]
        connection.execute(sa.update(known).where(known.c.id == sa.bindparam("_id")), values)
        named = [{"person": who, "recommendation": id_} for id_, said in advice.items() for who in set(said["to"])]
        if named:
            connection.execute(sa.insert(addressees), named)


def _pages(query: sa.Select[*tuple[Any, ...]], *key: sa.ColumnElement[Any]) -> Iterator[Sequence[AnyRow]]:
    """The rows of a query that begins with its key, a page at a time: they may be changed meanwhile."""
    page = query.order_by(*key).limit(PAGE)
    rows = op.get_bind().execute(page).all()
    while rows:
        yield rows
        last = tuple(rows[-1][: len(key)])
        rows = op.get_bind().execute(page.where(sa.tuple_(*key) > last)).all()


def _names() -> None:
    """What customers are called, folded."""
    by_code_point = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("records", sa.Column("name", by_code_point, nullable=True))
    connection = op.get_bind()
    records = sa.table("records", *map(sa.column, ("kind", "id", "customer", "fields", "name")))
    heads = sa.select(records.c.kind, records.c.id, records.c.fields).where(records.c.customer.is_(None))
    for rows in _pages(heads, records.c.kind, records.c.id):
        values = [
            {"_kind": row.kind, "_id": row.id, "name": name}
            for row in rows
            if (name := folded(json.loads(row.fields).get("name")))
        ]
        one = (records.c.kind == sa.bindparam("_kind"), records.c.id == sa.bindparam("_id"))
        if values:
            connection.execute(sa.update(records).where(*one), values)
    named = sa.text("name IS NOT NULL")
    op.create_index("ix_records_name", "records", ["name"], sqlite_where=named, postgresql_where=named)


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("seq", ROW_ID, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=True),
        sa.Column("recommendation", sa.Text(), nullable=True),
        sa.Column("rule", sa.Text(), nullable=True),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=True),
        sa.Column("product", sa.Text(), nullable=True),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_events"),
        sa.UniqueConstraint("id", name="uq_events_id"),
    )
    op.create_index("ix_events_at", "events", ["at"])
    op.create_index("ix_events_customer", "events", ["customer"])
    where = sa.text("customer IS NULL")
    op.create_index(
        "ix_events_recommendation", "events", ["recommendation"], sqlite_where=where, postgresql_where=where
    )


def _webhooks() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("types", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("teams", sa.Text(), nullable=False),
        sa.Column("products", sa.Text(), nullable=False),
        sa.Column("envelope", sa.Text(), nullable=False),
        sa.Column("signing", sa.Text(), nullable=False),
        sa.Column("ordered", sa.Boolean(), nullable=False),
        sa.Column("secrets", sa.Text(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("disabled_at", Instant(), nullable=True),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failing_since", Instant(), nullable=True),
        sa.Column("open_until", Instant(), nullable=True),
        sa.Column("succeeded_at", Instant(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_subscriptions"),
    )
    op.create_index("ix_subscriptions_owner", "subscriptions", ["owner"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("subscription", sa.Text(), nullable=False),
        sa.Column("event", ROW_ID, nullable=False),
        sa.Column("customer", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due_at", Instant(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("lease_until", Instant(), nullable=True),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("settled_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(["event"], ["events.seq"], name="fk_webhook_deliveries_event_events"),
        sa.ForeignKeyConstraint(
            ["subscription"], ["subscriptions.id"], name="fk_webhook_deliveries_subscription_subscriptions"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
        sa.UniqueConstraint("subscription", "event", name="uq_webhook_deliveries_subscription_event"),
    )
    where = sa.text("state IN ('ready', 'leased')")
    op.create_index(
        "ix_webhook_deliveries_customer",
        "webhook_deliveries",
        ["subscription", "customer", "event"],
        sqlite_where=where,
        postgresql_where=where,
    )
    where = sa.text("state = 'ready'")
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["subscription", "due_at", "event"],
        sqlite_where=where,
        postgresql_where=where,
    )
    op.create_index("ix_webhook_deliveries_event", "webhook_deliveries", ["event"])
    where = sa.text("state = 'leased'")
    op.create_index(
        "ix_webhook_deliveries_held",
        "webhook_deliveries",
        ["subscription", "lease_until"],
        sqlite_where=where,
        postgresql_where=where,
    )
    op.create_index("ix_webhook_deliveries_subscription_id", "webhook_deliveries", ["subscription", "id"])
    op.create_table(
        "webhook_attempts",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("delivery", ROW_ID, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("request_headers", sa.Text(), nullable=False),
        sa.Column("request_body", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer_headers", sa.Text(), nullable=True),
        sa.Column("answer_body", sa.LargeBinary(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery"], ["webhook_deliveries.id"], name="fk_webhook_attempts_delivery_webhook_deliveries"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_attempts"),
    )
    op.create_index("ix_webhook_attempts_at", "webhook_attempts", ["at"])
    op.create_index("ix_webhook_attempts_delivery", "webhook_attempts", ["delivery"])


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=True),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("disabled_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("email", name="uq_users_email"),
        sa.UniqueConstraint("subject", name="uq_users_subject"),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name="fk_sessions_user_users"),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
    )
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    op.create_index("ix_sessions_user", "sessions", ["user"])
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=True),
        sa.Column("used_at", Instant(), nullable=True),
        sa.Column("revoked_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name="fk_tokens_user_users"),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("hash", name="uq_tokens_hash"),
    )
    op.create_index("ix_tokens_user", "tokens", ["user"])
    op.create_table(
        "throttle",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_throttle"),
    )
    op.create_index("ix_throttle_last_at", "throttle", ["last_at"])


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", ROW_ID, nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("dossier", sa.Text(), nullable=True),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.Column("trace", sa.Text(), nullable=True),
        sa.Column("salt", sa.Text(), nullable=True),
        sa.Column("erased_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name="pk_audit"),
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    op.create_index("ix_audit_dossier", "audit", ["dossier"])
    op.create_index("ix_audit_kind_subject", "audit", ["kind", "subject"])
    op.create_index("ix_audit_source", "audit", ["source"])
    op.create_table(
        "audit_chain",
        sa.Column("position", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("entry", ROW_ID, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["entry"], ["audit.seq"], name="fk_audit_chain_entry_audit"),
        sa.PrimaryKeyConstraint("position", name="pk_audit_chain"),
        sa.UniqueConstraint("entry", name="uq_audit_chain_entry"),
    )
    _append_only()


KEPT = ("seq", "at", "action", "kind", "trace")  # of an entry that is emptied
EMPTIED = ("source", "subject", "dossier", "before", "after", "salt")


def _append_only() -> None:
    """The database itself refuses to change the audit: an entry can only be emptied, for somebody who is forgotten."""
    same = {"sqlite": "IS", "postgresql": "IS NOT DISTINCT FROM"}[op.get_context().dialect.name]
    emptied = " AND ".join(
        (
            *(f"NEW.{name} {same} OLD.{name}" for name in KEPT),
            *(f"(NEW.{name} IS NULL OR NEW.{name} {same} OLD.{name})" for name in EMPTIED),
            "NEW.salt IS NULL",
            "NEW.erased_at IS NOT NULL",
        )
    )
    for event, table, when in (
        ("UPDATE", "audit", f"NOT ({emptied})"),
        ("DELETE", "audit", None),
        ("UPDATE", "audit_chain", None),
        ("DELETE", "audit_chain", None),
    ):
        name, says = f"{table}_refuses_{event.lower()}", f"{table} is append-only"
        condition = f"WHEN ({when})" if when else ""
        if op.get_context().dialect.name == "sqlite":
            does = f"BEGIN SELECT RAISE(ABORT, '{says}'); END"
        else:
            body = f"BEGIN RAISE EXCEPTION '{says}' USING ERRCODE = 'integrity_constraint_violation'; END"
            op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")
            does = f"EXECUTE FUNCTION {name}()"
        op.execute(f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW {condition} {does}")
        if op.get_context().dialect.name == "postgresql" and event == "DELETE":
            op.execute(
                f"CREATE TRIGGER {table}_refuses_truncate BEFORE TRUNCATE ON {table} "
                f"FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
            )


def _intake() -> None:
    op.create_table(
        "idempotency",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("source", "key", name="pk_idempotency"),
    )
    op.create_index("ix_idempotency_at", "idempotency", ["at"])
    op.create_table(
        "sources",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("watermark", sa.Text(), nullable=True),
        sa.Column("ran_at", Instant(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_sources"),
    )
