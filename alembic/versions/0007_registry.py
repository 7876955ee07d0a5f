"""Registered models: versions that outlive the jobs that trained them."""

import sqlalchemy as sa

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the tables, of which an older service knows nothing."""
    op.create_table(
        "artifacts",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("spec_text", sa.Text(), nullable=False),
        sa.Column("parameters", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_artifacts")),
    )
    op.create_table(
        "models",
        sa.Column("seq", _COUNTER, nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("newest", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_models")),
        sa.UniqueConstraint("owner", "name", name=op.f("uq_models_owner_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "model_versions",
        sa.Column("seq", _COUNTER, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("model_seq", _COUNTER, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("description", sa.String(length=2000), nullable=True),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("outputs", sa.JSON(), nullable=False),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("lineage", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["digest"], ["artifacts.digest"], name=op.f("fk_model_versions_digest_artifacts")
        ),
        sa.ForeignKeyConstraint(
            ["model_seq"], ["models.seq"], name=op.f("fk_model_versions_model_seq_models")
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_model_versions")),
        sa.UniqueConstraint("id", name=op.f("uq_model_versions_id")),
        sa.UniqueConstraint("model_seq", "job_id", name=op.f("uq_model_versions_model_seq_job_id")),
        sa.UniqueConstraint("model_seq", "number", name=op.f("uq_model_versions_model_seq_number")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_model_versions_digest"), "model_versions", ["digest"], unique=False)
    op.create_table(
        "model_aliases",
        sa.Column("model_seq", _COUNTER, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version_seq", _COUNTER, nullable=False),
        sa.ForeignKeyConstraint(
            ["model_seq"], ["models.seq"], name=op.f("fk_model_aliases_model_seq_models")
        ),
        sa.ForeignKeyConstraint(
            ["version_seq"], ["model_versions.seq"], name=op.f("fk_model_aliases_version_seq_model_versions")
        ),
        sa.PrimaryKeyConstraint("model_seq", "name", name=op.f("pk_model_aliases")),
    )
    op.create_index(op.f("ix_model_aliases_version_seq"), "model_aliases", ["version_seq"], unique=False)


def downgrade() -> None:
    """Drop the tables, and with them what is registered; the jobs stay."""
    op.drop_index(op.f("ix_model_aliases_version_seq"), table_name="model_aliases")
    op.drop_table("model_aliases")
    op.drop_index(op.f("ix_model_versions_digest"), table_name="model_versions")
    op.drop_table("model_versions")
    op.drop_table("models")
    op.drop_table("artifacts")
