"""Trackers: how far MLflow and TensorBoard have been told of each job."""

import sqlalchemy as sa

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables; an older service does not look at them."""
    op.create_table(
        "trackers",
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("target", sa.String(length=64), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("seen_seq", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.String(length=500), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_trackers")),
    )
    op.create_table(
        "tracker_cursors",
        sa.Column("tracker", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("run", sa.String(length=500), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("tracker", "subject", name=op.f("pk_tracker_cursors")),
    )
    op.create_index("ix_tracker_cursors_tracker_ended", "tracker_cursors", ["tracker", "ended"], unique=False)


def downgrade() -> None:
    """Drop the tables: what was told stays told, and nobody knows of it."""
    op.drop_index("ix_tracker_cursors_tracker_ended", table_name="tracker_cursors")
    op.drop_table("tracker_cursors")
    op.drop_table("trackers")
