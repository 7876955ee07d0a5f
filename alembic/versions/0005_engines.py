"""Which engine trained a job, which jobs can be trained together, and whose turn it is in the queue."""

import sqlalchemy as sa

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns: an older service leaves them at their defaults."""
    op.add_column("jobs", sa.Column("turn", sa.Integer(), server_default="0", nullable=False))
    op.add_column("jobs", sa.Column("shape", sa.String(length=64), nullable=True))
    op.add_column("jobs", sa.Column("engine", sa.JSON(none_as_null=True), nullable=True))
    _queue_by("turn", "seq")


def downgrade() -> None:
    """Drop the columns."""
    _queue_by("seq")
    for name in ("engine", "shape", "turn"):
        op.drop_column("jobs", name)


def _queue_by(*columns: str) -> None:
    op.drop_index("ix_jobs_queue", table_name="jobs")
    order = ["status", sa.text("priority DESC"), *columns]
    op.create_index("ix_jobs_queue", "jobs", order, unique=False)
