"""Priorities, time limits, reruns, and the checkpoints that an attempt goes on from."""

import sqlalchemy as sa

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, and the columns of the jobs: an older service leaves them at their defaults."""
    op.create_table(
        "checkpoints",
        sa.Column(
            "job_seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("fraction", sa.Double(), nullable=False),
        sa.Column("path", sa.String(length=200), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("environment", sa.JSON(none_as_null=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_seq"], ["jobs.seq"], name=op.f("fk_checkpoints_job_seq_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_seq", "number", name=op.f("pk_checkpoints")),
    )
    op.add_column("jobs", sa.Column("priority", sa.Integer(), server_default="0", nullable=False))
    op.add_column("jobs", sa.Column("max_seconds", sa.Double(), nullable=True))
    op.add_column("jobs", sa.Column("seconds", sa.Double(), server_default="0", nullable=False))
    op.add_column("jobs", sa.Column("rerun_of", sa.String(length=64), nullable=True))
    op.create_index("ix_jobs_queue", "jobs", ["status", sa.text("priority DESC"), "seq"], unique=False)
    op.drop_index("ix_jobs_status_seq", table_name="jobs")
    op.create_index(
        "ix_job_events_transitions",
        "job_events",
        ["job_seq", "id"],
        unique=False,
        sqlite_where=sa.text("type = 'status'"),
        postgresql_where=sa.text("type = 'status'"),
    )


def downgrade() -> None:
    """Drop the table and the columns; the files of the checkpoints stay until they are swept."""
    op.drop_index("ix_job_events_transitions", table_name="job_events")
    op.create_index("ix_jobs_status_seq", "jobs", ["status", "seq"], unique=False)
    op.drop_index("ix_jobs_queue", table_name="jobs")
    for name in ("rerun_of", "seconds", "max_seconds", "priority"):
        op.drop_column("jobs", name)
    op.drop_table("checkpoints")
