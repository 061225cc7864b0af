"""People's wishes, suppressed addresses, digests, and what is still to come of a recommendation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from store.tables import Instant

revision = "0002"
down_revision = "0001"

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("people", sa.Column("chat", sa.Text(), nullable=True))
    op.create_table(
        "wishes",
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("wishes", sa.Text(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("person", name="pk_wishes"),
    )
    op.create_table(
        "suppressions",
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("since", Instant(), nullable=False),
        sa.Column("delivery", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("address", name="pk_suppressions"),
    )
    _outbox()
    op.create_table(
        "digest_items",
        sa.Column("digest", ROW_ID, nullable=False),
        sa.Column("recommendation", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["outbox.id"], name="fk_digest_items_digest_outbox"),
        sa.ForeignKeyConstraint(
            ["recommendation"], ["recommendations.id"], name="fk_digest_items_recommendation_recommendations"
        ),
        sa.PrimaryKeyConstraint("digest", "recommendation", name="pk_digest_items"),
    )
    op.create_index("ix_digest_items_recommendation", "digest_items", ["recommendation"])
    op.create_table(
        "followups",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("recommendation", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("due_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["recommendation"], ["recommendations.id"], name="fk_followups_recommendation_recommendations"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_followups"),
        sa.UniqueConstraint("recommendation", "kind", "step", name="uq_followups_recommendation_kind_step"),
    )
    op.create_index("ix_followups_due_at", "followups", ["due_at"])


def _outbox() -> None:
    with op.batch_alter_table("outbox") as outbox:
        outbox.add_column(sa.Column("purpose", sa.Text(), nullable=True))
        outbox.add_column(sa.Column("wanted_at", Instant(), nullable=True))
        outbox.add_column(sa.Column("entry", sa.Integer(), nullable=True))
        outbox.add_column(sa.Column("receipt", sa.Text(), nullable=True))
    op.execute("UPDATE outbox SET purpose = 'reminder', wanted_at = due_at")
    with op.batch_alter_table("outbox") as outbox:
        outbox.alter_column("purpose", existing_type=sa.Text(), nullable=False)
        outbox.alter_column("wanted_at", existing_type=Instant(), nullable=False)
        outbox.alter_column("recommendation", existing_type=sa.Text(), nullable=True)
    op.create_index(
        "ix_outbox_queued",
        "outbox",
        ["due_at", "id"],
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    underway = sa.text("sent_at IS NULL AND state IN ('ready', 'leased', 'sending', 'unknown')")
    op.create_index("ix_outbox_underway", "outbox", ["person"], sqlite_where=underway, postgresql_where=underway)
    op.create_index("ix_outbox_person_sent_at", "outbox", ["person", "sent_at"])
