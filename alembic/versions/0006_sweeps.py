"""Sweeps: many trainings of one spec, whose trials are jobs."""

import sqlalchemy as sa

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables and the columns: an older service takes the trials that are there for jobs like others."""
    op.create_table(
        "sweeps",
        sa.Column("seq", _COUNTER, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=True),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("request_digest", sa.String(length=64), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("max_unfinished_jobs", sa.Integer(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("planned", sa.Integer(), nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("added", sa.Integer(), nullable=False),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_sweeps")),
        sa.UniqueConstraint("id", name=op.f("uq_sweeps_id")),
        sa.UniqueConstraint("owner", "idempotency_key", name=op.f("uq_sweeps_owner_idempotency_key")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_sweeps_status", "sweeps", ["status"], unique=False)
    op.create_table(
        "sweep_trials",
        sa.Column("sweep_seq", _COUNTER, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("point", sa.JSON(), nullable=False),
        sa.Column("rung", sa.Integer(), nullable=False),
        sa.Column("repeats", sa.Integer(), nullable=True),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["sweep_seq"],
            ["sweeps.seq"],
            name=op.f("fk_sweep_trials_sweep_seq_sweeps"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("sweep_seq", "number", name=op.f("pk_sweep_trials")),
    )
    op.add_column("jobs", sa.Column("sweep_id", sa.String(length=64), nullable=True))
    op.add_column("jobs", sa.Column("trial", sa.Integer(), nullable=True))
    op.create_index("uq_jobs_sweep_id_trial", "jobs", ["sweep_id", "trial"], unique=True)


def downgrade() -> None:
    """Drop the tables; the trials stay as jobs like others."""
    op.drop_index("uq_jobs_sweep_id_trial", table_name="jobs")
    op.drop_column("jobs", "trial")
    op.drop_column("jobs", "sweep_id")
    op.drop_table("sweep_trials")
    op.drop_index("ix_sweeps_status", table_name="sweeps")
    op.drop_table("sweeps")
