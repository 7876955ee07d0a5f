"""Datasets, which job trains on which, and which starts from the parameters of which."""

import sqlalchemy as sa

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, and the columns of the jobs: an older service leaves them empty."""
    op.create_table(
        "dataset_schemas",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_dataset_schemas")),
    )
    op.create_table(
        "datasets",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=True),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("format", sa.String(length=16), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("column_count", sa.Integer(), nullable=False),
        sa.Column("stored_bytes", sa.BigInteger(), nullable=False),
        sa.Column("uploaded_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["digest"], ["dataset_schemas.digest"], name=op.f("fk_datasets_digest_dataset_schemas")
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_datasets")),
        sa.UniqueConstraint("id", name=op.f("uq_datasets_id")),
        sa.UniqueConstraint("owner", "digest", name=op.f("uq_datasets_owner_digest")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_datasets_digest"), "datasets", ["digest"], unique=False)
    op.add_column("jobs", sa.Column("dataset_id", sa.String(length=64), nullable=True))
    op.create_index(op.f("ix_jobs_dataset_id"), "jobs", ["dataset_id"], unique=False)
    op.add_column("jobs", sa.Column("init_job_id", sa.String(length=64), nullable=True))
    op.create_index(op.f("ix_jobs_init_job_id"), "jobs", ["init_job_id"], unique=False)


def downgrade() -> None:
    """Drop the tables, with all datasets."""
    op.drop_index(op.f("ix_jobs_init_job_id"), table_name="jobs")
    op.drop_column("jobs", "init_job_id")
    op.drop_index(op.f("ix_jobs_dataset_id"), table_name="jobs")
    op.drop_column("jobs", "dataset_id")
    op.drop_index(op.f("ix_datasets_digest"), table_name="datasets")
    op.drop_table("datasets")
    op.drop_table("dataset_schemas")
